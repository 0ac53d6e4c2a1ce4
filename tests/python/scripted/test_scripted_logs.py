"""Logs: lines, following, and the whole table of what is resumed, begun afresh, or raised."""

from __future__ import annotations

import asyncio
import datetime
import re
import threading
import time

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox
from scripted_server import ID, Status, log, sandbox

UTC = datetime.timezone.utc
LATE = 1.0
MOMENT = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ"
LOSS = re.compile(rf"\[cwsandbox: output between {MOMENT} and {MOMENT} may be missing here: the service lost this reader's place \((.*)\)\]\n")


@pytest.fixture
def running(sb):
    return sb.wait()


@pytest.fixture(params=["sync", "async"])
def read(request):
    """read(reader): (items, error)."""

    async def drain(reader):
        items = []
        try:
            async for item in reader:
                items.append(item)
        except Exception as error:
            return items, error
        return items, None

    def plain(reader):
        items = []
        try:
            for item in reader:
                items.append(item)
        except Exception as error:
            return items, error
        return items, None

    return plain if request.param == "sync" else lambda reader: asyncio.run(drain(reader))


def requests(server):
    return [call.request for call in server.of("StreamLogs")]


def test_what_is_sent(server, running, read):
    since = datetime.datetime(2024, 1, 2, 3, 4, 5, 600000, UTC)
    read(running.stream_logs(tail_lines=7, since_time=since, timestamps=True, timeout_seconds=9))
    (call,) = server.of("StreamLogs")
    r = call.request
    assert (r.sandbox_id, r.follow, r.tail_lines, r.timestamps, r.container) == (ID, False, 7, True, "")
    assert r.since_time.ToDatetime(UTC) == since
    assert (r.resume_log_session_id, r.resume_log_offset) == ("", 0)
    assert 8 < call.time_left <= 9.1


def test_the_defaults_and_the_time_limits(server, running, read):
    read(running.stream_logs())
    read(running.stream_logs(follow=True, timeout_seconds=1))
    first, second = server.of("StreamLogs")
    assert not first.request.HasField("since_time") and first.request.tail_lines == 0
    assert 299 < first.time_left <= 300.1
    assert second.request.follow and (second.time_left is None or second.time_left > 1e6)


def test_a_time_without_a_zone_is_refused_by_the_first_item(server, running, read):
    items, error = read(running.stream_logs(since_time=datetime.datetime(2024, 1, 1)))
    assert (items, type(error)) == ([], ValueError) and not server.of("StreamLogs")


def test_lines_are_whole_across_entries_and_the_last_one_may_be_partial(server, running, read):
    server.on("StreamLogs", [log(b"a\nb"), log(b"c\n\xe2\x98"), log(b"\x83\n"), log(b"\xff"), log()])
    assert read(running.stream_logs()) == (["a\n", "bc\n", "☃\n", "\ufffd"], None)


def test_a_line_of_1_mib_is_fine_and_one_byte_more_is_not(server, running, read):
    fine = b"x" * (1048576 - 1) + b"\n"
    server.on("StreamLogs", [log(b"before\n"), log(fine[:600_000]), log(fine[600_000:])])
    items, error = read(running.stream_logs())
    assert [len(i) for i in items] == [7, 1048576] and error is None
    server.on("StreamLogs", [log(b"before\n"), log(b"x" * 1048577)])
    items, error = read(running.stream_logs())
    assert items == ["before\n"] and type(error) is cw.SandboxStreamTruncatedError and error.stream_code is None


AFRESH = ["SESSION_NOT_FOUND", "REPLAY_GAP", "RUNNER_UNAVAILABLE", "RUNNER_DRAINING"]
FATAL = ["INVALID_RESUME_OFFSET", "SANDBOX_NOT_FOUND", "PERMISSION_DENIED", "SOMETHING_NEW"]


@pytest.mark.parametrize("code", [*AFRESH, "STREAM_INTERRUPTED", *FATAL])
def test_in_band_errors_end_a_reader_that_does_not_follow(server, running, read, code):
    server.on("StreamLogs", [log(b"a\n", "s", 2), log(error=code)])
    items, error = read(running.stream_logs())
    assert items == ["a\n"] and type(error) is cw.SandboxError and "in band" in str(error)
    assert len(requests(server)) == 1


@pytest.mark.parametrize("code", FATAL)
def test_fatal_in_band_errors_end_a_follower_too(server, running, read, code):
    server.on("StreamLogs", [log(b"a\n", "s", 2), log(error=code)])
    items, error = read(running.stream_logs(follow=True))
    assert items == ["a\n"] and type(error) is cw.SandboxError and len(requests(server)) == 1


@pytest.mark.parametrize("follow", [False, True])
def test_truncation_in_band_has_a_class_of_its_own(server, running, read, follow):
    server.on("StreamLogs", [log(b"a\n"), log(error="STREAM_TRUNCATED")])
    items, error = read(running.stream_logs(follow=follow))
    assert items == ["a\n"] and type(error) is cw.SandboxStreamTruncatedError
    assert (error.stream_code, error.reason) == ("STREAM_TRUNCATED", None)


def test_a_follower_behind_what_is_kept_is_told(server, running, read):
    server.on("StreamLogs", [log(b"a\npart", "s", 6), log(error="REPLAY_GAP")], [log(b"b\n", "s2", 2)])
    items, error = read(running.stream_logs(follow=True))
    assert items == ["a\n"] and type(error) is cw.SandboxStreamTruncatedError
    assert error.stream_code == "REPLAY_GAP" and "lost" in str(error)
    assert len(requests(server)) == 1


@pytest.mark.parametrize("code", [code for code in AFRESH if code != "REPLAY_GAP"])
def test_a_lost_session_begins_afresh_from_now_after_data(server, running, read, code):
    began = time.time()
    server.on("StreamLogs", [log(b"a\npart", "s", 6), log(error=code)], [log(b"b\n", "s2", 2)])
    options = {"tail_lines": 5, "timestamps": True, "since_time": datetime.datetime(2020, 1, 1, tzinfo=UTC)}
    lines, error = read(running.stream_logs(follow=True, **options))
    assert [lines[0], lines[2], error] == ["a\n", "b\n", None] and LOSS.fullmatch(lines[1]).group(1) == code
    again = requests(server)[1]
    assert (again.resume_log_session_id, again.resume_log_offset, again.tail_lines) == ("", 0, 0)
    assert again.timestamps and again.follow and again.since_time.ToDatetime(UTC).timestamp() >= began - 0.01


@pytest.mark.parametrize("code", AFRESH)
def test_a_lost_session_before_any_data_asks_for_the_same_window(server, running, read, code):
    since = datetime.datetime(2020, 1, 1, tzinfo=UTC)
    server.on("StreamLogs", [log(session="s", offset=1), log(error=code)], [log(b"b\n")])
    assert read(running.stream_logs(follow=True, tail_lines=5, since_time=since)) == (["b\n"], None)
    first, again = requests(server)
    assert first == again


def test_an_interrupted_stream_is_resumed_where_it_was(server, running, read):
    server.on("StreamLogs", [log(b"a\npa", "s", 4), log(session="", offset=0), log(error="STREAM_INTERRUPTED")],
              [log(b"rt\n", "s", 7)])
    assert read(running.stream_logs(follow=True, tail_lines=3, timestamps=True)) == (["a\n", "part\n"], None)
    again = requests(server)[1]
    assert (again.resume_log_session_id, again.resume_log_offset, again.follow, again.sandbox_id) == ("s", 4, True, ID)
    assert again.tail_lines == 0 and not again.timestamps and not again.HasField("since_time")


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "UNKNOWN"])
def test_a_broken_transport_is_resumed_by_a_follower(server, running, read, code):
    server.on("StreamLogs", [log(b"a\npa", "s", 4), Status(code, "broke")], [log(b"rt\n")])
    assert read(running.stream_logs(follow=True)) == (["a\n", "part\n"], None)
    assert (requests(server)[1].resume_log_session_id, requests(server)[1].resume_log_offset) == ("s", 4)


def test_without_a_session_a_broken_transport_begins_afresh(server, running, read):
    server.on("StreamLogs", [log(b"a\npa"), Status("UNAVAILABLE", "broke")], [log(b"b\n")])
    lines, error = read(running.stream_logs(follow=True))
    assert [lines[0], lines[2], error] == ["a\n", "b\n", None] and LOSS.fullmatch(lines[1]).group(1) == "it has no sessions"
    assert requests(server)[1].HasField("since_time") and not requests(server)[1].resume_log_session_id


@pytest.mark.parametrize("code, kind", [
    ("DEADLINE_EXCEEDED", cw.SandboxRequestTimeoutError), ("CANCELLED", cw.SandboxNotRunningError),
    ("NOT_FOUND", cw.SandboxNotFoundError), ("PERMISSION_DENIED", cw.CWSandboxAuthenticationError),
    ("RESOURCE_EXHAUSTED", cw.SandboxResourceExhaustedError), ("ABORTED", cw.SandboxError)])
def test_other_statuses_are_raised_from_a_follower(server, running, read, code, kind):
    server.on("StreamLogs", [log(b"a\n", "s", 2), Status(code, "no")])
    items, error = read(running.stream_logs(follow=True))
    assert items == ["a\n"] and type(error) is kind and len(requests(server)) == 1


@pytest.mark.parametrize("code, kind", [("UNAVAILABLE", cw.SandboxUnavailableError), ("INTERNAL", cw.SandboxError)])
def test_nothing_is_resumed_without_follow(server, running, read, code, kind):
    server.on("StreamLogs", [log(b"a\n", "s", 2), Status(code, "no")])
    items, error = read(running.stream_logs())
    assert items == ["a\n"] and type(error) is kind and len(requests(server)) == 1


def test_three_attempts_without_data_are_the_most_and_the_last_error_is_the_cause(server, running, read):
    server.on("StreamLogs", [log(b"a\n", "s", 2), Status("UNAVAILABLE", "first")], [Status("INTERNAL", "then")])
    items, error = read(running.stream_logs(follow=True))
    assert items == ["a\n"] and type(error) is cw.SandboxUnavailableError
    assert type(error.__cause__) is cw.SandboxError and "then" in str(error.__cause__)
    assert len(requests(server)) == 4
    for gap, least in zip(server.gaps("StreamLogs"), [0.5, 1.0, 2.0]):
        assert least - 0.02 <= gap <= least + LATE


def test_after_in_band_failures_there_is_no_cause(server, running, read):
    server.on("StreamLogs", [Status("UNAVAILABLE", "x")], [log(error="STREAM_INTERRUPTED")])
    items, error = read(running.stream_logs(follow=True))
    assert items == [] and type(error) is cw.SandboxUnavailableError and error.__cause__ is None


def test_data_resets_the_count_of_attempts(server, running, read):
    one = [log(b"x\n", "s", 1), Status("UNAVAILABLE", "broke")]
    server.on("StreamLogs", *[one] * 6, [])
    items, error = read(running.stream_logs(follow=True))
    assert (len(items), error) == (6, None)
    assert all(gap <= 0.5 + LATE for gap in server.gaps("StreamLogs"))


def test_a_connection_that_is_cut_is_resumed(server, running, read):
    def script(call):
        yield log(b"a\npa", "s", 4)
        server.cut()
        call.hold()

    server.on("StreamLogs", script, [log(b"rt\n", "s", 7)])
    assert read(running.stream_logs(follow=True)) == (["a\n", "part\n"], None)
    assert requests(server)[1].resume_log_offset == 4


def test_closing_the_reader_ends_the_call(server, running):
    def script(call):
        yield log(b"a\n")
        call.hold()

    server.on("StreamLogs", script)
    reader = running.stream_logs(follow=True)
    assert next(reader) == "a\n"
    waiting = threading.Thread(target=lambda: list(reader))
    waiting.start()
    reader.close()
    reader.close()
    waiting.join(20)
    assert not waiting.is_alive() and list(reader) == []
    assert server.of("StreamLogs")[0].ended.wait(20)


def test_closing_the_reader_during_the_back_off_ends_it(server, running):
    server.on("StreamLogs", [log(b"a\n", "s", 2), Status("UNAVAILABLE", "x")], [log(b"never\n")])
    reader = running.stream_logs(follow=True)
    assert next(reader) == "a\n"
    reader.close()
    assert list(reader) == []


@pytest.mark.parametrize("state", ["terminating", "completed", "failed", "terminated"])
def test_a_sandbox_that_is_over_can_be_read_but_not_followed(server, sb, read, state):
    server.on("GetSandbox", sandbox(state, exit_code=0))
    sb.get_status()
    server.on("StreamLogs", [log(b"a\n")])
    assert read(sb.stream_logs()) == (["a\n"], None)
    items, error = read(sb.stream_logs(follow=True))
    assert items == [] and type(error) is cw.SandboxNotRunningError and "requires a running sandbox" in str(error)
    if state == "terminating":
        assert "terminating" in str(error)
    assert len(requests(server)) == 1


def test_logs_start_an_unstarted_sandbox(server, read):
    server.on("StreamLogs", [log(b"a\n")])
    assert read(Sandbox().stream_logs()) == (["a\n"], None)
    assert len(server.of("CreateSandbox")) == 1


def test_a_start_that_failed_is_raised_by_the_reader(server, read):
    server.on("CreateSandbox", Status("INTERNAL", "no room"))
    items, error = read(Sandbox().stream_logs())
    assert items == [] and type(error) is cw.SandboxError and "no room" in str(error)


def test_a_slow_reader_gets_everything_and_the_error_at_the_end(server, running):
    lines = 3 * 4096  # three times the queue
    server.on("StreamLogs", [*[log(b"%d\n" % i) for i in range(lines)], Status("ABORTED", "at the end")])
    reader = running.stream_logs()
    call = server.wait_for("StreamLogs")
    call.ended.wait(0.5)  # it fills up meanwhile
    got = []
    with pytest.raises(cw.SandboxError, match="at the end"):
        for line in reader:
            got.append(line)
    assert got == [f"{i}\n" for i in range(lines)]
    assert list(reader) == []
