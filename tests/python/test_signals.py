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
        sandbox = Sandbox()
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
        cwsandbox.Sandbox()
        os.kill(os.getpid(), signal.{})
        print("goes on")
    """
    assert run_program(source.format("SIGTERM"), "").stdout == "mine\ngoes on\n"
    assert run_program(source.format("SIGINT"), "").stdout == "goes on\n"


SHOW = """
    import os, signal, threading, atexit
    hooks = []
    register, atexit.register = atexit.register, lambda f, *a: (hooks.append(f), register(f, *a))[1]
    import cwsandbox
    from cwsandbox import Sandbox, Session
    from cwsandbox._cleanup import _leave
    def show(what):
        ours = [signal.getsignal(s) not in (signal.SIG_DFL, signal.default_int_handler) for s in (signal.SIGINT, signal.SIGTERM)]
        print(what, "handlers" if all(ours) else "none" if not any(ours) else "half", hooks.count(_leave))
    def elsewhere(f):
        thread = threading.Thread(target=f)
        thread.start()
        thread.join()
"""


def shown(source: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SHOW) + textwrap.dedent(source)], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_import_installs_nothing():
    assert shown("""
        show("import")
        session = Session()
        show("session")
        try:
            Sandbox(max_lifetime_seconds=-1)
        except ValueError:
            show("refused")
        Sandbox.list(base_url="nonsense"), Sandbox.from_id("x", base_url="nonsense")
        session.list(), session.from_id("x", adopt=False)
        show("looking")
    """) == ["import none 0", "session none 0", "refused none 0", "looking none 0"]


@pytest.mark.parametrize("own", [
    "Sandbox()", "Session().sandbox()", "Session().list(adopt=True)", "Session().from_id('x')",
    "Session().function()(lambda: 1).remote()",
])  # fmt: skip
def test_the_hooks_come_with_the_first_sandbox_that_is_owned(own):
    source = f"""
        {own}
        show("owned")
        Sandbox()
        show("again")
        os.sys.stdout.flush()
        os._exit(0)
    """
    assert shown(source, CWSANDBOX_BASE_URL="http://127.0.0.1:1") == ["owned handlers 1", "again handlers 1"]


def test_off_the_main_thread_only_the_exit_hook_comes():
    assert shown("""
        elsewhere(Sandbox)
        show("thread")
        elsewhere(Sandbox)
        Sandbox()
        show("main")
    """) == ["thread none 1", "main handlers 1"]


@pytest.mark.parametrize("value, expected", [("1", "none"), (" TRUE ", "none"), ("yes", "none"), ("On", "none"), ("", "handlers"),
                                             ("0", "handlers"), ("y", "handlers")])  # fmt: skip
def test_the_handlers_are_opted_out_by_the_environment(value, expected):
    assert shown("Sandbox(); show('owned')", CWSANDBOX_DISABLE_SIGNAL_HANDLERS=value) == [f"owned {expected} 1"]


def test_the_handlers_are_opted_out_by_a_call():
    assert shown("""
        cwsandbox.disable_signal_handlers()
        cwsandbox.disable_signal_handlers()
        Sandbox()
        cwsandbox.disable_signal_handlers()
        show("disabled")
    """) == ["disabled none 1"]


def test_it_is_too_late_to_opt_out_once_they_are_installed():
    assert shown("""
        Sandbox()
        os.environ["CWSANDBOX_DISABLE_SIGNAL_HANDLERS"] = "1"
        try:
            cwsandbox.disable_signal_handlers()
        except RuntimeError as error:
            print("before" in str(error))
        Sandbox()
        show("late")
    """) == ["True", "late handlers 1"]


def test_a_forked_child_has_the_handler_of_sigterm_once_it_owns_a_sandbox():
    assert shown("""
        Sandbox()
        pid = os.fork()
        if pid == 0:
            print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
            Sandbox()
            print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
    """) == ["True", "False"]


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


def test_sigterm_that_comes_just_before_a_wait_in_c_is_not_slept_over():
    """What ends a worker of a multiprocessing pool: nothing looks for signals between the two calls in C."""
    done = run_program("""
        import ctypes, functools, multiprocessing, operator
        with Session() as session:
            session.sandbox()
            lock = multiprocessing.get_context("spawn").Lock()
            lock.acquire()
            print("waits", flush=True)
            list(map(operator.call, (functools.partial(ctypes.PyDLL(None)["raise"], signal.SIGTERM), lock.acquire)))
    """)
    assert (done.stdout, done.returncode) == ("waits\n", 143), done.stderr


def test_a_handler_of_ones_own_may_pass_sigterm_on_to_ours():
    done = run_program("""
        with Session() as session:
            session.sandbox()
            ours = signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, lambda *args: (print("mine", flush=True), ours(*args)))
            os.kill(os.getpid(), signal.SIGTERM)
            print("goes on")
    """)
    assert (done.stdout, done.returncode) == ("mine\n", 143), done.stderr
