"""The calls of @session.function(): how they are kept apart and shared out, what ends them, and what happens when something dies."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import subprocess
import sys
import threading
import time

import cwsandbox
import pytest
from cwsandbox import SandboxDefaults, SandboxError, SandboxExecutionError, SandboxTimeoutError, Session
from test_function import fresh, session  # noqa: F401


# ---- calls are kept apart


def test_nothing_in_the_interpreter_leaks_from_call_to_call(session):
    @session.function()
    def f():
        import builtins
        import os
        import sys

        seen = [hasattr(builtins, "mark"), "MARK" in os.environ, "fractions" in sys.modules, os.getcwd() == "/tmp"]
        builtins.mark = os.environ["MARK"] = "x"
        import fractions  # noqa: F401

        os.chdir("/tmp")
        sys.stdout.close()
        return seen

    assert cwsandbox.results(f.map([()] * 20)) == [[False] * 4] * 20


def test_random_numbers_differ(session):
    @session.function()
    def f():
        import random

        return random.random()

    assert len(set(cwsandbox.results(f.map([()] * 8)))) == 8


def test_output_of_one_call_is_its_own(session):
    @session.function()
    def f(i):
        import sys

        for _ in range(100):
            print(i)
            print(-i, file=sys.stderr)
        os_write = __import__("os").write
        os_write(1, b"\xff\n")
        raise SystemExit(1)

    for i, ref in enumerate(f.map([(i,) for i in range(8)])):
        with pytest.raises(SandboxExecutionError) as caught:
            ref.result()
        assert caught.value.exec_result.stdout_bytes == f"{i}\n".encode() * 100 + b"\xff\n"
        assert caught.value.exec_result.stderr == f"{-i}\n" * 100


def test_threads_and_exit_functions_of_a_call_finish(session, fresh):
    @session.function(fresh=fresh)
    def f(fail):
        import atexit
        import threading
        import time

        atexit.register(print, "exit function")
        threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
        if fail:
            raise ValueError
        return 1

    assert f.remote(False).result() == 1
    with pytest.raises(SandboxExecutionError) as caught:
        f.remote(True).result()
    assert caught.value.exec_result.stdout == "thread\nexit function\n"


def test_what_a_call_leaves_running_is_ended_and_does_not_delay_it(session):
    @session.function()
    def f():
        import subprocess

        return subprocess.Popen(["sleep", "1000"]).pid

    began = time.monotonic()
    pid = f.remote().result()
    assert time.monotonic() - began < 60
    (slot,) = f._pool.slots
    ended = """
import os, select, sys
try:
    process = os.pidfd_open(int(sys.argv[1]))
except ProcessLookupError:
    print("ended")
else:
    print("ended" if select.select([process], [], [], 10)[0] else "runs")
"""  # a process that was killed still has to run to its end
    assert slot.sandbox.exec(["python", "-c", ended, str(pid)]).result().stdout == "ended\n"


def test_calls_that_wait_overlap(session):
    """All calls meet in one directory; each waits until all are there."""

    @session.function()
    def f(i, n):
        import os
        import time

        open(f"/tmp/here-{i}", "w").close()
        for _ in range(2000):
            if len([name for name in os.listdir("/tmp") if name.startswith("here-")]) >= n:
                return True
            time.sleep(0.01)
        return False

    n_sandboxes = len(os.sched_getaffinity(0))
    n = 8
    # at least n calls share one sandbox
    refs = f.map([(i, n) for i in range(n * n_sandboxes)])
    assert all(cwsandbox.results(refs))


def test_few_sandboxes_serve_many_calls_and_stop_with_the_session():
    with Session() as session:

        @session.function()
        def f():
            return 1

        cwsandbox.results(f.map([()] * 100))
        assert 1 <= session.sandbox_count <= len(os.sched_getaffinity(0))
        sandboxes = list(session._registered.values())
    assert {sandbox.get_status() for sandbox in sandboxes} == {"terminated"}
    with pytest.raises(SandboxError, match="session is closed"):
        f.remote().result()


def test_fresh_calls_have_a_sandbox_each():
    with Session() as session:

        @session.function(fresh=True)
        def f():
            import os

            existed = os.path.exists("/tmp/mark")
            open("/tmp/mark", "w").close()
            return existed

        assert cwsandbox.results(f.map([()] * 4)) == [False] * 4
        assert session.sandbox_count == 0
        assert session.get_metrics()["cwsandbox/sandboxes_created"] == 4


def test_options_reach_the_sandbox(fresh):
    with Session(SandboxDefaults(environment_variables={"A": "1"})) as session:

        @session.function(environment_variables={"B": "2"}, fresh=fresh, temp_dir="/tmp/new/dir/")
        def f():
            import os

            return [os.environ["A"], os.environ["B"]]

        assert f.remote().result() == ["1", "2"]


# ---- cancelling, time limits, deaths


def worker_of(f):
    (slot,) = f._pool.slots
    return slot


def test_cancelling_a_task_ends_the_call(session, run):
    @session.function()
    def f(seconds):
        import time

        time.sleep(seconds)
        return 1

    async def body():
        assert await f.remote(0) == 1
        task = asyncio.ensure_future(_await(f.remote(1000)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(f.remote(1000), 0.1)
        assert await f.remote(0) == 1

    async def _await(ref):
        return await ref

    run(body())
    deadline = time.monotonic() + 10
    while any(slot.calls for slot in f._pool.slots) and time.monotonic() < deadline:
        f.remote(0).result()  # answers come in turn: an event, not a sleep
    assert not any(slot.calls for slot in f._pool.slots)


def test_cancelling_before_it_runs(session):
    @session.function()
    def f(seconds):
        import time

        time.sleep(seconds)
        return 1

    ref = f.remote(1000)
    assert ref._future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        ref.result()
    assert f.remote(0).result() == 1


def test_a_call_has_a_time_limit(session, fresh):
    @session.function(request_timeout_seconds=2 if fresh else 0.3, fresh=fresh)
    def f(seconds):
        import time

        time.sleep(seconds)
        return 1

    with pytest.raises(SandboxTimeoutError):
        f.remote(1000).result()
    assert f.remote(0).result() == 1


def test_result_with_a_timeout_does_not_cancel(session):
    @session.function()
    def f():
        import time

        time.sleep(0.3)
        return 1

    ref = f.remote()
    with pytest.raises(TimeoutError):
        ref.result(0.01)
    assert ref.result() == 1 == ref.result()


def test_a_dead_worker_is_replaced(session):
    @session.function()
    def f(kill):
        import os
        import signal
        import time

        if kill:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(100)
        return 1

    assert f.remote(False).result() == 1
    with pytest.raises(SandboxExecutionError, match="interpreter that served it ended"):
        f.remote(True).result()
    assert f.remote(False).result() == 1


def test_memory_kill_takes_only_its_call():
    with Session() as session:

        @session.function(resources={"memory": "128Mi"})
        def f(n_bytes):
            return len(b"x" * n_bytes)

        with pytest.raises(SandboxExecutionError) as caught:
            f.remote(1 << 30).result()
        assert caught.value.exec_result.returncode == 137 or caught.value.exception_type == "MemoryError"
        slots = list(f._pool.slots)
        assert f.remote(1000).result() == 1000
        assert f._pool.slots == slots


def test_a_worn_out_worker_is_replaced_unseen(session, monkeypatch):
    monkeypatch.setattr("cwsandbox._slot.RETIRE_OUTPUT", 1000)

    @session.function()
    def f(n):
        return "x" * n

    for _ in range(6):
        assert cwsandbox.results(f.map([(200,)] * 10)) == ["x" * 200] * 10


@pytest.mark.parametrize("forged", ["done 999 0 - - 1", "done 1", "done 1 x - - 1", "done 1 0 A - 1", "done x 0 - - 1"])
def test_a_call_that_disturbs_its_interpreter_fails_and_the_next_one_runs(session, forged):
    @session.function()
    def f(line):
        import os
        import time

        if not line:
            return "fine"
        directory = f"/proc/{os.getppid()}/fd"
        for fd in os.listdir(directory):
            if os.readlink(f"{directory}/{fd}").startswith("pipe:") and int(fd) > 2:
                with open(f"{directory}/{fd}", "wb", buffering=0) as pipe:
                    pipe.write(line.encode() + b"\n")
        time.sleep(100)

    with pytest.raises(SandboxExecutionError, match="execution failed: .* disturbed by a call"):
        f.remote(forged).result(30)
    assert f.remote("").result(30) == "fine"


@pytest.mark.parametrize("lifetime, age", [(None, 13 * 3600), (7000, 3600)])
def test_a_sandbox_takes_no_call_in_the_second_half_of_its_life(lifetime, age):
    with Session({"max_lifetime_seconds": lifetime}) as session:

        @session.function()
        def where():
            import socket

            return socket.gethostname()

        first = where.remote().result()
        assert where.remote().result() == first
        where._pool.slots[0].born -= age
        assert where.remote().result() != first
        assert session.sandbox_count == 1


def test_closing_the_session_fails_what_runs(fresh):
    session = Session()

    @session.function(fresh=fresh)
    def f():
        import time

        time.sleep(1000)

    refs = f.map([()] * 3)
    session.close().result()
    for ref in refs:
        with pytest.raises(SandboxError):
            ref.result(30)


RACE = """
import concurrent.futures
from cwsandbox import Session, SandboxNotRunningError, _call

session = Session()

@session.function()
def f():
    return 1

assert f.remote().result() == 1

class Future(concurrent.futures.Future):
    # The session is closed, and the thread of its functions has ended, while the call is on its way.
    def add_done_callback(self, function):
        session.close().result()
        f._pool.driver.thread.join()
        super().add_done_callback(function)

_call.Future = Future
try:
    f.remote().result(30)
except SandboxNotRunningError as error:
    print(error)
"""


def test_a_call_while_another_thread_closes_the_session_fails(tmp_path):
    program = tmp_path / "race.py"
    program.write_text(RACE)
    out = subprocess.run([sys.executable, program], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    assert out == "the session of function 'f' has been closed\n"


def test_start_up_errors_reach_every_ref(fresh):
    with Session(SandboxDefaults(container_image="127.0.0.1:1/no-such-image")) as session:

        @session.function(fresh=fresh)
        def f():
            return 1

        for ref in f.map([()] * 5):
            with pytest.raises(cwsandbox.CWSandboxError):
                ref.result(60)


NO_FORK = "import os; del os.fork"


def test_without_fork_calls_are_fresh(session, caplog):
    @session.function(environment_variables={"PYTHONPATH": "/tmp/site", "PYTHONDONTWRITEBYTECODE": "1"},
                      mounted_files=[{"mount_path": "/opt/site/sitecustomize.py", "file_content": NO_FORK}])
    def f():
        return 1

    f._overrides["environment_variables"]["PYTHONPATH"] = "/opt/site"
    with caplog.at_level(logging.WARNING, "cwsandbox"):
        assert cwsandbox.results(f.map([()] * 3)) == [1, 1, 1]
    assert "no warm interpreter" in caplog.text
    assert caplog.text.count("no warm interpreter") == 1


def test_without_python_the_error_is_that_of_the_command(session, caplog):
    @session.function(environment_variables={"PATH": "/nowhere"})
    def f():
        return 1

    with pytest.raises(SandboxExecutionError, match="execution failed") as caught:
        f.remote().result()
    assert caught.value.exec_result.returncode == 127
