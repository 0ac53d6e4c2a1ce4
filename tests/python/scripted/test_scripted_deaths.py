"""A service that dies at each point of each call: nothing hangs, nothing is invented, and the next call works.

Points: before it accepts, before it answers, after its headers, after part of a stream, after the last message but before the status.
"""

from __future__ import annotations

import asyncio

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox
from scripted_server import ID, eventually, exit_, log, out, ready, sandbox

SECONDS = 20  # nothing here takes long; this is "it hangs"


def before_answer(call):
    call.server.cut()
    call.hold()


def after_headers(call):
    call.send_headers()
    call.server.cut()
    call.hold()


UNARY = {
    "CreateSandbox": lambda sb: Sandbox().start(),
    "GetSandbox": lambda sb: Sandbox.from_id(ID),
    "ListSandboxes": lambda sb: Sandbox.list(),
    "DeleteSandbox": lambda sb: Sandbox.delete(ID),
    "WriteFile": lambda sb: sb.write_file("/x", b"data"),
    "ReadFile": lambda sb: sb.read_file("/x"),
}
STREAMS = {"StreamExec": lambda sb: sb.exec(["x"])}
# Calls that may be made again when the connection was lost before any answer: a second one does no harm
AGAIN = {"CreateSandbox", "GetSandbox", "ListSandboxes", "ReadFile"}


@pytest.fixture(params=["result", "await"])
def outcome(request):
    """outcome(ref): its value or its exception."""

    async def by_await(ref):
        async with asyncio.timeout(SECONDS):
            return await ref

    def run(make):
        try:
            return make().result(SECONDS) if request.param == "result" else asyncio.run(_await_made(by_await, make))
        except cw.CWSandboxError as error:
            return error

    return run


async def _await_made(by_await, make):
    return await by_await(make())


@pytest.mark.parametrize("method", UNARY)
def test_it_always_dies_before_it_answers(server, sb, outcome, method):
    sb.wait()
    n = len(server.of(method))
    server.on(method, before_answer)
    error = outcome(lambda: UNARY[method](sb))
    assert type(error) is cw.SandboxUnavailableError
    assert len(server.of(method)) - n == (2 if method in AGAIN else 1)
    server.on(method, getattr(server, "_healthy_" + method))
    assert not isinstance(outcome(lambda: UNARY[method](sb)), Exception)


@pytest.mark.parametrize("method", sorted(AGAIN))
def test_it_dies_once_before_it_answers(server, sb, outcome, method):
    sb.wait()
    server.on(method, before_answer, getattr(server, "_healthy_" + method))
    assert not isinstance(outcome(lambda: UNARY[method](sb)), Exception)
    if method == "CreateSandbox":  # the second call is the same request: no second sandbox
        first, second = [call.request.request_id for call in server.of(method)[-2:]]
        assert first == second


@pytest.mark.parametrize("method", UNARY)
def test_it_dies_after_its_headers(server, sb, outcome, method):
    sb.wait()
    n = len(server.of(method))
    server.on(method, after_headers)
    assert type(outcome(lambda: UNARY[method](sb))) is cw.SandboxUnavailableError
    assert len(server.of(method)) == n + 1


@pytest.mark.parametrize("method", {**UNARY, **STREAMS})
def test_it_accepts_nobody(server, sb, outcome, method):
    sb.wait()
    server.refuse()
    make = {**UNARY, **STREAMS}[method]
    assert type(outcome(lambda: make(sb))) is cw.SandboxUnavailableError
    server.accept()
    # A connection that was dropped before accept() may still look alive to the client for a moment
    eventually(lambda: not isinstance(outcome(lambda: make(sb)), Exception))


def dying(*messages):
    def script(call):
        yield from messages
        call.server.cut()
        call.hold()

    return script


@pytest.mark.parametrize("messages, seen", [
    ((), ""), ((ready(),), ""), ((ready(), out(b"some")), "some"), ((out(b"a"), out(b"b")), "ab")],
    ids=["at once", "ready", "one chunk", "two chunks"])
@pytest.mark.parametrize("stdin", [False, True])
def test_it_dies_within_an_exec(server, sb, outcome, messages, seen, stdin):
    server.on("StreamExec", dying(*messages))
    process = sb.wait().exec(["x"], stdin=stdin)
    assert "".join(process.stdout) == seen and list(process.stderr) == []
    assert type(outcome(lambda: process)) is cw.SandboxUnavailableError
    assert process.poll() is None and process.returncode is None
    assert len(server.of("StreamExec")) == 1  # a command is never run twice
    if stdin:
        with pytest.raises(cw.SandboxExecutionError):
            process.stdin.write(b"x")


def test_it_dies_between_the_exit_and_the_status(server, sb, outcome):
    server.on("StreamExec", dying(ready(), out(b"all"), exit_(3)))
    result = outcome(lambda: sb.wait().exec(["x"]))
    assert (result.stdout, result.returncode) == ("all", 3)


@pytest.mark.parametrize("messages", [(), (ready(),), (ready(), out(b"some"))], ids=["at once", "ready", "output"])
def test_it_dies_within_a_terminal(server, sb, outcome, messages):
    server.on("StreamExec", dying(*messages))
    session = sb.wait().shell()
    if messages:
        assert b"".join(session.output) in (b"", b"some")
    assert type(outcome(lambda: session)) is cw.SandboxUnavailableError


def test_it_dies_within_logs_that_are_not_followed(server, sb):
    server.on("StreamLogs", dying(log(b"a\n")))
    reader = sb.wait().stream_logs()
    assert next(reader) == "a\n"
    with pytest.raises(cw.SandboxUnavailableError):
        next(reader)
    assert list(reader) == []


def test_it_dies_while_somebody_waits_for_running(server, sb, outcome):
    server.on("GetSandbox", before_answer, before_answer, before_answer, sandbox("running"))
    assert outcome(lambda: sb.exec(["x"])).returncode == 0


def test_it_dies_while_somebody_waits_for_the_end(server, sb, outcome):
    server.on("GetSandbox", sandbox("running"), after_headers, before_answer, sandbox("completed", exit_code=9))
    assert outcome(lambda: sb.wait_until_complete()).returncode == 9


def test_it_dies_during_a_stop_which_may_be_tried_again(server, sb, outcome):
    server.on("DeleteSandbox", before_answer)
    assert type(outcome(lambda: sb.stop())) is cw.SandboxUnavailableError
    assert sb.status == "pending"
    server.on("DeleteSandbox", server._healthy_DeleteSandbox)
    assert outcome(lambda: sb.stop()) is None


def test_one_death_ends_all_calls_of_the_connection(server, sb):
    server.on("StreamExec", lambda call: call.hold() or [])
    processes = [sb.wait().exec(["x"]) for _ in range(20)]
    server.wait_for("StreamExec", 20)
    server.cut()
    for process in processes:
        with pytest.raises(cw.SandboxUnavailableError):
            process.result(SECONDS)
