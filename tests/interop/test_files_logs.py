"""ReadFile, WriteFile and StreamLogs with grpcio."""

import os

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from service import TIMEOUT, failure

MIB = 1 << 20


@pytest.mark.parametrize("size", [0, 1, 65536, 20 * MIB, 32 * MIB])
def test_files_come_back_byte_for_byte(sandbox, size):
    content = os.urandom(min(size, MIB)) * max(1, size // MIB) if size else b""
    sandbox.write("/tmp/f", content)
    assert sandbox.read("/tmp/f") == content
    assert sandbox.sh("stat -c %s /tmp/f") == f"{size}\n"


def test_writing_makes_parents_and_replaces(sandbox):
    sandbox.write("/tmp/a/b/c", b"longer text")
    sandbox.write("/tmp/a/b/c", b"short")
    assert sandbox.read("/tmp/a/b/c") == b"short"


def test_a_file_too_large_says_how_large_and_how_large_it_may_be(sandbox):
    sandbox.sh(f"head -c {33 * MIB} /dev/zero > /tmp/big")
    error = failure(sandbox.read, "/tmp/big")
    assert error.reason == "CWSANDBOX_FILE_TOO_LARGE"
    assert error.metadata["size_bytes"] == str(33 * MIB) and error.metadata["max_size_bytes"] == str(32 * MIB)
    error = failure(sandbox.write, "/tmp/big2", b"x" * (33 * MIB))
    assert error.reason == "CWSANDBOX_FILE_TOO_LARGE" and error.metadata["max_size_bytes"] == str(32 * MIB)


def test_what_is_no_readable_file_is_named(sandbox):
    sandbox.sh("mkdir -p /tmp/dir; mkfifo /tmp/fifo")
    cases = {"/tmp/missing": "FILE_NOT_FOUND", "/tmp/dir": "FILE_IS_DIRECTORY", "/tmp/fifo": "FILE_IO_FAILED"}
    for path, reason in cases.items():
        error = failure(sandbox.read, path)
        assert error.reason == f"CWSANDBOX_{reason}" and error.domain == "cwsandbox.com"
        assert error.metadata["filepath"] == path
    for path in ("/dev/null", "/dev/zero"):
        assert failure(sandbox.read, path).reason == failure(sandbox.write, path, b"x").reason == "CWSANDBOX_FILE_IO_FAILED"
    # A bare PERMISSION_DENIED would be an authentication failure for the clients.
    error = failure(sandbox.write, "/proc/self/stat", b"x")
    assert error.code == grpc.StatusCode.PERMISSION_DENIED and error.reason == "CWSANDBOX_FILE_PERMISSION_DENIED"
    assert failure(sandbox.write, "/tmp/dir", b"x").reason == "CWSANDBOX_FILE_IS_DIRECTORY"


def test_a_relative_path_is_refused(sandbox):
    assert failure(sandbox.read, "tmp/x").code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure(sandbox.write, "", b"").code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_full_disk_is_an_error(own_service):
    service = own_service(args=["--root-size", "8Mi"])
    box = service.create()
    error = failure(box.write, "/tmp/f", b"x" * (16 * MIB))
    assert error.reason == "CWSANDBOX_FILE_IO_FAILED"


def text(entries):
    """All data of a stream of log entries, checking offsets and session on the way."""
    data, session = b"", None
    for e in entries:
        assert e.data and e.log_session_id and session in (None, e.log_session_id)
        session = e.log_session_id
        data += e.data
        assert e.next_log_offset == len(data)
    return data


def test_logs_are_those_of_the_main_process_only(service):
    box = service.create("/bin/sh", ["-c", "echo out; echo err >&2; exec sleep infinity"])
    box.run("echo", "from exec")
    assert text(box.logs()) == b"out\nerr\n"
    assert text(box.logs(tail_lines=1)) == b"err\n"
    box.delete()


def test_no_output_is_no_frame(service):
    box = service.create("/bin/sleep", ["infinity"])
    assert list(box.logs()) == []
    box.delete()


def test_logs_of_an_ended_sandbox_are_kept(service):
    box = service.create("/bin/sh", ["-c", "seq 1 50000"])
    box.get(wait="terminal")
    assert text(box.logs()) == b"".join(b"%d\n" % i for i in range(1, 50001))
    assert text(box.logs(tail_lines=2)) == b"49999\n50000\n"


def test_timestamps_are_one_word_before_each_line(service):
    box = service.create("/bin/sh", ["-c", "echo a; echo b"])
    box.get(wait="terminal")
    lines = text(box.logs(timestamps=True)).decode().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["a", "b"]
    assert all(line.split(" ")[0].endswith("Z") for line in lines)


def unblock(box, script):
    """Lets the main command go on. It may end, and the sandbox with it, before this very command is
    reaped, so nobody asks for its result; dropping the future would cancel it."""
    return box.stub.Exec.future(pb.ExecRequest(sandbox_id=box.id, command=["/bin/sh", "-c", script]), timeout=TIMEOUT)


def test_following_shows_the_backlog_then_what_comes_then_ends(service):
    box = service.create("/bin/sh", ["-c", "mkfifo /tmp/go; echo one; read x < /tmp/go; echo $x"])
    call = box.logs(follow=True)
    assert next(call).data == b"one\n"
    kept = unblock(box, "echo two > /tmp/go")
    assert b"".join(e.data for e in call) == b"two\n"
    kept.cancel()
    assert box.get(wait="terminal").status.state == pb.STATE_COMPLETED


def test_an_interrupted_session_is_resumed(service):
    box = service.create("/bin/sh", ["-c", "echo one; mkfifo /tmp/go; read x < /tmp/go; echo two"])
    call = box.logs(follow=True)
    entry = next(call)
    assert entry.data == b"one\n"
    call.cancel()
    kept = unblock(box, "until [ -p /tmp/go ]; do :; done; echo x > /tmp/go")
    rest = box.logs(follow=True, resume_log_session_id=entry.log_session_id,
                    resume_log_offset=entry.next_log_offset)
    entries = list(rest)
    assert b"".join(e.data for e in entries) == b"two\n"
    assert entries[-1].next_log_offset == 8
    kept.cancel()


def test_an_unknown_session_is_an_error_in_band(service):
    box = service.create("/bin/sleep", ["infinity"])
    entries = list(box.logs(follow=True, resume_log_session_id="nonsense", resume_log_offset=3))
    assert [e.error.code for e in entries] == ["SESSION_NOT_FOUND"]
    box.delete()


def test_logs_keep_what_the_service_was_told_to_keep(own_service):
    service = own_service(args=["--log-size", "1Mi"])
    box = service.create("/bin/sh", ["-c", "seq 1000000; echo last"])  # 6.9 MB
    assert box.get(wait="terminal").status.state == pb.STATE_COMPLETED
    log = text(box.logs())
    assert log.endswith(b"1000000\nlast\n") and len(log) <= 2 << 20, len(log)
