"""Another cwsandbox-launch in the place of one that serves: both its processes execute it, and every sandbox goes on."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from service import TIMEOUT, Service, failure, programs
from test_adoption import settled
from test_files_logs import text
from test_lifecycle import descendants, sandbox_cgroups, stop_leaves_nothing, wait_gone
from test_renew import renew
from test_restart import kill_daemon

LAUNCH = programs()[1]

# Says that it can, and then cannot: the program behind it finds no init.
CANNOT_START = f"""#!{sys.executable}
import os, sys
words = sys.argv[1:]
if words[0] == "--engine":
    words[words.index("--init") + 1] = "/nonexistent"
os.execv("{LAUNCH}", ["cwsandbox-launch", *words])
"""


@pytest.fixture
def service(own_service):
    """Runs a copy, so that another file can take its place."""
    service = Service(as_user=own_service.as_user, args=["--accept-unenforced-limits", "--warm-pool", "0"])
    service.launch = service.dir / "cwsandbox-launch"
    put(service, LAUNCH.read_bytes())
    service.program = Path(shutil.copy(service.program, service.dir))
    service.extra += ["--launch-path", str(service.launch)]
    with service:
        yield service


def put(service, content, place=None):
    """In the place of cwsandbox-launch, as a package does it: another file under the same name."""
    new = service.dir / "new"
    new.write_bytes(content)
    new.chmod(0o755)
    os.replace(new, place or service.launch)


def launches(service):
    """The supervisor and the engine."""
    main = service.process.pid
    children = map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())
    return [main, *(pid for pid in children if "cwsandbox-launch" in first_word(pid))]


def first_word(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    except (FileNotFoundError, ProcessLookupError):  # a daemon that was not wanted after all, just reaped
        return ""


def runs(pid):
    st = os.stat(f"/proc/{pid}/exe")
    return st.st_dev, st.st_ino


def upgrade(service):
    put(service, LAUNCH.read_bytes())
    renew(service)
    st = service.launch.stat()
    assert [runs(pid) for pid in launches(service)] == [(st.st_dev, st.st_ino)] * 2


def test_everything_goes_on(service):
    script = "i=0; while [ ! -e /tmp/stop ]; do echo $i; i=$((i+1)); sleep 0.002; done; exit 6"
    counter = service.create("/bin/sh", ["-c", script])
    limits = pb.Resources(memory="64Mi", cpu="500m")
    limited = service.create(resource_requirements=pb.ResourceRequirements(limits=limits))
    ended = service.create("/bin/sh", ["-c", "exit 3"])
    ended.get(wait="terminal")
    counter.write("/root/f", b"kept")
    cpus = limited.sh("nproc; cat /sys/fs/cgroup/memory.max")
    cut = limited.stream("/bin/sh", "-c", "echo begun; exec sleep 4001")
    assert next(cut).WhichOneof("message") == "ready"
    pids = launches(service)

    upgrade(service)

    assert launches(service) == pids
    assert failure(lambda: cut).code == grpc.StatusCode.UNAVAILABLE
    assert "sleep\0004001" not in limited.sh("cat /proc/[0-9]*/cmdline")
    assert counter.read("/root/f") == b"kept"
    assert ended.get().status.exit_code == 3
    assert counter.run("/bin/sh", "-c", "exit 7").exit_code == 7
    assert limited.sh("nproc; cat /sys/fs/cgroup/memory.max") == cpus
    if sandbox_cgroups(service):
        assert limited.run("python3", "-c", "bytearray(300 << 20)").exit_code == 137
    error = failure(limited.stub.Exec, pb.ExecRequest(sandbox_id=limited.id, command=["sleep", "4002"]), timeout=0.5)
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "sleep\0004002" not in limited.sh("cat /proc/[0-9]*/cmdline")
    fresh = service.create("/bin/sleep", ["1000"])
    assert fresh.sh("cat /proc/1/comm") == "cwsandbox-init\n"
    for box in (limited, fresh):
        box.delete()
        assert box.get(wait="terminal").status.state == pb.STATE_TERMINATED
        assert not any(box.id in dirs for _, dirs in sandbox_cgroups(service))
    counter.write("/tmp/stop", b"")
    status = counter.get(wait="terminal").status
    assert (status.state, status.exit_code) == (pb.STATE_COMPLETED, 6)
    lines = text(counter.logs()).split()
    assert lines == [b"%d" % i for i in range(len(lines))] and len(lines) > 10, "a gap in the log"
    stop_leaves_nothing(service)


def test_again_and_again_nothing_piles_up(service):
    boxes = [service.create("/bin/sleep", ["1000"]) for _ in range(3)]

    upgrade(service)
    before = descriptors(service)
    for _ in range(3):
        upgrade(service)
    renew(service, signal.SIGUSR2)  # the same file: asked for
    assert descriptors(service) == before
    assert all(box.run("true").exit_code == 0 for box in boxes)


def descriptors(service):
    """What kind each of the two has open, when the engine has filled its pool of eight namespaces: then it rests."""
    end, last = time.monotonic() + TIMEOUT, None
    while time.monotonic() < end:
        try:
            kinds = [sorted(os.readlink(f"/proc/{pid}/fd/{n}").split(":")[0] for n in os.listdir(f"/proc/{pid}/fd"))
                     for pid in launches(service)]
        except FileNotFoundError:
            continue
        if kinds[1].count("net") > 8 and kinds == last:
            return kinds
        last = kinds
        time.sleep(0.05)
    raise AssertionError("the engine does not come to rest")


@pytest.mark.parametrize("content", ["#!/bin/sh\nexit 3\n", "no program\n"])
def test_one_that_cannot_take_over_changes_nothing(service, content):
    stream = service.create().stream("/bin/sh", "-c", "echo begun; sleep 1000")
    assert next(stream).WhichOneof("message") == "ready"
    before = [(pid, runs(pid)) for pid in launches(service)]
    put(service, content.encode())
    renew(service, says="reload_failed")
    assert [(pid, runs(pid)) for pid in launches(service)] == before
    assert next(stream).output.data == b"begun\n"  # nothing was cut
    stream.cancel()
    assert service.create("/bin/sleep", ["1000"]).run("true").exit_code == 0
    upgrade(service)


def test_one_that_fails_half_way_gives_the_sandboxes_back(service):
    box = service.create("/bin/sleep", ["1000"])
    before = [(pid, runs(pid)) for pid in launches(service)]
    put(service, CANNOT_START.encode())
    renew(service, says="reload_failed")
    assert "engine_not_resumed" in service.log()
    assert settled(lambda: box.run("true")).exit_code == 0
    assert [(pid, runs(pid)) for pid in launches(service)] == before
    assert service.create("/bin/sleep", ["1000"]).run("true").exit_code == 0
    upgrade(service)
    assert box.run("true").exit_code == 0
    box.delete()
    assert box.get(wait="terminal").status.state == pb.STATE_TERMINATED


def test_who_follows_a_dead_daemon_is_of_its_release_until_a_reload(service):
    box = service.create("/bin/sleep", ["1000"])
    upgrade(service)
    before = runs(service.daemon_pid())
    put(service, b"#!/bin/sh\nexit 3\n", service.program)
    kill_daemon(service)
    assert settled(lambda: box.run("true")).exit_code == 0
    assert runs(service.daemon_pid()) == before
    assert Path(f"/proc/{service.daemon_pid()}/comm").read_text() == "cwsandboxd\n"


def test_what_is_killed_afterwards_ends_as_before(service):
    box = service.create("/bin/sleep", ["1000"])
    upgrade(service)
    kill_daemon(service)
    assert settled(lambda: box.run("true")).exit_code == 0
    processes = descendants(service.process.pid)
    service.process.kill()
    service.process.wait(TIMEOUT)
    wait_gone(processes)
    assert sandbox_cgroups(service) == []
