"""The daemon dies unasked: its supervisor starts another, and nobody is refused."""

import os
import signal
import socket
import threading
import time
from pathlib import Path

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

from service import KEY, OPTIONS, TIMEOUT, Service, failure, programs
from test_lifecycle import descendants, sandbox_cgroups, stop_leaves_nothing, wait_gone


def kill_daemon(service) -> int:
    """Kills it and waits for its end; its pid."""
    pid = service.daemon_pid()
    fd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_gone([pid])
    os.close(fd)
    return pid


def listing(service, key=KEY):
    with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
        return rpc.SandboxServiceStub(channel).ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, wait_for_ready=True,
                                                             metadata=[("authorization", f"Bearer {key}")])


def test_another_daemon_serves_within_a_second_and_nobody_is_refused(own_service):
    service = own_service()
    service.create().run("true")
    refused, stop = [], threading.Event()

    def knock():
        while not stop.is_set():
            for family, address in ((socket.AF_UNIX, str(service.socket)), (socket.AF_INET, ("127.0.0.1", service.port))):
                with socket.socket(family) as s:
                    try:
                        s.connect(address)
                    except OSError as error:
                        refused.append(error)
            stop.wait(0.005)

    knocker = threading.Thread(target=knock)
    knocker.start()
    try:
        first = kill_daemon(service)
        began = time.monotonic()
        listing(service)
        assert time.monotonic() - began < 1
        assert service.daemon_pid() not in (0, first)
        with grpc.insecure_channel(service.unix, OPTIONS) as channel:
            box = service.create(stub=rpc.SandboxServiceStub(channel))
            assert box.run("echo", "hi").stdout == b"hi\n"
    finally:
        stop.set()
        knocker.join()
    assert refused == []
    assert "daemon_died signal=9" in service.log()
    stop_leaves_nothing(service)


def test_a_daemon_that_dies_again_and_again_is_started_ever_more_slowly(own_service):
    service = own_service()
    for n in range(3):
        kill_daemon(service)
        began = time.monotonic()
        listing(service)
    assert time.monotonic() - began >= 0.2  # 0, 0.1, 0.2 s
    assert service.process.poll() is None


def test_the_next_daemon_has_the_keys_of_the_last_reload(own_service):
    service = own_service()
    keys = service.dir / "keys"
    keys.write_text("carol:interop-key-3\n")
    service.process.send_signal(signal.SIGHUP)
    service.wait_log("keys_loaded")
    keys.unlink()
    kill_daemon(service)
    listing(service, "interop-key-3")
    assert failure(listing, service).code == grpc.StatusCode.UNAUTHENTICATED
    keys.write_text("broken\n")
    service.process.send_signal(signal.SIGHUP)
    service.wait_log("keys_kept")
    kill_daemon(service)
    listing(service, "interop-key-3")


@pytest.mark.skipif(os.geteuid() != 0, reason="a key file of root's needs root")
def test_a_key_file_that_only_root_reads():
    """The daemon is somebody else; what it must know is handed to it."""
    with Service() as service:
        keys = service.dir / "keys"
        keys.write_text("carol:interop-key-3\n")
        assert keys.stat().st_uid == 0 and keys.stat().st_mode & 0o777 == 0o600
        service.process.send_signal(signal.SIGHUP)
        service.wait_log("keys_loaded")
        listing(service, "interop-key-3")


def test_a_stop_between_two_daemons(own_service):
    """Nobody is left to ask; the sandboxes end all the same."""
    service = own_service()
    service.create("/bin/sleep", ["1000"])
    processes = descendants(service.process.pid)
    for _ in range(4):
        kill_daemon(service)
        listing(service)
    os.kill(service.daemon_pid(), signal.SIGKILL)  # the next one is 0.8 s away
    service.wait_log("daemon_died")
    service.stop()
    assert service.process.wait(TIMEOUT) in (0, 1)
    service.expect_ready = False
    wait_gone(processes)
    assert sandbox_cgroups(service) == []
    assert not service.socket.exists()


def test_the_daemon_behind_its_filter(own_service):
    status = Path(f"/proc/{own_service().daemon_pid()}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    if b"__asan_init" not in programs()[0].read_bytes():  # a sanitizer needs calls that the daemon does not
        assert fields["Seccomp"] == "2" and fields["Seccomp_filters"] == "1"


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_log_goes_on_in_the_next_daemon_where_it_was_cut(own_service, timestamps):
    """Sessions are the daemon's, but their names tell the next one where they began."""
    service = own_service()
    box = service.create("/bin/sh", ["-c", "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.005; done"])
    got, session, offset, kills = b"", "", 0, 0
    while True:
        try:
            for entry in box.logs(follow=True, timestamps=timestamps, resume_log_session_id=session, resume_log_offset=offset):
                assert not entry.HasField("error"), entry
                got, session, offset = got + entry.data, entry.log_session_id, entry.next_log_offset
                if kills < 2 and got.count(b"\n") > 60 * (kills + 1):
                    kills += 1
                    os.kill(service.daemon_pid(), signal.SIGKILL)
            break
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert kills == 2
    lines = got.splitlines(keepends=True)
    if timestamps:
        assert all(line[:4].isdigit() for line in lines)
        lines = [line.split(b" ", 1)[1] for line in lines]
    assert b"".join(lines) == b"".join(b"line %d\n" % n for n in range(400))


def test_a_name_of_a_log_session_that_was_made_up(own_service):
    service = own_service()
    box = service.create("/bin/sh", ["-c", "echo one; sleep 1000"])
    name = next(box.logs(follow=True)).log_session_id
    uuid, flags, sent, _ = name.split(".")
    for other in (f"{'0' * 36}.{flags}.{sent}.ffffffffffffffff", f"{'0' * 36}.xx.0.0", "0" * 36, f"{'0' * 36}.pl.0.-1", f"{name}x"[1:]):
        entries = list(box.logs(follow=True, resume_log_session_id=other, resume_log_offset=3))
        assert [e.error.code for e in entries] == ["SESSION_NOT_FOUND"], other
    far = list(box.logs(follow=True, resume_log_session_id="0" * 36 + name[36:], resume_log_offset=1000))
    assert [e.error.code for e in far] == ["SESSION_NOT_FOUND"]
