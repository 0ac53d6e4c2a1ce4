"""fork(): the child gets a clear error for what the parent began, and a service of its own to talk to."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import subprocess
import sys

import pytest
from cwsandbox import Sandbox, Session

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def in_child(body) -> str:
    """Run body() in a forked child and return what it returned, or the exception's text."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            os.write(write, str(body()).encode())
            code = 0
        except BaseException as exc:
            os.write(write, f"{type(exc).__name__}: {exc}".encode())
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as f:
        text = f.read().decode()
    os.waitpid(pid, 0)
    return text


def test_handles_of_the_parent_fail_in_the_child_and_live_in_the_parent(shared):
    process = shared.exec(["cat"], stdin=True)
    text = in_child(lambda: process.result(timeout=10))
    assert text.startswith("RuntimeError")
    process.stdin.writeline("parent").result()
    process.stdin.close()
    assert process.result().stdout == "parent\n"


def test_calls_on_a_sandbox_of_the_parent_fail_in_the_child(shared):
    assert in_child(lambda: shared.exec(["true"]).result(timeout=10)).startswith("RuntimeError")
    assert shared.exec(["echo", "ok"]).result().stdout == "ok\n"


def test_the_child_has_a_fresh_client(shared):
    def body():
        with Sandbox.run() as sandbox:
            return sandbox.exec(["echo", "child"]).result().stdout

    assert in_child(body) == "child\n"
    assert in_child(lambda: Sandbox.from_id(shared.sandbox_id).result().exec(["echo", "x"]).result().stdout) == "x\n"


def test_await_in_the_child(shared):
    import asyncio

    async def body():
        async with Sandbox() as sandbox:
            return (await sandbox.exec(["echo", "async child"])).stdout

    assert asyncio.run(body()) == "async child\n"
    assert in_child(lambda: asyncio.run(body())) == "async child\n"


def test_a_child_that_exits_does_not_close_the_sessions_of_its_parent():
    from cwsandbox import _cleanup, _session

    with Session() as session:
        sandbox = session.sandbox()
        sandbox.start().result()

        def body():
            assert _session.open_sessions() == []
            _cleanup.close_sessions()
            return "exited"

        assert in_child(body) == "exited"
        assert sandbox.exec(["echo", "alive"]).result().stdout == "alive\n"


EXITS = """
import os, sys
from cwsandbox import Sandbox

def work():
    with Sandbox.run() as sandbox:
        sandbox.exec(["true"]).result()

work()  # starts the service, by a thread that no child has
for uses in (False, True):
    if os.fork() == 0:
        if uses:
            work()
        sys.exit(3)  # and not os._exit(): the destructors of libraries run
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
"""


def test_a_child_may_exit_like_any_program(tmp_path):
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "CWSANDBOX_DATA_DIR": str(tmp_path / "data"), "CWSANDBOX_IDLE_SECONDS": "1"}
    tmp_path.chmod(0o700)
    subprocess.run([sys.executable, "-W", "ignore", "-c", EXITS], env=environment, check=True, timeout=60)
    with open(tmp_path / "cwsandbox" / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the service is gone


def _work(i: int) -> str:
    with Sandbox.run() as sandbox:
        return sandbox.exec(["echo", str(i)]).result().stdout


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(shared, method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_work, range(4)) == [f"{i}\n" for i in range(4)]
