"""A fork bomb stays in its sandbox: as root by the pids cgroup, as an ordinary user by RLIMIT_NPROC of its user namespace.

The damage is bounded three times: the first program forks MOST times at most; the real bombs run only after it was held;
and the user's service runs below conftest.BACKSTOP.
"""

from __future__ import annotations

import os
import shutil

import cwsandbox
import pytest
from conftest import PIDS, SECONDS

MOST = 4 * PIDS

# Prints how many children it got. They wait for it, so they end with it.
COUNT = """
import os, sys
read, write = os.pipe()
n = 0
try:
    while n < int(sys.argv[1]):
        if os.fork() == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        n += 1
except BlockingIOError:
    pass
print(n)
os.close(write)
for _ in range(n):
    os.wait()  # or they would still be counted after our end
"""
THREADS = """
import threading, sys
gate = threading.Event()
n = 0
try:
    while n < int(sys.argv[1]):
        threading.Thread(target=gate.wait, daemon=True).start()
        n += 1
except RuntimeError:
    pass
gate.set()
print(n)
"""
BOMB = "echo up; b() { b | b & }; b; exec sleep 1000"
# Every generation leaves its session and its parent: walking the tree from the leader is a race that it wants to win.
RUNAWAY = """
import os, signal
if os.fork() != 0:
    signal.pause()
os.write(1, b"up\\n")
while True:
    try:
        if os.fork() == 0:
            os.setsid()
        elif os.fork() == 0:
            os.setsid()
        else:
            os._exit(0)
    except OSError:
        pass
"""


def count(sandbox, program=COUNT) -> int:
    return int(sandbox.exec(["python3", "-c", program, str(MOST)]).result(SECONDS).stdout)


def alive(sandbox) -> None:
    """The last processes of a bomb may still be on their way out: full is an answer, and asked again."""
    for _ in range(1000):
        try:
            assert sandbox.exec(["echo", "alive"]).result(SECONDS).stdout == "alive\n"
            return
        except cwsandbox.SandboxResourceExhaustedError:
            pass
    raise AssertionError("the sandbox stays full")


def test_processes_are_counted(box):
    assert count(box) == PIDS - 1  # with python itself
    assert count(box) == PIDS - 1  # and nothing of the first run stayed


def test_threads_are_counted(box):
    assert count(box, THREADS) == PIDS - 1


def test_the_limit_cannot_be_raised(box):
    code = """
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
for value in (hard + 1, resource.RLIM_INFINITY):
    try:
        resource.setrlimit(resource.RLIMIT_NPROC, (value, value))
        print("raised")
    except (OSError, ValueError):
        pass
"""
    if box.exec(["sh", "-c", "ulimit -u"]).result().stdout.strip() != "unlimited":
        assert box.exec(["python3", "-c", code]).result().stdout == ""
    assert count(box) == PIDS - 1


def test_another_user_inside_does_not_escape_the_count(box):
    """Ids are cheap inside: a bomb that changes its user with every child must not start a new count."""
    code = COUNT.replace("os.close(write)", "os.close(write); os.setuid(n + 1)")
    assert count(box, code) <= PIDS - 1


def test_each_sandbox_has_a_count_of_its_own(service, box):
    process = box.exec(["python3", "-c", COUNT.replace("print(n)", "print(n, flush=True); os.read(read, 1)"), str(MOST)])
    assert int(next(process.stdout)) == PIDS - 1
    with service.sandbox() as neighbour:
        assert count(neighbour) == PIDS - 1
    assert process.cancel()
    alive(box)


@pytest.mark.parametrize("command", [["bash", "-c", BOMB], ["python3", "-c", RUNAWAY]], ids=["shell", "runaway"])
def test_a_bomb_is_held_and_killed(service, box, command):
    assert count(box) < PIDS  # or we do not light it
    process = box.exec(command, timeout_seconds=3)
    assert next(process.stdout) == "up\n"
    with pytest.raises(cwsandbox.SandboxTimeoutError):
        process.result(SECONDS)
    # The time-out was reported, so all of it is dead, and there is room for the next at once.
    left = box.exec(["sh", "-c", "grep -lE '[(](bash|python3)[)] [^Z]' /proc/[0-9]*/stat 2>/dev/null | wc -l"]).result(SECONDS)
    assert left.stdout == "0\n"
    service.alive()


@pytest.mark.parametrize("command", [["bash", "-c", BOMB], ["python3", "-c", RUNAWAY]], ids=["shell", "runaway"])
def test_a_bomb_ends_with_its_sandbox(service, command):
    with service.sandbox() as sandbox:
        assert count(sandbox) < PIDS
        process = sandbox.exec(command)
        assert next(process.stdout) == "up\n"
        sandbox.stop(graceful_shutdown_seconds=0).result(SECONDS)
    service.alive()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="root, to hide the cgroups")
def test_root_without_cgroups_has_a_limit_too(own_service):
    """Processes are counted per user then, so changing the user must be impossible."""
    hide = "umount -l /sys/fs/cgroup && exec \"$@\""
    service = own_service(False, wrapper=("unshare", "-m", "sh", "-c", hide, "sh"))
    with service.sandbox() as sandbox:
        assert count(sandbox) == PIDS - 1
        code = COUNT.replace("os.close(write)", "os.close(write); os.setuid(n + 1)")
        assert count(sandbox, code) <= PIDS - 1
        if "setuid:" not in service.log_path.read_text():
            return  # a machine with cgroup v2 alone: root mounted one of its own, and it counts
        refused = sandbox.exec(["python3", "-c", "import os; os.setuid(1)"]).result()
        assert "PermissionError" in refused.stderr
