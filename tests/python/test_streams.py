"""StreamReader and StreamWriter, sync; terminals; logs. Async iteration is in test_asyncio.py."""

from __future__ import annotations

import datetime
import threading

import pytest
from cwsandbox import (
    Sandbox,
    SandboxExecutionError,
    SandboxNotRunningError,
    StreamReader,
    StreamWriter,
    TerminalResult,
)


def test_stdout_and_stderr_are_separate_streams(shared):
    process = shared.exec(["sh", "-c", "echo out; echo err >&2"])
    assert "".join(process.stdout) == "out\n"
    assert "".join(process.stderr) == "err\n"
    result = process.result()
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_result_is_complete_whatever_was_streamed(shared):
    process = shared.exec(["sh", "-c", "for i in 1 2 3; do echo $i; done"])
    assert next(process.stdout)
    process.stdout.close()
    assert process.result().stdout == "1\n2\n3\n"


def test_a_write_is_visible_before_the_process_goes_on(shared):
    process = shared.exec(["sh", "-c", "printf ready; read x; printf done"], stdin=True)
    assert next(process.stdout) == "ready"
    process.stdin.writeline("go").result()
    assert "".join(process.stdout) == "done"
    process.result()


def test_the_same_reader_each_time_and_one_shot(shared):
    process = shared.exec(["echo", "x"])
    assert process.stdout is process.stdout
    reader = process.stdout
    assert iter(reader) is reader and isinstance(reader, StreamReader)
    assert list(reader) == ["x\n"]
    assert list(reader) == []
    with pytest.raises(StopIteration):
        next(reader)
    process.result()


def test_character_split_between_chunks_is_decoded_whole(shared):
    # Two bytes of an euro sign, a pause that the test controls, the third one
    process = shared.exec(["sh", "-c", r"printf '<\342\202'; read x; printf '\254>'"], stdin=True)
    first = next(process.stdout)
    assert first == "<"
    process.stdin.close()
    assert "".join(process.stdout) == "\u20ac>"
    assert process.result().stdout == "<\u20ac>"


def test_character_that_never_ends_is_replaced(shared):
    process = shared.exec(["printf", r"a\342\202"])
    assert "".join(process.stdout) == "a\ufffd"
    assert process.result().stdout == "a\ufffd"


def test_close_ends_iteration_and_not_the_process(shared):
    process = shared.exec(["sh", "-c", "echo a; read x; echo b"], stdin=True)
    process.stdout.close()
    process.stdout.close()
    assert list(process.stdout) == []
    process.stdin.close()
    assert process.result().stdout == "a\nb\n"


def test_close_wakes_a_blocked_consumer(shared):
    process = shared.exec(["cat"], stdin=True)
    reader, seen, started = process.stdout, [], threading.Event()

    def consume():
        started.set()
        seen.append(list(reader))

    thread = threading.Thread(target=consume)
    thread.start()
    started.wait()
    reader.close()
    thread.join(10)
    assert seen == [[]]
    process.cancel()


def test_two_consumers_share_the_chunks_and_both_end(shared):
    process = shared.exec(["sh", "-c", "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); done"])
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.extend(process.stdout)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    lines = sorted(int(line) for line in "".join(got).split("\n") if line)
    assert sum(len(chunk) for chunk in got) == len(process.result().stdout)
    assert len(lines) >= 290  # a number may be cut where two chunks were swapped


def test_failure_before_the_start_ends_the_streams():
    sandbox = Sandbox()
    sandbox.stop().result()
    process = sandbox.exec(["echo", "x"])
    assert list(process.stdout) == [] and list(process.stderr) == []
    with pytest.raises(SandboxNotRunningError):
        process.result()


# ---- stdin


def test_stdin_is_absent_unless_asked_for(shared):
    process = shared.exec(["cat"])
    assert process.stdin is None
    assert process.result().stdout == ""


def test_write_writeline_close(shared):
    process = shared.exec(["cat"], stdin=True)
    assert isinstance(process.stdin, StreamWriter) and process.stdin is process.stdin
    assert StreamWriter.QUEUE_SIZE == 16
    assert process.stdin.closed is False
    assert process.stdin.write(b"a").result() is None
    process.stdin.write(bytearray(b"b")).result()
    process.stdin.write(memoryview(b"cc")[1:]).result()
    process.stdin.writeline("d").result()
    process.stdin.writeline("\u00e9", encoding="latin-1").result()
    process.stdin.write(b"").result()
    assert process.stdin.close().result() is None
    assert process.stdin.closed is True
    assert process.stdin.close().result() is None
    assert process.result().stdout_bytes == b"abcd\n\xe9\n"


def test_closing_after_the_end_of_the_process_is_fine_and_is_closed(shared):
    process = shared.exec(["true"], stdin=True)
    process.result()
    assert process.stdin.closed is False
    assert process.stdin.close().result() is None
    assert process.stdin.closed is True
    with pytest.raises(SandboxExecutionError, match="stream has failed"):
        process.stdin.write(b"x")


def test_write_after_close_raises_at_once(shared):
    process = shared.exec(["sleep", "1000"], stdin=True)  # stays: the end of the process is another error
    process.stdin.close().result()
    with pytest.raises(SandboxExecutionError, match="stream is closed"):
        process.stdin.write(b"x")
    with pytest.raises(SandboxExecutionError, match="stream is closed"):
        process.stdin.writeline("x")
    process.cancel()


def test_write_after_the_end_raises(shared):
    process = shared.exec(["true"], stdin=True)
    process.result()
    with pytest.raises(SandboxExecutionError, match="stream has failed"):
        process.stdin.write(b"x")
    process.stdin.close().result()


def test_writes_keep_their_order_without_waiting(shared):
    process = shared.exec(["cat"], stdin=True)
    for i in range(200):
        process.stdin.write(b"%d\n" % i)
    process.stdin.close()
    assert process.result().stdout == "".join(f"{i}\n" for i in range(200))


def test_backpressure_is_the_pending_handle(shared):
    process = shared.exec(["sh", "-c", "read go; cat | wc -c"], stdin=True)
    process.stdin.writeline("").result()
    block = b"x" * 65536
    refs = [process.stdin.write(block) for _ in range(400)]
    process.stdin.close()
    for ref in refs:
        ref.result(timeout=30)
    assert process.result().stdout.strip() == str(400 * 65536)


def test_writes_pending_when_the_process_ends_fail(shared):
    shared.exec(["mkfifo", "/tmp/go"], check=True).result()
    process = shared.exec(["sh", "-c", "exec <&-; read line </tmp/go"], stdin=True)
    refs = [process.stdin.write(b"x" * 1_000_000) for _ in range(40)]
    shared.exec(["sh", "-c", "echo >/tmp/go"], check=True).result()
    process.result()
    outcomes = []
    for ref in refs:
        try:
            ref.result(timeout=10)
            outcomes.append("queued")
        except SandboxExecutionError:
            outcomes.append("failed")
    assert len(outcomes) == 40  # none hangs


def test_bad_data_is_a_type_error(shared):
    process = shared.exec(["cat"], stdin=True)
    with pytest.raises(TypeError):
        process.stdin.write("text")
    with pytest.raises(TypeError):
        process.stdin.writeline(b"bytes")
    with pytest.raises(LookupError):
        process.stdin.writeline("x", encoding="no-such-encoding")
    process.stdin.close()
    assert process.result().stdout == ""


# ---- terminals


def test_shell_is_a_terminal(shared):
    session = shared.shell(["sh", "-c", "tty; stty size; exit 3"], width=100, height=30)
    output = b"".join(session.output)
    assert b"/dev/pts/" in output and b"30 100" in output
    assert session.result() == TerminalResult(3, ["sh", "-c", "tty; stty size; exit 3"])
    assert session.wait() == 3 and session.returncode == 3
    with pytest.raises(AttributeError):
        session.poll  # noqa: B018


def test_shell_stdin_and_resize(shared):
    session = shared.shell(["sh", "-c", "stty -echo; echo ready; read x; stty size; echo got $x"], width=80, height=24)
    output = b""
    for chunk in session.output:
        output += chunk
        if b"ready" in output:
            break
    session.resize(132, 50)
    session.stdin.write(b"hello\n").result()
    output += b"".join(session.output)
    assert session.result().returncode == 0
    assert b"50 132" in output and b"got hello" in output
    with pytest.raises(SandboxExecutionError, match="terminal session has ended"):
        session.resize(80, 24)


def test_a_size_that_no_terminal_has_is_refused(shared):
    session = shared.shell(["sleep", "600"])
    for wrong, kind in [(-1, ValueError), (65536, ValueError), (1 << 40, ValueError), (1 << 80, ValueError), ("80", TypeError), (None, TypeError)]:
        with pytest.raises(kind):
            session.resize(wrong, 24)
        with pytest.raises(kind):
            session.resize(80, wrong)
        if wrong is not None:
            with pytest.raises(kind):
                shared.shell(width=wrong)
    session.output.close()


def test_shell_defaults_to_bash_and_close_ends_it(shared):
    session = shared.shell()
    assert session.command == ["/bin/bash"]
    next(session.output)
    session.output.close()
    with pytest.raises(BaseException):
        session.result(timeout=20)
    with pytest.raises(ValueError, match="Command cannot be empty"):
        shared.shell([])


# ---- logs


def test_logs_of_the_main_process():
    with Sandbox.run("sh", "-c", "echo one; echo two >&2; echo three; sleep 1000") as sandbox:
        sandbox.wait()
        seen = []
        for line in sandbox.stream_logs(follow=True):
            seen.append(line)
            if len(seen) == 3:
                break
        assert sorted(seen) == ["one\n", "three\n", "two\n"]
        assert list(sandbox.stream_logs(tail_lines=1)) == seen[-1:]


def test_logs_end_with_the_process():
    with Sandbox.run("sh", "-c", "echo a; printf b") as sandbox:
        sandbox.wait_until_complete().result()
        assert list(sandbox.stream_logs()) == ["a\n", "b"]
        stamped = list(sandbox.stream_logs(timestamps=True))
        assert stamped[0].endswith("a\n") and len(stamped[0]) > len("a\n")
        future = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        assert list(sandbox.stream_logs(since_time=future)) == []
        with pytest.raises(SandboxNotRunningError):
            list(sandbox.stream_logs(follow=True))


def test_a_follower_of_a_fast_writer_sees_each_line_once():
    for _ in range(4):  # it took the reader past the size that the service had seen last
        with Sandbox.run("sh", "-c", "sleep 0.05; seq -f %0199.0f 60000; sleep 0.1") as sandbox:
            assert [int(line) for line in sandbox.stream_logs(follow=True)] == list(range(1, 60001))


def test_log_arguments_are_checked_on_first_iteration(shared):
    reader = shared.stream_logs(since_time=datetime.datetime(2024, 1, 1))
    with pytest.raises(ValueError, match="time zone"):
        next(reader)
    assert list(reader) == []
    for wrong, kind in [({"tail_lines": -1}, ValueError), ({"tail_lines": "1"}, TypeError), ({"since_time": "now"}, TypeError),
                        ({"timeout_seconds": -1}, ValueError)]:
        reader = shared.stream_logs(**wrong)
        with pytest.raises(kind):
            next(reader)
    with pytest.raises(TypeError):
        shared.stream_logs(lines=3)


def test_closing_a_log_stream_ends_it():
    with Sandbox.run("sh", "-c", "echo x; sleep 1000") as sandbox:
        reader = sandbox.stream_logs(follow=True)
        assert next(reader) == "x\n"
        reader.close()
        assert list(reader) == []
