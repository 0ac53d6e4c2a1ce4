"""Ctrl-C in every call that blocks: the service holds its answer, the interrupt arrives, the call raises at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox, Session
from scripted_server import ready, sandbox

pytestmark = pytest.mark.filterwarnings("ignore:sandbox .* was not stopped:ResourceWarning")
FUTEX = "202"  # its number on x86-64


def hold(call):
    call.hold()


def hold_stream(call):
    yield ready()
    call.hold()


def held(server, *methods):
    for method in methods:
        server.on(method, hold_stream if method in ("StreamExec", "StreamLogs") else hold)


def started(server):
    sandbox = Sandbox.run().wait()
    held(server, "GetSandbox", "DeleteSandbox", "StreamExec", "StreamLogs", "ReadFile", "WriteFile")
    server.on("StreamLogs", lambda call: hold(call) or [])
    return sandbox


def full_stdin(server):
    """A write that waits for room: the service is not ready for stdin."""
    sandbox = started(server)
    server.on("StreamExec", lambda call: hold(call) or [])
    stdin = sandbox.exec(["x"], stdin=True).stdin
    server.wait_for("StreamExec")
    return [stdin.write(b"x") for _ in range(17)][-1]


def leaving(server):
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(started(server))
        left = stack.pop_all()
    assert sandbox.status == "running"
    return left.close


def open_session(server):
    session = Session()
    session.adopt(started(server))
    return session


def remote_call(server):
    @Session().function()
    def f():
        return 1

    held(server, "CreateSandbox")
    return f.remote()


def endless():
    while True:
        yield bytes(1 << 20)


# name: (the call of the service that is held, what is made before, what blocks)
CALLS = {
    "Sandbox.run": ("CreateSandbox", lambda s: held(s, "CreateSandbox"), lambda _: Sandbox.run()),
    "Sandbox.run_from_template": (
        "CreateSandboxFromTemplate", lambda s: held(s, "CreateSandboxFromTemplate"), lambda _: Sandbox.run_from_template("t")),
    "with, entering": ("CreateSandbox", lambda s: held(s, "CreateSandbox"), lambda _: Sandbox().__enter__()),
    "with, leaving": ("DeleteSandbox", leaving, lambda close: close()),
    "start": ("CreateSandbox", lambda s: held(s, "CreateSandbox"), lambda _: Sandbox().start().result()),
    "wait": ("GetSandbox", lambda s: held(s, "GetSandbox") or Sandbox.run(), lambda sb: sb.wait()),
    "wait_until_complete": ("GetSandbox", started, lambda sb: sb.wait_until_complete().result()),
    "get_status": ("GetSandbox", started, lambda sb: sb.get_status()),
    "stop": ("DeleteSandbox", started, lambda sb: sb.stop().result()),
    "exec": ("StreamExec", started, lambda sb: sb.exec(["x"]).result()),
    "exec, wait": ("StreamExec", started, lambda sb: sb.exec(["x"]).wait()),
    "exec, stdout": ("StreamExec", started, lambda sb: next(sb.exec(["x"]).stdout)),
    "exec, stderr": ("StreamExec", started, lambda sb: next(sb.exec(["x"]).stderr)),
    "stdin": ("StreamExec", full_stdin, lambda write: write.result()),
    "shell": ("StreamExec", started, lambda sb: sb.shell().result()),
    "shell, wait": ("StreamExec", started, lambda sb: sb.shell().wait()),
    "shell, output": ("StreamExec", started, lambda sb: next(sb.shell().output)),
    "logs": ("StreamLogs", started, lambda sb: next(sb.stream_logs(follow=True))),
    "read_file": ("ReadFile", started, lambda sb: sb.read_file("/x").result()),
    "write_file": ("WriteFile", started, lambda sb: sb.write_file("/x", b"data").result()),
    "read_file_streaming": ("StreamExec", started, lambda sb: next(sb.read_file_streaming("/x"))),
    "write_file_streaming": ("StreamExec", started, lambda sb: sb.write_file_streaming("/x", endless()).result()),
    "snapshot": ("CreateFileSystemSnapshot", lambda s: held(s, "CreateFileSystemSnapshot") or started(s),
                 lambda sb: sb.snapshot().result()),
    "Sandbox.list": ("ListSandboxes", lambda s: held(s, "ListSandboxes"), lambda _: Sandbox.list().result()),
    "Sandbox.from_id": ("GetSandbox", lambda s: held(s, "GetSandbox"), lambda _: Sandbox.from_id("x").result()),
    "Sandbox.delete": ("DeleteSandbox", lambda s: held(s, "DeleteSandbox"), lambda _: Sandbox.delete("x").result()),
    "session.list": ("ListSandboxes", lambda s: held(s, "ListSandboxes"), lambda _: Session().list().result()),
    "session.close": ("DeleteSandbox", open_session, lambda session: session.close().result()),
    "function": ("CreateSandbox", remote_call, lambda ref: ref.result()),
    "results": ("ReadFile", started, lambda sb: cw.results([sb.read_file("/x")])),
    "cwsandbox.wait": ("ReadFile", started, lambda sb: cw.wait([sb.read_file("/x")])),
    "cwsandbox.wait, function": ("CreateSandbox", remote_call, lambda ref: cw.wait([ref])),
    "list_runners": ("ListAvailableRunners", lambda s: held(s, "ListAvailableRunners"), lambda _: cw.list_runners()),
    "get_runner": ("GetAvailableRunner", lambda s: held(s, "GetAvailableRunner"), lambda _: cw.get_runner("r", organization_id="o")),
}


@pytest.fixture
def interrupt():
    """interrupt(event): Ctrl-C for the main thread, once the event has come and the thread is blocked."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    threads, sent = [], []

    def start(event):
        def watch():
            event()
            main = threading.main_thread().native_id
            while True:
                with open(f"/proc/self/task/{main}/syscall") as f:
                    if f.read().split()[0] == FUTEX:
                        break
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threads.append(threading.Thread(target=watch))
        threads[0].start()
        return sent

    yield start
    for thread in threads:
        thread.join(30)
    signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("name", CALLS)
def test_ctrl_c_interrupts_every_call_that_blocks(server, interrupt, name):
    method, prepare, block = CALLS[name]
    prepared = prepare(server)
    n = len(server.of(method))
    sent = interrupt(lambda: server.wait_for(method, n if name == "stdin" else n + 1))
    with pytest.raises(KeyboardInterrupt):
        block(prepared)
    assert time.monotonic() - sent[0] < 2


@pytest.mark.parametrize("start", [lambda: Sandbox.run(), lambda: Sandbox().__enter__()], ids=["run", "with"])
def test_ctrl_c_while_a_sandbox_starts_stops_what_comes_of_it(server, interrupt, start):
    go = threading.Event()
    server.on("CreateSandbox", lambda call: go.wait(20) and sandbox("pending"))
    interrupt(lambda: server.wait_for("CreateSandbox"))
    with pytest.raises(KeyboardInterrupt):
        start()
    go.set()
    server.wait_for("DeleteSandbox")
