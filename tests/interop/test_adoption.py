"""The next daemon takes over what the one before had: nothing that runs notices."""

import threading
import time
from pathlib import Path

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from service import TIMEOUT
from test_files_logs import text
from test_restart import kill_daemon


def settled(call):
    """What a daemon says, once there is one."""
    end = time.monotonic() + TIMEOUT
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                raise
        time.sleep(0.01)


def test_main_process_log_and_files_go_on(own_service):
    service = own_service()
    script = "echo begun; i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo $i; sleep 0.002; done; echo done; exit 6"
    box = service.create("/bin/sh", ["-c", script])
    pid = box.sh("pgrep -of begun").strip()
    box.write("/tmp/f", b"kept")
    for _ in range(2):
        kill_daemon(service)
        assert settled(lambda: box.sh("pgrep -of begun").strip()) == pid
    assert box.read("/tmp/f") == b"kept"
    box.write("/tmp/stop", b"")
    status = box.get(wait="terminal").status
    assert (status.state, status.exit_code) == (pb.STATE_COMPLETED, 6)
    lines = text(box.logs()).decode().split()
    assert lines[0] == "begun" and lines[-1] == "done"
    assert lines[1:-1] == [str(i) for i in range(1, len(lines) - 1)]


def test_what_ran_for_a_cut_call_is_killed_and_what_it_left_stays(own_service):
    service = own_service()
    box = service.create()
    box.sh("setsid sleep 4001 >/dev/null 2>&1 &")
    cut = []

    def call():
        try:
            cut.append(box.run("/bin/sh", "-c", "setsid sleep 4002 & exec sleep 4003"))
        except grpc.RpcError as error:
            cut.append(error.code())

    caller = threading.Thread(target=call)
    caller.start()
    running = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 400[1-3]' | sort -u | tr '\\n' ' '"
    while box.sh(running) != "sleep 4001 sleep 4002 sleep 4003 ":
        pass
    kill_daemon(service)
    caller.join()
    assert cut == [grpc.StatusCode.UNAVAILABLE]
    end = time.monotonic() + TIMEOUT
    while (left := settled(lambda: box.sh(running))) != "sleep 4001 " and time.monotonic() < end:
        pass
    assert left == "sleep 4001 "


def test_lifetime_counts_from_the_beginning(own_service):
    service = own_service()
    box = service.create(max_lifetime_seconds=4)
    began = time.monotonic()
    time.sleep(1)  # some of it passes under the first daemon
    kill_daemon(service)
    status = settled(lambda: box.get(wait="terminal")).status
    assert status.state == pb.STATE_TERMINATED and status.state_reason == "lifetime ended"
    assert 3 < time.monotonic() - began < 10


def test_grace_of_a_stop_goes_on(own_service):
    service = own_service()
    box = service.create("/bin/sh", ["-c", "trap 'sleep 1; echo asked; exit 5' TERM; : >/tmp/ready; while :; do sleep 0.05; done"])
    box.run("/bin/sh", "-c", "until test -e /tmp/ready; do sleep 0.01; done")
    box.delete(grace=60)
    kill_daemon(service)
    status = settled(lambda: box.get(wait="terminal")).status
    assert (status.state, status.exit_code) == (pb.STATE_TERMINATED, 5)
    assert b"asked" in text(box.logs())


def test_a_sandbox_without_record_is_ended(own_service):
    """Its record was damaged while nobody looked: its main process must not run on unseen."""
    service = own_service()
    lost, kept = (service.create("/bin/sleep", ["1000"]) for _ in range(2))
    assert lost.id in _hostnames()
    records = service.dir / "data" / "ledger" / "records"
    with open(records, "r+b") as f:
        data = f.read()
        at = data.index(lost.id.encode())
        f.seek(at + 200)
        f.write(bytes([data[at + 200] ^ 1]))
    kill_daemon(service)
    assert settled(kept.get).status.state == pb.STATE_RUNNING
    with pytest.raises(grpc.RpcError) as error:
        lost.get()
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    assert lost.id in service.wait_log("is damaged: set aside as")
    end = time.monotonic() + TIMEOUT
    while lost.id in _hostnames() and time.monotonic() < end:
        time.sleep(0.05)
    assert lost.id not in _hostnames()


def _hostnames() -> str:
    """The names of all sandboxes that this machine runs: each is in the environment of its main process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            pass
    return "\n".join(found)
