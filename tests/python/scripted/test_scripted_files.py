"""Files: one message when it fits, a stream when it does not, and every way a service refuses."""

from __future__ import annotations

import asyncio
import gc

import cwsandbox as cw
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from cwsandbox import Sandbox
from scripted_server import ID, Status, exec_error, exit_, log, out, ready

MIB = 1 << 20


@pytest.fixture
def running(sb):
    return sb.wait()


def receive(code=0, stderr=b""):
    """A shell that takes its stdin to the end."""

    def script(call):
        yield ready()
        call.read_all()
        if stderr:
            yield out(stderr, "STDERR")
        yield exit_(code)

    return script


def stdin_of(call):
    return b"".join(r.stdin for r in call.requests[1:])


def test_small_files_go_in_one_message(server, running, consume):
    assert consume(lambda: running.write_file("/a b", b"data", timeout_seconds=9)) is None
    assert consume(lambda: running.read_file("/a b", timeout_seconds=9)) == b"content"
    write, read = server.of("WriteFile")[0], server.of("ReadFile")[0]
    assert (write.request.sandbox_id, write.request.path, write.request.content) == (ID, "/a b", b"data")
    assert (read.request.sandbox_id, read.request.path) == (ID, "/a b")
    assert 8 < write.time_left <= 9.1 and 8 < read.time_left <= 9.1
    assert not server.of("StreamExec") and running.exec_stats["exec_count"] == 0


def test_32_mib_go_in_one_message_and_a_byte_more_in_a_stream(server, running):
    server.on("StreamExec", receive())
    running.write_file("/x", bytes(32 * MIB)).result()
    assert len(server.of("WriteFile")) == 1 and not server.of("StreamExec")
    data = bytes(32 * MIB + 1)
    running.write_file("/x", data).result()
    assert len(server.of("WriteFile")) == 1
    (call,) = server.of("StreamExec")
    command = list(call.request.init.command)
    assert command[:2] == ["/bin/sh", "-c"] and command[-2:] == ["/x", str(len(data))]
    assert stdin_of(call) == data and call.requests[-1].WhichOneof("message") == "close"
    assert max(len(r.stdin) for r in call.requests) == 65536
    assert running.exec_stats["exec_count"] == 0


def test_more_than_256_mib_are_refused_without_a_call(server, running, consume):
    with pytest.raises(cw.SandboxFileError) as caught:
        consume(lambda: running.write_file("/x", bytes(256 * MIB + 1)))
    assert caught.value.reason == "CWSANDBOX_FILE_TOO_LARGE" and caught.value.filepath == "/x"
    assert caught.value.metadata == {
        "size_bytes": str(256 * MIB + 1), "max_size_bytes": str(256 * MIB), "operation": "write_file", "filepath": "/x"}
    assert not server.of("WriteFile") and not server.of("StreamExec")


def test_the_cap_of_the_service_is_learned(server, running):
    server.on("WriteFile", Status("INVALID_ARGUMENT", "big", reason="CWSANDBOX_FILE_TOO_LARGE", metadata={"max_size_bytes": "1000"}))
    server.on("StreamExec", receive())
    running.write_file("/x", bytes(2000)).result()
    running.write_file("/x", bytes(1001)).result()  # straight to the stream
    assert len(server.of("WriteFile")) == 1 and len(server.of("StreamExec")) == 2


def test_a_learned_cap_may_be_larger_but_not_than_99_mib(server, running):
    server.on("WriteFile", too_large_to_read(max_size_bytes=str(1 << 40)), pb.WriteFileResponse())
    server.on("StreamExec", receive())
    running.write_file("/x", b"refused").result()
    data = bytes([7]) * (99 * MIB)
    running.write_file("/x", data).result()
    assert server.of("WriteFile")[-1].request.content == data and len(server.of("StreamExec")) == 1
    running.write_file("/x", data + b"8").result()
    assert len(server.of("WriteFile")) == 2 and stdin_of(server.of("StreamExec")[-1]) == data + b"8"


@pytest.mark.parametrize("cap", ["-5", "0", "much", ""])
def test_a_cap_that_is_no_size_teaches_nothing(server, running, cap):
    server.on("WriteFile", too_large_to_read(max_size_bytes=cap), pb.WriteFileResponse())
    server.on("StreamExec", receive())
    running.write_file("/x", b"refused").result()
    running.write_file("/x", b"taken").result()
    assert server.of("WriteFile")[-1].request.content == b"taken" and len(server.of("StreamExec")) == 1


def test_the_cap_is_learned_by_reading_too(server, running):
    server.on("ReadFile", too_large_to_read(size_bytes="3", max_size_bytes="1000"))
    server.on("StreamExec", [ready(), out(b"abc"), exit_(0)])
    assert running.read_file("/x").result() == b"abc"
    server.on("StreamExec", receive())
    running.write_file("/x", bytes(1001)).result()
    assert not server.of("WriteFile")


@pytest.mark.parametrize("text, falls_back", [
    ("Received MESSAGE larger than max (5 vs. 4)", True), ("quota exceeded", False), ("larger than max", False)])
def test_resource_exhausted_falls_back_only_for_message_sizes(server, running, text, falls_back):
    server.on("WriteFile", Status("RESOURCE_EXHAUSTED", text))
    server.on("StreamExec", receive())
    if falls_back:
        running.write_file("/x", b"data").result()
    else:
        with pytest.raises(cw.SandboxResourceExhaustedError):
            running.write_file("/x", b"data").result()
    assert len(server.of("StreamExec")) == falls_back


def too_large_to_read(**metadata):
    return Status("INVALID_ARGUMENT", "big", reason="CWSANDBOX_FILE_TOO_LARGE", metadata=metadata)


def test_reading_falls_back_to_a_stream_of_the_size_said(server, running, consume):
    server.on("ReadFile", too_large_to_read(size_bytes="6", max_size_bytes="4"))
    server.on("StreamExec", [ready(), out(b"abc"), out(b"def"), exit_(0)])
    assert consume(lambda: running.read_file("/x")) == b"abcdef"
    command = list(server.of("StreamExec")[0].request.init.command)
    assert command[:2] == ["/bin/sh", "-c"] and command[-1] == "/x"


@pytest.mark.parametrize("metadata", [{}, {"size_bytes": "many"}, {"size_bytes": str(256 * MIB + 1)}])
def test_reading_does_not_fall_back_without_a_size_or_above_256_mib(server, running, metadata):
    server.on("ReadFile", too_large_to_read(**metadata))
    with pytest.raises(cw.SandboxFileError) as caught:
        running.read_file("/x").result()
    assert caught.value.reason == "CWSANDBOX_FILE_TOO_LARGE" and not server.of("StreamExec")


def test_a_file_that_arrives_short_is_truncated_and_one_that_grew_is_fine(server, running, consume):
    server.on("ReadFile", too_large_to_read(size_bytes="6"))
    server.on("StreamExec", [out(b"abc"), exit_(0)])
    with pytest.raises(cw.SandboxFileError) as caught:
        consume(lambda: running.read_file("/x"))
    assert caught.value.reason == "CWSANDBOX_FILE_TRUNCATED"
    assert caught.value.metadata == {"filepath": "/x", "operation": "read_file", "size_bytes": "6", "bytes_delivered": "3"}
    server.on("StreamExec", [out(b"abcdefg"), exit_(0)])
    assert consume(lambda: running.read_file("/x")) == b"abcdefg"


@pytest.mark.parametrize("code, reason", [(2, "FILE_NOT_FOUND"), (3, "FILE_IS_DIRECTORY"), (1, "FILE_IO_FAILED"), (126, "FILE_IO_FAILED")])
def test_exit_codes_of_the_reading_shell(server, running, code, reason):
    server.on("ReadFile", Status("RESOURCE_EXHAUSTED", "anything"))
    server.on("StreamExec", [out(b"why", "STDERR"), exit_(code)])
    with pytest.raises(cw.SandboxFileError) as caught:
        running.read_file("/x").result()
    assert caught.value.reason == "CWSANDBOX_" + reason and caught.value.filepath == "/x"


def test_resource_exhausted_reads_on_with_an_unknown_size(server, running):
    server.on("ReadFile", Status("RESOURCE_EXHAUSTED", "anything"))
    server.on("StreamExec", [out(b"ab"), exit_(0)])
    assert running.read_file("/x").result() == b"ab"


BROKEN = {
    "exit": (receive(1, b"disk full"), "disk full"),
    "no exit": (lambda call: [ready()], "ended without exit status"),
    "status": (lambda call: [ready(), Status("INTERNAL", "broke")], "broke"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_streamed_write_that_fails_says_that_the_file_may_be_partial(server, running, consume, how, streaming):
    script, words = BROKEN[how]
    server.on("StreamExec", script)
    server.on("WriteFile", too_large_to_read())
    make = running.write_file_streaming if streaming else running.write_file
    with pytest.raises(cw.SandboxFileError, match="partial|truncated") as caught:
        consume(lambda: make("/x", b"data"))
    assert words in str(caught.value) + str(caught.value.__cause__) and caught.value.reason is None


def test_backpressure_of_a_streamed_write_keeps_its_class(server, running, consume):
    server.on("StreamExec", [ready(), exec_error("STREAM_BACKPRESSURE")])
    with pytest.raises(cw.SandboxStreamBackpressureError):
        consume(lambda: running.write_file_streaming("/x", b"data"))


async def _source():
    yield b"ab"
    await asyncio.sleep(0)
    yield bytearray(b"cd")


SOURCES = {
    "bytes": lambda: b"abcd",
    "bytearray": lambda: bytearray(b"abcd"),
    "memoryview": lambda: memoryview(b"abcd"),
    "every second byte": lambda: memoryview(b"a-b-c-d-")[::2],
    "iterable": lambda: [b"ab", b"", memoryview(b"cd")],
    "iterable of every second byte": lambda: [memoryview(b"a-b-")[::2], memoryview(b"c-d-")[::2]],
    "async": lambda: _source(),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources_of_a_streamed_write(server, running, consume, source):
    server.on("StreamExec", receive())
    consume(lambda: running.write_file_streaming("/x", SOURCES[source]()))
    (call,) = server.of("StreamExec")
    assert stdin_of(call) == b"abcd" and list(call.request.init.command)[-1] == "/x"


def test_chunks_are_cut_into_frames_of_64_kib_in_order(server, running):
    server.on("StreamExec", receive())
    data = bytes(range(256)) * 800
    running.write_file_streaming("/x", iter([data, b"", b"abcde"])).result()
    running.write_file_streaming("/x", data).result()
    chunks, cut = [[len(r.stdin) for r in call.requests[1:-1]] for call in server.of("StreamExec")]
    assert (chunks, cut) == ([65536, 65536, 65536, 8192, 5], [65536, 65536, 65536, 8192])
    assert [stdin_of(call) for call in server.of("StreamExec")] == [data + b"abcde", data]


@pytest.mark.parametrize("source", [[1, 2], ["text"], "text"])
def test_what_is_not_bytes_is_a_type_error(server, running, consume, source):
    server.on("StreamExec", receive())
    with pytest.raises(TypeError):
        consume(lambda: running.write_file_streaming("/x", source))


def test_an_error_of_the_source_is_the_cause(server, running, consume):
    def source():
        yield b"ab"
        raise KeyError("mine")

    server.on("StreamExec", receive())
    with pytest.raises(cw.SandboxFileError) as caught:
        consume(lambda: running.write_file_streaming("/x", source()))
    assert type(caught.value.__cause__) is KeyError


# ---- read_file_streaming


def reading(*frames, size=b""):
    """stat says the size, then cat says the rest."""

    def script(call):
        if "stat" in " ".join(call.request.init.command):
            yield from [out(size), exit_(0 if size else 1)]
        else:
            yield from frames

    return script


@pytest.fixture(params=["sync", "async"])
def drain(request):
    async def body(reader):
        return [item async for item in reader]

    return list if request.param == "sync" else lambda reader: asyncio.run(body(reader))


def test_a_streamed_read_is_cat_without_stdin(server, running, drain):
    server.on("StreamExec", reading(ready(), out(b"ab"), out(b"warn", "STDERR"), out(b"cd"), exit_(0)))
    assert b"".join(drain(running.read_file_streaming("/x", timeout_seconds=9))) == b"abcd"
    call = server.of("StreamExec")[-1]
    assert list(call.request.init.command) == ["/bin/cat", "--", "/x"] and call.time_left <= 14.1
    assert running.exec_stats["exec_count"] == 0


@pytest.mark.parametrize("frames, kind, reason", [
    ([out(b"no such", "STDERR"), exit_(1)], cw.SandboxFileError, "CWSANDBOX_FILE_IO_FAILED"),
    ([out(b"ab")], cw.SandboxFileError, None),
    ([exec_error("STREAM_TRUNCATED")], cw.SandboxStreamTruncatedError, None),
    ([exec_error("STREAM_BACKPRESSURE")], cw.SandboxStreamBackpressureError, None),
    ([Status("UNAVAILABLE", "gone")], cw.SandboxUnavailableError, None),
    ([Status("PERMISSION_DENIED", "no")], cw.CWSandboxAuthenticationError, None),
])
def test_errors_of_a_streamed_read_are_raised_by_the_iteration(server, running, drain, frames, kind, reason):
    server.on("StreamExec", reading(*frames))
    with pytest.raises(cw.CWSandboxError) as caught:
        drain(running.read_file_streaming("/x"))
    assert type(caught.value) is kind and caught.value.reason == reason


def test_a_large_streamed_read_that_arrives_short_is_truncated(server, running, drain):
    server.on("StreamExec", reading(out(b"abc"), exit_(0), size=b"134217728\n"))
    with pytest.raises(cw.SandboxFileError) as caught:
        drain(running.read_file_streaming("/x"))
    assert caught.value.reason == "CWSANDBOX_FILE_TRUNCATED"
    assert caught.value.metadata["operation"] == "read_file_streaming"
    server.on("StreamExec", reading(out(b"abc"), exit_(0), size=b"134217727\n"))
    assert drain(running.read_file_streaming("/x")) == [b"abc"]


def test_the_time_of_the_size_probe_is_taken_from_the_read(server, running, drain):
    def script(call):
        if "stat" in " ".join(call.request.init.command):
            call.ended.wait(0.5)
            yield from [out(b"2"), exit_(0)]
        else:
            yield from [out(b"ab"), exit_(0)]

    server.on("StreamExec", script)
    assert drain(running.read_file_streaming("/x", timeout_seconds=9)) == [b"ab"]
    probe, read = server.of("StreamExec")
    assert 8 < probe.time_left <= 9.1 and 11 < read.time_left <= 13.6


def test_the_commands_of_files_have_the_exact_time_limit(server, running):
    server.on("WriteFile", Status("INVALID_ARGUMENT", "big", reason="CWSANDBOX_FILE_TOO_LARGE"))
    server.on("ReadFile", Status("RESOURCE_EXHAUSTED", "big"))
    server.on("StreamExec", receive())
    running.write_file("/x", b"data", timeout_seconds=9).result()
    running.write_file_streaming("/x", b"data", timeout_seconds=9).result()
    server.on("StreamExec", [out(b"data"), exit_(0)])
    running.read_file("/x", timeout_seconds=9).result()
    assert all(8 < call.time_left <= 9.1 for call in server.of("StreamExec")) and len(server.of("StreamExec")) == 3


def test_the_fall_back_of_a_write_reads_what_it_expects_and_not_to_the_end(server, running, tmp_path):
    import subprocess

    server.on("WriteFile", Status("INVALID_ARGUMENT", "big", reason="CWSANDBOX_FILE_TOO_LARGE"))
    server.on("StreamExec", receive())
    running.write_file("/x", b"data").result()
    command = list(server.of("StreamExec")[0].request.init.command)
    target = tmp_path / "written"
    with subprocess.Popen([*command[:-2], str(target), command[-1]], stdin=subprocess.PIPE) as process:
        process.stdin.write(b"data")
        process.stdin.flush()
        assert process.wait(20) == 0  # its stdin is still open
    assert target.read_bytes() == b"data"


def test_a_size_probe_that_takes_all_the_time_leaves_none_to_read(server, running):
    server.on("StreamExec", lambda call: call.hold() or [])
    with pytest.raises(cw.SandboxTimeoutError, match="/x"):
        list(running.read_file_streaming("/x", timeout_seconds=0.3))
    assert len(server.of("StreamExec")) == 1


@pytest.mark.parametrize("method", ["StreamExec", "StreamLogs"])
def test_dropping_a_reader_ends_its_call(server, running, method):
    server.on("StreamExec", reading(out(b"ab"), lambda call: call.hold()))
    server.on("StreamLogs", [log(b"ab\n"), lambda call: call.hold()])
    reader = running.stream_logs(follow=True) if method == "StreamLogs" else running.read_file_streaming("/x")
    assert next(reader).strip() in ("ab", b"ab")
    del reader
    gc.collect()
    assert server.of(method)[-1].ended.wait(20)


def test_closing_a_streamed_read_ends_the_call(server, running):
    server.on("StreamExec", reading(out(b"ab"), lambda call: call.hold()))
    reader = running.read_file_streaming("/x")
    assert next(reader) == b"ab"
    reader.close()
    assert list(reader) == [] and server.of("StreamExec")[-1].ended.wait(20)


def test_files_start_a_sandbox_and_refuse_one_that_is_over(server, consume):
    sb = Sandbox()
    assert consume(lambda: sb.read_file("/x")) == b"content"
    sb.stop().result()
    for make in (lambda: sb.read_file("/x"), lambda: sb.write_file("/x", b""), lambda: sb.write_file_streaming("/x", b"")):
        with pytest.raises(cw.SandboxNotRunningError):
            consume(make)
    with pytest.raises(cw.SandboxNotRunningError):
        list(sb.read_file_streaming("/x"))
