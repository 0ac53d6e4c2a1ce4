"""The promises of docs/architecture.md, one test each, seen as a user of the package sees them.

5 (slow readers) and 6 (idempotent create) need the raw interface and live in tests/interop/test_exec.py
(test_output_nobody_reads_costs_the_service_no_memory) and test_sandboxes.py (test_the_same_request_id_gives_the_same_sandbox).
"""

from __future__ import annotations

import glob
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import cwsandbox
from cwsandbox import Sandbox

# Starts a grandchild in a session of its own that nobody waits for: what a careless or hostile program does.
DAEMON = textwrap.dedent("""
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            open("/tmp/daemon.pid", "w").write(str(os.getpid()))
            print("daemon is up", flush=True)
            time.sleep(1000)
        os._exit(0)
    time.sleep(1000)
""")


def alive(sandbox: Sandbox, pid_file: str) -> bool:
    """Is the process whose pid the file holds running, as a process of the sandbox sees it?"""
    script = f'kill -0 "$(cat {pid_file})" 2>/dev/null'
    return sandbox.exec(["sh", "-c", script]).result().returncode == 0


def own_service_environment(tmp_path) -> dict[str, str]:
    """A service that a test may kill."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    return {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "CWSANDBOX_DATA_DIR": str(tmp_path / "data"),
            "CWSANDBOX_IDLE_SECONDS": "1"}


def python(environment: dict[str, str], code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def test_1_a_broken_stream_raises_and_never_invents_an_exit(tmp_path):
    client = python(own_service_environment(tmp_path), """
        import os, signal, socket, struct
        import cwsandbox
        from cwsandbox import Sandbox

        process = Sandbox.run().exec(["sh", "-c", "echo started; sleep 1000"])
        assert next(process.stdout) == "started\\n"
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.environ["XDG_RUNTIME_DIR"] + "/cwsandbox/service.sock")
            pid = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        os.kill(pid, signal.SIGKILL)
        assert list(process.stdout) == []
        try:
            print("exit code", process.result().returncode)
        except cwsandbox.SandboxUnavailableError as error:
            print("raised", process.returncode)
    """)
    output, _ = client.communicate(timeout=60)
    assert output.strip() == "raised None"


def test_1_output_comes_before_the_exit(shared):
    process = shared.exec(["sh", "-c", "seq 20000; seq 20000 >&2; exit 3"])
    result = process.result()
    expected = "".join(f"{i}\n" for i in range(1, 20001))
    assert (result.stdout, result.stderr, result.returncode) == (expected, expected, 3)


def test_2_output_is_exact_and_in_order(shared):
    code = "import os; [os.write(1, bytes([i % 256]) * (i % 5000)) for i in range(4000)]"
    wanted = hashlib.sha256(b"".join(bytes([i % 256]) * (i % 5000) for i in range(4000))).hexdigest()
    result = shared.exec(["python3", "-c", code]).result()
    assert hashlib.sha256(result.stdout_bytes).hexdigest() == wanted


def test_2_a_write_is_seen_before_anything_else_happens(shared):
    process = shared.exec(["cat"], stdin=True)
    for i in range(50):
        process.stdin.writeline(str(i)).result()
        assert next(process.stdout) == f"{i}\n"
    process.stdin.close().result()
    assert process.result().returncode == 0


def test_3_a_timeout_kills_everything_the_command_started(shared):
    process = shared.exec(["python3", "-c", DAEMON], timeout_seconds=1)
    assert next(process.stdout) == "daemon is up\n"
    assert alive(shared, "/tmp/daemon.pid")
    with pytest.raises(cwsandbox.SandboxTimeoutError):
        process.result()
    assert not alive(shared, "/tmp/daemon.pid")


BOMB = """
import os
os.write(1, b"up\\n")
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's service has limits here")
def test_3_a_timeout_is_reported_when_a_bomb_in_tight_limits_is_dead(embedded_service):
    """What kills must not be starved by what it kills; and "killed" is said afterwards, not before."""
    with Sandbox.run(resources={"memory": "64Mi", "cpu": "100m"}) as sandbox:
        for _ in range(2):
            process = sandbox.exec(["python3", "-c", BOMB], timeout_seconds=3)
            assert next(process.stdout) == "up\n"
            with pytest.raises(cwsandbox.SandboxTimeoutError):
                process.result()
            for events in glob.glob(f"/sys/fs/cgroup/**/cwsandbox/*/{sandbox.sandbox_id}/load/cgroup.events", recursive=True):
                assert "populated 0" in Path(events).read_text()
            assert sandbox.exec(["echo", "next"], timeout_seconds=10).result().stdout == "next\n"


def test_3_cancelling_kills_everything_the_command_started(sb):
    process = sb.exec(["python3", "-c", DAEMON])
    assert next(process.stdout) == "daemon is up\n"
    assert process.cancel()
    # The cancellation and the next exec travel on one connection, in this order.
    assert not alive(sb, "/tmp/daemon.pid")


def test_3_deleting_kills_everything(embedded_service):
    sandbox = Sandbox.run()
    process = sandbox.exec(["python3", "-c", DAEMON])
    assert next(process.stdout) == "daemon is up\n"
    sandbox.stop(graceful_shutdown_seconds=0).result()
    with pytest.raises(cwsandbox.CWSandboxError):
        process.result()


def test_4_a_client_that_vanishes_leaves_its_sandbox_and_no_exec(embedded_service):
    client = python(dict(os.environ), f"""
        from cwsandbox import Sandbox
        sandbox = Sandbox.run()
        process = sandbox.exec(["python3", "-c", {DAEMON!r}])
        next(process.stdout)
        print(sandbox.sandbox_id, flush=True)
        process.result()
    """)
    sandbox_id = client.stdout.readline().strip()
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    with Sandbox.from_id(sandbox_id).result() as sandbox:
        assert sandbox.get_status() == "running"
        # The service learns of the death from the closed connection: wait for the process to end, not for a time.
        watch = 'while kill -0 "$(cat /tmp/daemon.pid)" 2>/dev/null; do sleep 0.01; done'
        assert sandbox.exec(["sh", "-c", watch], timeout_seconds=20).result().returncode == 0


def test_6_delete_is_idempotent(embedded_service):
    sandbox = Sandbox.run()
    Sandbox.delete(sandbox.sandbox_id).result()
    sandbox.wait_until_complete(raise_on_termination=False).result()
    sandbox.stop().result()
    sandbox.stop(missing_ok=True).result()


def test_7_a_full_disk_is_an_error_and_leaves_the_old_file(sb):
    sb.write_file("/root/keep", b"old").result()
    fill = sb.exec(["sh", "-c", "cat /dev/zero > /root/fill; sync"], timeout_seconds=120).result()
    assert fill.returncode != 0 or "No space left" in fill.stderr
    with pytest.raises(cwsandbox.SandboxFileError, match="No space left"):
        sb.write_file("/root/keep", b"new" * 1000000).result()
    assert sb.read_file("/root/keep").result() == b"old"


@pytest.mark.parametrize(("path", "reason"), [
    ("/no/such", "CWSANDBOX_FILE_NOT_FOUND"),
    ("/tmp", "CWSANDBOX_FILE_IS_DIRECTORY"),
    ("/dev/null", "CWSANDBOX_FILE_IO_FAILED"),
])
def test_8_an_error_names_what_where_and_why(shared, path, reason):
    with pytest.raises(cwsandbox.SandboxFileError) as caught:
        shared.read_file(path).result()
    assert caught.value.reason == reason
    assert caught.value.filepath == path
    assert path in str(caught.value)


def test_9_nothing_of_the_host_is_visible(shared, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("host only")
    script = f"""
        test ! -e {secret} && test ! -e {os.environ['XDG_RUNTIME_DIR']} && test -z "$(ls -A /home)" &&
        ! grep -v ":[*]:" /etc/shadow && test ! -e /work && test -z "$(find /sys -type f -not -path "/sys/fs/*" -not -path "/sys/devices/system/cpu/*")" &&
        test "$(ls -d /proc/[0-9]* | wc -l)" -lt 12 && test "$(grep -c : /proc/net/dev)" = 1
    """
    result = shared.exec(["sh", "-c", script]).result()
    assert result.returncode == 0, result


def test_9_nothing_of_the_neighbours_is_visible(shared, sb):
    sb.write_file("/tmp/mine", b"x").result()
    sleeper = sb.exec(["sleep", "4242"])
    result = shared.exec(["sh", "-c", "ls /tmp/mine; cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).result()
    assert "4242" not in result.stdout
    assert "/tmp/mine" in result.stderr
    assert sleeper.cancel()
