"""StreamExec as the service sees it, and streams that end in every way."""

from __future__ import annotations

import asyncio
import threading

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox
from scripted_server import ID, Status, eventually, exec_error, exit_, out, ready, sandbox


@pytest.fixture
def running(sb):
    return sb.wait()


def test_the_first_frame_and_the_half_close(server, running):
    server.on("StreamExec", lambda call: [call.read_all() and exit_(0)])
    running.exec(["echo", "a b"]).result()
    (call,) = server.of("StreamExec")
    (first,) = call.requests  # then the request side was closed: no ready was waited for, no close frame sent
    assert (first.init.sandbox_id, list(first.init.command)) == (ID, ["echo", "a b"])
    assert (first.init.tty, first.init.container, dict(first.init.env)) == (False, "", {})


@pytest.mark.parametrize("given, expected", [({}, 300), ({"timeout_seconds": 7}, 7)])
def test_the_deadline_is_exactly_the_time_limit(server, running, given, expected):
    running.exec(["true"], **given).result()
    assert expected - 1 < server.of("StreamExec")[0].time_left <= expected + 0.1


def test_the_default_time_limit_is_the_request_timeout(server):
    sb = Sandbox.run(request_timeout_seconds=20)
    sb.exec(["true"]).result()
    assert 19 < server.of("StreamExec")[0].time_left <= 20.1


def test_the_wait_for_running_takes_nothing_of_the_time_limit(server, sb):
    server.on("GetSandbox", sandbox("pending"), sandbox("pending"), sandbox("pending"), sandbox("running"))
    sb.exec(["true"], timeout_seconds=7).result()
    call = server.of("StreamExec")[0]
    assert call.at - server.of("GetSandbox")[0].at > 0.8 and call.time_left > 6.3


def test_a_directory_is_entered_by_a_shell(server, running):
    process = running.exec(["echo", "it's", "$x"], cwd="/a b")
    process.result()
    command = list(server.of("StreamExec")[0].request.init.command)
    assert command == ["/bin/sh", "-c", """cd '/a b' && exec echo 'it'"'"'s' '$x'"""]
    assert process.command == ["echo", "it's", "$x"] and process.result().command == ["echo", "it's", "$x"]


def test_another_user_is_refused_before_anything_runs(server, running):
    with pytest.raises(cw.SandboxError, match="this service cannot run a command as another user"):
        running.exec(["true"], user="ann").result()
    assert not server.of("StreamExec")


@pytest.mark.parametrize("command, cwd, words", [
    ([], None, "Command cannot be empty"), (["x"], "", "cwd cannot be empty string"), (["x"], "rel", "cwd must be an absolute path")])
def test_wrong_arguments_raise_at_once_and_are_not_counted(server, running, command, cwd, words):
    with pytest.raises(ValueError, match=words):
        running.exec(command, cwd=cwd)
    assert running.exec_stats["exec_count"] == 0 and not server.of("StreamExec")


def test_a_string_is_no_command(server, running):
    with pytest.raises(TypeError):
        running.exec("ls -l")
    assert running.exec_stats["exec_count"] == 0


def test_output_and_exit(server, running, consume):
    server.on("StreamExec", [ready(), out(b"a"), out(b"E", "STDERR"), out(b"b"), out(b""), exit_(4), out(b"late")])
    result = consume(lambda: running.exec(["x"]))
    assert (result.stdout, result.stderr, result.returncode) == ("ab", "E", 4)
    assert (result.stdout_bytes, result.stderr_bytes, result.command) == (b"ab", b"E", ["x"])


@pytest.mark.parametrize("stream", [0, 9])
def test_a_stream_without_a_name_is_stdout(server, running, stream):
    server.on("StreamExec", [out(b"a", stream), exit_(0)])
    assert running.exec(["x"]).result().stdout == "a"


def test_a_character_split_across_frames_is_whole(server, running):
    snowman = "☃".encode()
    server.on("StreamExec", [out(snowman[:1]), out(snowman[1:] + b"\xff"), exit_(0)])
    process = running.exec(["x"])
    assert "".join(process.stdout) == "☃\ufffd" and process.result().stdout == "☃\ufffd"


def test_check_raises_with_the_result(server, running, consume):
    server.on("StreamExec", [out(b"o"), exit_(3)])
    with pytest.raises(cw.SandboxExecutionError, match="exit code 3") as caught:
        consume(lambda: running.exec(["some", "a b"], check=True))
    assert caught.value.exec_result.returncode == 3 and caught.value.exec_result.stdout == "o"
    assert "some 'a b'" in str(caught.value)


def test_a_stream_that_ends_without_exit_is_an_error(server, running, consume):
    server.on("StreamExec", [ready(), out(b"some")])
    with pytest.raises(cw.SandboxExecutionError, match="ended without an exit status"):
        consume(lambda: running.exec(["x"]))


ENDS = {
    "status": [ready(), out(b"some"), Status("INTERNAL", "broke")],
    "in band": [ready(), out(b"some"), exec_error("STREAM_TRUNCATED")],
    "backpressure": [ready(), out(b"some"), exec_error("STREAM_BACKPRESSURE")],
    "no exit": [ready(), out(b"some")],
    "before anything": [Status("UNAVAILABLE", "broke")],
}


@pytest.mark.parametrize("end", ENDS)
def test_streams_end_and_only_the_handle_raises(server, running, end):
    server.on("StreamExec", ENDS[end])
    process = running.exec(["x"])
    assert "".join(process.stdout) in ("some", "") and list(process.stderr) == []
    with pytest.raises(cw.SandboxError) as caught:
        process.result()
    with pytest.raises(cw.SandboxError) as again:
        process.wait()
    assert again.value is caught.value
    assert process.poll() is None and process.returncode is None
    stats = running.exec_stats
    assert (stats["exec_count"], stats["exec_failures"]) == (1, 1)


def test_a_start_that_failed_ends_both_streams(server):
    server.on("CreateSandbox", Status("INTERNAL", "no room"))
    process = Sandbox().exec(["x"])
    assert list(process.stdout) == [] and list(process.stderr) == []
    with pytest.raises(cw.SandboxError, match="no room"):
        process.result()


@pytest.mark.parametrize("state", ["failed", "terminated", "terminating", "completed"])
def test_a_sandbox_that_is_over_runs_nothing(server, sb, consume, state):
    server.on("GetSandbox", sandbox(state, exit_code=0))
    sb.get_status()
    with pytest.raises(cw.SandboxNotRunningError):
        consume(lambda: sb.exec(["x"]))
    assert not server.of("StreamExec")


def test_a_paused_sandbox_is_sent_commands(server, sb):
    server.on("GetSandbox", sandbox("paused"))
    assert sb.exec(["x"]).result().returncode == 0


def test_statistics_count_each_outcome_once(server, running):
    server.on("StreamExec", [exit_(0)], [exit_(1)], [Status("INTERNAL", "x")], [exit_(1)])
    running.exec(["x"]).result()
    running.exec(["x"]).result()
    with pytest.raises(cw.SandboxError):
        running.exec(["x"]).result()
    with pytest.raises(cw.SandboxExecutionError):
        running.exec(["x"], check=True).result()
    assert running.exec_stats == {
        "exec_count": 4, "exec_completed_ok": 1, "exec_completed_nonzero": 2, "exec_failures": 1}
    assert running.exec_stats is not running.exec_stats


def test_a_time_out_of_the_call_is_a_sandbox_timeout(server, running, consume):
    server.on("StreamExec", [Status("DEADLINE_EXCEEDED", "too long")])
    with pytest.raises(cw.SandboxTimeoutError) as caught:
        consume(lambda: running.exec(["x"], timeout_seconds=1))
    assert type(caught.value) is cw.SandboxTimeoutError


def test_result_times_out_without_ending_the_command(server, running):
    gate = threading.Event()

    def script(call):
        yield ready()
        gate.wait(20)
        yield exit_(6)

    server.on("StreamExec", script)
    process = running.exec(["x"])
    for wait in (process.result, process.wait):
        with pytest.raises(TimeoutError):
            wait(0.05)
    assert process.poll() is None
    gate.set()
    assert (process.result(20).returncode, process.poll(), process.returncode) == (6, 6, 6)


def test_cancel_ends_the_call(server, running):
    from concurrent.futures import CancelledError

    server.on("StreamExec", lambda call: call.hold() or [])
    process = running.exec(["x"])
    call = server.wait_for("StreamExec")
    assert process.cancel() is True
    with pytest.raises(CancelledError):
        process.result()
    assert process.poll() is None and list(process.stdout) == [] and process.cancel() is False
    assert call.ended.wait(20)


def test_wait_for_of_asyncio_ends_the_call(server, running):
    server.on("StreamExec", lambda call: call.hold() or [])

    async def body():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(running.exec(["x"])), 0.2)

    asyncio.run(body())
    assert server.wait_for("StreamExec").ended.wait(20)


async def _await(ref):
    return await ref


def test_slow_headers_do_not_matter(server, running):
    gate = threading.Event()

    def script(call):
        gate.wait(20)
        yield from [ready(), out(b"a"), exit_(0)]

    server.on("StreamExec", script)
    process = running.exec(["x"])
    server.wait_for("StreamExec")
    gate.set()
    assert process.result(20).stdout == "a"


# ---- stdin


def frames_of(call):
    return [r.stdin for r in call.requests[1:] if r.WhichOneof("message") == "stdin"]


def test_stdin_waits_for_ready_and_ends_with_a_close_frame(server, running):
    before_ready = threading.Event()

    def script(call):
        before_ready.wait(20)
        assert len(call.requests) == 1
        yield ready()
        call.read_all()
        yield exit_(0)

    server.on("StreamExec", script)
    process = running.exec(["cat"], stdin=True)
    refs = [process.stdin.write(b"abc"), process.stdin.writeline("d"), process.stdin.write(b"")]
    cw.results(refs)  # queued is enough
    assert process.stdin.closed is False
    close = process.stdin.close()
    assert process.stdin.closed is True
    server.wait_for("StreamExec")
    before_ready.set()
    close.result(20)
    assert process.stdin.close().result() is None
    assert process.result(20).returncode == 0
    call = server.of("StreamExec")[0]
    assert frames_of(call) == [b"abc", b"d\n"]
    assert call.requests[-1].WhichOneof("message") == "close"


def test_large_writes_are_split_at_64_kib_in_order(server, running):
    server.on("StreamExec", lambda call: [ready(), lambda call: call.read_all() and exit_(0)])
    process = running.exec(["cat"], stdin=True)
    data = bytes(i % 251 for i in range(200_000))
    process.stdin.write(data).result()
    process.stdin.close().result()
    process.result()
    frames = frames_of(server.of("StreamExec")[0])
    assert b"".join(frames) == data and [len(f) for f in frames] == [65536, 65536, 65536, 200_000 - 3 * 65536]


def test_no_ready_signal_in_time_is_a_time_out(server, running, consume):
    server.on("StreamExec", lambda call: call.hold() or [])
    with pytest.raises(cw.SandboxTimeoutError):  # gRPC's own deadline, which is as long, may be the first to tell
        consume(lambda: running.exec(["x"], stdin=True, timeout_seconds=0.3))


@pytest.mark.parametrize("end, kind", [(exit_(3), None), (exec_error("X"), cw.SandboxExecutionError)])
def test_an_end_before_ready_releases_the_writer(server, running, end, kind):
    server.on("StreamExec", [end])
    process = running.exec(["x"], stdin=True)
    if kind is None:
        assert process.result(20).returncode == 3
    else:
        with pytest.raises(kind):
            process.result(20)
    for write in (lambda: process.stdin.write(b"x"), lambda: process.stdin.writeline("x")):
        with pytest.raises(cw.SandboxExecutionError, match="stream has failed") as caught:
            write()
        assert ("the process has exited" in str(caught.value.__cause__)) == (kind is None)
    assert process.stdin.close().result() is None
    with pytest.raises(cw.SandboxExecutionError, match="stream has failed"):  # the failure is the better reason
        process.stdin.write(b"x")


def test_writes_after_close_are_refused(server, running):
    server.on("StreamExec", lambda call: [ready(), lambda call: call.read_all() and exit_(0)])
    process = running.exec(["x"], stdin=True)
    process.stdin.close().result()
    with pytest.raises(cw.SandboxExecutionError, match="stream is closed|stream has failed"):
        process.stdin.write(b"x")
    process.result()


def test_sixteen_writes_wait_and_more_are_pending_until_they_fail_with_the_process(server, running):
    gate = threading.Event()

    def script(call):
        gate.wait(20)
        yield exit_(0)

    server.on("StreamExec", script)
    process = running.exec(["x"], stdin=True)
    assert process.stdin.QUEUE_SIZE == 16
    refs = [process.stdin.write(b"x") for _ in range(18)]
    cw.results(refs[:16])
    for ref in refs[16:]:
        with pytest.raises(TimeoutError):
            ref.result(0.02)
    close = process.stdin.close()
    with pytest.raises(TimeoutError):
        close.result(0.02)
    assert process.stdin.close().result(0) is None  # closed already, whatever the first one waits for
    gate.set()
    process.result(20)
    for ref in refs[16:]:
        with pytest.raises(cw.SandboxExecutionError):
            ref.result(20)
    with pytest.raises(cw.SandboxExecutionError):
        close.result(20)


# ---- terminals: 2.6


def test_a_terminal_begins_as_told_and_has_no_deadline(server, running):
    server.on("StreamExec", lambda call: [ready(), lambda call: call.read_all() and exit_(2)])
    session = running.shell(["sh", "-l"], width=90, height=30)
    session.stdin.close().result()
    assert session.result(20) == cw.TerminalResult(2, ["sh", "-l"])
    assert (session.wait(), session.returncode, session.command) == (2, 2, ["sh", "-l"])
    (call,) = server.of("StreamExec")
    init = call.request.init
    assert (init.tty, init.tty_width, init.tty_height, list(init.command)) == (True, 90, 30, ["sh", "-l"])
    assert call.time_left is None or call.time_left > 1e6
    assert running.exec_stats["exec_count"] == 1


def test_a_terminal_without_a_command_is_bash(server, running):
    running.shell().result()
    init = server.of("StreamExec")[0].request.init
    assert list(init.command) == ["/bin/bash"] and (init.tty_width, init.tty_height) == (0, 0)
    with pytest.raises(ValueError, match="Command cannot be empty"):
        running.shell([])


def test_terminal_output_is_raw_and_merged_in_order(server, running):
    server.on("StreamExec", [ready(), out(b"\xff"), out(b"E", "STDERR"), out(b"o"), exit_(0)])
    assert b"".join(running.shell().output) == b"\xffEo"


def test_resize_and_stdin_come_in_order_and_end_with_the_session(server, running):
    seen = threading.Event()

    def script(call):
        yield ready()
        while call.read() is not None:
            if call.requests[-1].WhichOneof("message") == "resize" and call.requests[-1].resize.width == 7:
                seen.set()
        yield exit_(0)

    server.on("StreamExec", script)
    session = running.shell()
    session.resize(7, 8)
    assert seen.wait(20)
    session.stdin.write(b"x").result()
    session.stdin.close().result()
    session.result(20)
    kinds = [r.WhichOneof("message") for r in server.of("StreamExec")[0].requests]
    assert kinds == ["init", "resize", "stdin", "close"]
    with pytest.raises(cw.SandboxExecutionError, match="terminal session has ended"):
        session.resize(1, 1)
    with pytest.raises(cw.SandboxExecutionError):
        session.stdin.write(b"x")


def test_a_terminal_that_ends_without_exit_has_no_returncode_but_minus_one(server, running, consume):
    server.on("StreamExec", [ready(), out(b"bye")])
    assert consume(lambda: running.shell()).returncode == -1


def test_a_terminal_that_never_opened_says_why_in_both_places(server):
    server.on("CreateSandbox", Status("INTERNAL", "no room"))
    session = Sandbox().shell()
    with pytest.raises(cw.SandboxError, match="no room"):
        list(session.output)
    with pytest.raises(cw.SandboxError, match="no room"):
        session.result()


def test_a_terminal_that_breaks_later_says_it_to_the_handle_only(server, running):
    server.on("StreamExec", [ready(), out(b"a"), Status("UNAVAILABLE", "broke")])
    session = running.shell()
    assert b"".join(session.output) == b"a"
    with pytest.raises(cw.SandboxUnavailableError, match="broke"):
        session.result()
    assert session.returncode is None


def test_closing_the_output_ends_the_session(server, running):
    server.on("StreamExec", lambda call: [ready(), lambda call: call.hold()])
    session = running.shell()
    call = server.wait_for("StreamExec")
    session.output.close()
    assert call.ended.wait(20)
    assert list(session.output) == []


def test_the_readers_are_one_shot_and_shared_by_competing_consumers(server, running):
    server.on("StreamExec", [ready(), *[out(b"%d," % i) for i in range(500)], exit_(0)])
    process = running.exec(["x"])
    got = [[], []]
    threads = [threading.Thread(target=lambda i=i: got[i].extend(process.stdout)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    items = "".join(got[0] + got[1]).split(",")
    assert sorted(items[:-1], key=int) == [str(i) for i in range(500)]
    assert list(process.stdout) == []


def test_the_result_does_not_need_the_readers(server, running):
    server.on("StreamExec", [ready(), *[out(bytes(60_000)) for _ in range(200)], exit_(0)])
    process = running.exec(["x"])
    assert len(process.result(30).stdout_bytes) == 12_000_000
    eventually(lambda: process.returncode == 0)
