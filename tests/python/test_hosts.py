"""The programs that host us: pytest-xdist, multiprocessing by fork and spawn, threads, long-lived processes, IPython."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from cwsandbox import Sandbox, SandboxExecutionError, Session


def echo(text: str) -> str:
    with Sandbox.run() as sandbox:
        return sandbox.exec(["echo", text]).result().stdout


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_multiprocessing_pool_works(method, shared):
    assert shared.exec(["true"]).result().returncode == 0  # the parent has its loop thread already
    with multiprocessing.get_context(method).Pool(3) as pool:
        assert pool.map(echo, ["a", "b", "c", "d"]) == ["a\n", "b\n", "c\n", "d\n"]
    assert shared.exec(["echo", "parent"]).result().stdout == "parent\n"


def sigterm_handlers(_: int) -> list[bool]:
    ours = [signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL]
    with Session() as session:
        session.sandbox()
        ours.append(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
    return ours


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_sigterm_ends_a_worker_that_owns_no_sandbox(method):
    """A pool ends its workers so. One with a Python handler that is about to wait in C would not notice, and hang its parent."""
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(sigterm_handlers, [0]) == [[False, True]]


def fail(code: int) -> None:
    with Sandbox.run() as sandbox:
        sandbox.exec(["sh", "-c", f"echo why; exit {code}"], check=True).result()


def test_an_exception_of_a_worker_reaches_the_parent_with_all_it_knows():
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(SandboxExecutionError, match="exit code 3") as caught:
        pool.apply(fail, (3,))
    assert (caught.value.exec_result.returncode, caught.value.exec_result.stdout) == (3, "why\n")


def test_pytest_xdist_runs_tests_side_by_side(tmp_path):
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    (tmp_path / "test_inner.py").write_text(
        "import pytest\nfrom cwsandbox import Sandbox\n"
        "@pytest.mark.parametrize('i', range(6))\n"
        "def test_it(i):\n    with Sandbox.run() as sb:\n        assert sb.exec(['echo', str(i)]).result().stdout == f'{i}\\n'\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", str(tmp_path)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "6 passed" in done.stdout, done.stdout + done.stderr


def test_threads_share_sandboxes_and_handles(shared):
    failures = []

    def work(i):
        try:
            for j in range(20):
                result = shared.exec(["echo", f"{i}.{j}"]).result()
                assert result.stdout == f"{i}.{j}\n"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)


LONG = """
import gc, os, resource
from cwsandbox import Sandbox

def resident_kib():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize() // 1024

def some(sb, n):
    for _ in range(n // 20):
        for process in [sb.exec(["true"]) for _ in range(20)]:
            assert process.result().returncode == 0

with Sandbox.run() as sb:
    some(sb, 1000)
    gc.collect()
    memory, fds = resident_kib(), len(os.listdir("/proc/self/fd"))
    some(sb, 10_000)
    gc.collect()
    print(resident_kib() - memory, len(os.listdir("/proc/self/fd")) - fds)
"""


def test_ten_thousand_commands_leave_memory_and_descriptors_flat():
    done = subprocess.run([sys.executable, "-c", LONG], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    kib, descriptors = map(int, done.stdout.split())
    assert kib < 2048 and descriptors <= 0


def test_ctrl_c_in_ipython_interrupts_a_blocking_call_and_the_shell_goes_on():
    pytest.importorskip("IPython", reason="IPython is not installed")
    pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")
    shell = pexpect.spawn(sys.executable, ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
                          env={**os.environ, "TERM": "dumb"}, encoding="utf-8", timeout=30)
    try:
        shell.expect(r"In \[1\]: ")
        shell.sendline("from cwsandbox import Sandbox; sb = Sandbox.run().wait(); p = sb.exec(['sh', '-c', 'echo up; sleep 600'])")
        shell.expect(r"In \[2\]: ")
        shell.sendline("print(next(p.stdout), end=''); print('blo' + 'cking', flush=True); p.result()")
        shell.expect("blocking")
        began = time.monotonic()
        shell.sendintr()
        shell.expect("KeyboardInterrupt")
        assert time.monotonic() - began < 10
        shell.expect(r"In \[3\]: ")
        shell.sendline("print(sb.exec(['echo', 'still ' + 'here']).result().stdout); sb.stop(graceful_shutdown_seconds=0).result()")
        shell.expect("still here")
        shell.expect(r"In \[4\]: ")
        shell.sendline("exit()")
        shell.expect(pexpect.EOF)
    finally:
        shell.close(force=True)
