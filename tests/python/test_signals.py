"""Ctrl-C and SIGTERM: at once, whatever is being waited for, and with the clean-up done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from cwsandbox import Sandbox

START = """
    import os, signal, sys, threading
    import cwsandbox
    from cwsandbox import Sandbox, Session
    def interrupt_when_blocked(signum=signal.SIGINT):
        # The main thread is blocked when its system call number says futex; so it is in start(), too: call what is returned first
        go = threading.Event()
        def watch():
            go.wait()
            while True:
                with open(f"/proc/self/task/{os.getpid()}/syscall") as f:
                    if f.read().split()[0] == "202":
                        break
            os.kill(os.getpid(), signum)
        threading.Thread(target=watch, daemon=True).start()
        return go.set
"""


def run_program(source: str, start: str = START) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(start) + textwrap.dedent(source)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def default_sigint():
    """Inside pytest the package's handler would count the Ctrl-C of a test as the program's first."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


def kill_when_blocked():
    """(go, thread): after go() the thread interrupts this one when it blocks, but not in start(), which blocks as well."""
    main = os.getpid()
    go = threading.Event()

    def watch():
        go.wait()
        while True:
            with open(f"/proc/self/task/{main}/syscall") as f:
                if f.read().split()[0] == "202":
                    break
        os.kill(main, signal.SIGINT)

    thread = threading.Thread(target=watch)
    thread.start()
    return go.set, thread


@pytest.mark.parametrize("blocking", ["result", "wait", "stdout", "cwsandbox.wait", "sandbox.wait_until_complete"])
def test_ctrl_c_interrupts_at_once(shared, default_sigint, blocking):
    import cwsandbox

    process = shared.exec(["cat"], stdin=True)
    calls = {
        "result": process.result,
        "wait": process.wait,
        "stdout": lambda: next(process.stdout),
        "cwsandbox.wait": lambda: cwsandbox.wait([process]),
        "sandbox.wait_until_complete": lambda: shared.wait_until_complete().result(),
    }
    go, thread = kill_when_blocked()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        go()
        calls[blocking]()
    thread.join()
    assert time.monotonic() - began < 5
    process.stdin.close()
    assert process.result().returncode == 0  # the operation was not touched


def test_a_handler_that_returns_lets_the_wait_go_on(shared):
    process = shared.exec(["cat"], stdin=True)
    previous = signal.signal(signal.SIGINT, lambda *_: process.stdin.close())
    try:
        go, thread = kill_when_blocked()
        go()
        assert process.result(timeout=20).returncode == 0
        thread.join()
    finally:
        signal.signal(signal.SIGINT, previous)


def test_ctrl_c_closes_the_sessions_and_raises_keyboardinterrupt():
    done = run_program("""
        session = Session()
        sandbox = session.sandbox()
        process = sandbox.exec(["cat"], stdin=True)
        sandbox.wait()
        print(sandbox.sandbox_id, flush=True)
        go = interrupt_when_blocked()
        try:
            go()
            process.result()
        except KeyboardInterrupt:
            print("interrupted", sandbox.status)
    """)
    assert done.returncode == 0, done.stderr
    sandbox_id, _, status = done.stdout.split()
    assert status == "terminated"
    assert sandbox_id not in [s.sandbox_id for s in Sandbox.list().result()]


def test_sigterm_closes_the_sessions_and_exits_with_143():
    done = run_program("""
        session = Session()
        sandbox = session.sandbox()
        sandbox.wait()
        print(sandbox.sandbox_id, flush=True)
        interrupt_when_blocked(signal.SIGTERM)()
        sandbox.exec(["cat"], stdin=True).result()
    """)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout.strip() not in [s.sandbox_id for s in Sandbox.list().result()]


def test_the_second_signal_ends_the_program_at_once():
    done = run_program("""
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            print("first")
        os.kill(os.getpid(), signal.SIGINT)
    """)
    assert done.stdout == "first\n" and done.returncode == 130


def test_previous_handlers_are_kept():
    source = """
        import os, signal
        signal.signal(signal.SIGTERM, lambda *_: print("mine"))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        import cwsandbox
        os.kill(os.getpid(), signal.{})
        print("goes on")
    """
    assert run_program(source.format("SIGTERM"), "").stdout == "mine\ngoes on\n"
    assert run_program(source.format("SIGINT"), "").stdout == "goes on\n"


def test_importing_off_the_main_thread_installs_no_handlers():
    done = run_program(
        """
        import signal, threading
        def work():
            import cwsandbox
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        from cwsandbox import Sandbox
        with Sandbox.run() as sb:
            print(sb.exec(["echo", "ok"]).result().stdout, end="")
        """,
        "",
    )
    assert done.stdout == "ok\n", done.stderr


def test_ctrl_c_while_run_starts_leaves_no_sandbox():
    before = {s.sandbox_id for s in Sandbox.list().result()}
    done = run_program("""
        go = interrupt_when_blocked()
        try:
            go()
            while True:
                Sandbox.run(tags=["interrupted"]).stop(graceful_shutdown_seconds=0).result()
        except KeyboardInterrupt:
            print("interrupted")
        for sandbox in Sandbox.list(tags=["interrupted"]).result():
            sandbox.wait_until_complete(raise_on_termination=False, timeout=10).result()
    """)
    assert done.stdout == "interrupted\n", done.stderr
    assert {s.sandbox_id for s in Sandbox.list().result()} <= before
