"""@session.function(): what travels, what comes back, how calls are kept apart, and what happens when something dies."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import logging
import math
import os
import subprocess
import sys
import textwrap
import threading
import time

import cwsandbox
import pytest
from cwsandbox import (
    AsyncFunctionError,
    OperationRef,
    RemoteFunction,
    SandboxDefaults,
    SandboxError,
    SandboxExecutionError,
    SandboxTimeoutError,
    Session,
)

FACTOR = 3
SETTINGS = {"deep": [1, {"k": (2, 3)}]}
CLASH = "global"


def helper():
    pass


@pytest.fixture(scope="module")
def session():
    with Session() as s:
        yield s


@pytest.fixture(params=[False, True], ids=["warm", "fresh"])
def fresh(request):
    return request.param


def driver_threads():
    return [thread for thread in threading.enumerate() if thread.name == "cwsandbox-functions"]


def wait_for_no_thread():
    for thread in driver_threads():
        thread.join(10)
    assert driver_threads() == []


# ---- values


def test_positional_and_keyword_arguments_arrive(session, fresh, consume):
    @session.function(fresh=fresh)
    def f(a, b=2, *rest, c, **more):
        return [a, b, list(rest), c, more]

    assert consume(lambda: f.remote(1, c=3)) == [1, 2, [], 3, {}]
    assert consume(lambda: f.remote(1, 5, 6, 7, c=None, d="ü\ud800\n", e=True)) == [
        1, 5, [6, 7], None, {"d": "ü\ud800\n", "e": True},
    ]  # fmt: skip


def test_results_are_json(session, fresh):
    @session.function(fresh=fresh)
    def f():
        return {1: (2, 3), "nan": float("nan"), None: [], False: 1.5}

    result = f.remote().result()
    assert math.isnan(result.pop("nan"))
    assert result == {"1": [2, 3], "null": [], "false": 1.5}


def test_map_keeps_the_order(session):
    @session.function()
    def f(x, y):
        return x * y

    refs = f.map((i, i + 1) for i in range(50))
    assert all(isinstance(ref, OperationRef) for ref in refs)
    assert cwsandbox.results(refs) == [i * (i + 1) for i in range(50)]
    assert f.map([]) == []
    assert f.local(6, 7) == 42


def test_large_values_travel_both_ways(session):
    @session.function()
    def f(text):
        return text + text

    text = "ä\n" * 1_000_000
    assert f.remote(text).result() == text * 2


def test_globals_closure_and_nested_code_are_shipped(session, fresh):
    CLASH = "closure"
    added = [10]

    @session.function(fresh=fresh)
    def f(x):
        import math as own

        def inner():
            return [y * FACTOR for y in added]

        return [x * FACTOR, SETTINGS["deep"][1]["k"], inner(), CLASH, own.floor(2.5), len([1])]

    assert f.remote(2).result() == [6, [2, 3], [30], "closure", 2, 1]
    added[0] = 20  # the values of the moment of the call
    assert f.remote(2).result()[2] == [60]


def test_a_function_may_call_itself(session):
    @session.function()
    def factorial(n):
        return 1 if n < 2 else n * factorial(n - 1)

    assert factorial.remote.__self__ is factorial
    with pytest.raises(TypeError):
        factorial(5)
    assert factorial.remote(5).result() == 120


def test_multi_line_strings_and_annotations_survive(session):
    @session.function()
    def f(x: NoSuchName = 1) -> NoSuchName:  # noqa: F821
        text = """one
two
        three"""
        return text

    assert f.remote().result() == "one\ntwo\n        three"


def test_other_decorators_are_kept(session):
    @session.function()
    @staticmethod
    def f():
        return 1

    assert f.remote().result() == 1

    def plus(g):
        import functools

        return functools.wraps(g)(lambda *a: g(*a))

    @session.function()
    @plus
    def g():
        return 1

    with pytest.raises(SandboxExecutionError, match="plus") as caught:
        g.remote().result()
    assert caught.value.exception_type == "NameError"


def test_what_the_function_sees_of_its_interpreter(session, fresh):
    @session.function(fresh=fresh)
    def f():
        import os
        import sys

        assert isinstance(os.getcwd(), str)
        return [__name__, sys.argv, sys.stdin.read(), "Worker" in globals()]

    assert f.remote().result() == [__name__, ["-c"], "", False]  # __name__ is a global of this module like others


# ---- errors of arguments


@pytest.mark.parametrize(
    ("args", "kwargs", "path"),
    [
        (([1, {2: 3}],), {}, r"args\[0\]\[1\] .*key 2"),
        ((object(),), {}, r"args\[0\] .*object"),
        ((), {"x": {"y": {1}}}, r"kwargs\['x'\]\['y'\] .*set"),
        ((b"",), {}, r"args\[0\] .*bytes"),
    ],
)
def test_what_json_cannot_carry_is_named_by_path(session, args, kwargs, path, consume):
    @session.function()
    def f(*args, **kwargs):
        return 1

    with pytest.raises(TypeError, match="^" + path) as caught:
        consume(lambda: f.remote(*args, **kwargs))
    assert "not JSON-serializable" in str(caught.value)


def test_variables_are_checked_too(session):
    @session.function()
    def by_global():
        return helper

    with pytest.raises(TypeError, match=r"^closure_vars\['helper'\].*not JSON-serializable"):
        by_global.remote().result()
    cycle: list = []
    cycle.append(cycle)

    @session.function()
    def by_closure():
        return cycle

    with pytest.raises(TypeError, match=r"^closure_vars\['cycle'\]\[0\].*not JSON-serializable"):
        by_closure.remote().result()


def test_only_def_statements_can_travel(session):
    with pytest.raises(ValueError, match="lambda"):
        session.function()(lambda: 1).remote().result()
    with pytest.raises(TypeError):
        session.function()(len).remote(1).result()
    namespace: dict = {}
    exec("def f(): return 1", namespace)
    with pytest.raises(OSError):
        session.function()(namespace["f"]).remote().result()


def test_async_functions_are_refused_at_once(session):
    async def f():
        return 1

    async def g():
        yield 1

    def wrapper():
        return 1

    wrapper.__wrapped__ = f
    for function in (f, g, wrapper):
        with pytest.raises(AsyncFunctionError, match="async"):
            session.function()(function)


def test_wrong_decorator_arguments_are_refused_at_once(session):
    for name in ("secrets", "tags", "template_id", "nonsense"):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            session.function(**{name: None})
    with pytest.raises(TypeError):
        session.function(network=1)
    with pytest.raises(TypeError):
        session.function(helper)


def test_attributes_are_kept(session):
    @session.function()
    def f(a: int) -> str:
        """Text."""

    assert isinstance(f, RemoteFunction)
    assert (f.__name__, f.__doc__, f.__module__) == ("f", "Text.", __name__)
    assert f.__qualname__.endswith("<locals>.f")
    assert f.__annotations__ == {"a": "int", "return": "str"}
    assert not callable(f)


# ---- errors inside


def test_exceptions_come_back_as_data(session, fresh, consume):
    @session.function(fresh=fresh)
    def f():
        print("said")
        raise KeyError("missing")

    with pytest.raises(SandboxExecutionError, match="execution failed") as caught:
        consume(lambda: f.remote())
    error = caught.value
    assert (error.exception_type, error.exception_message) == ("KeyError", "'missing'")
    assert error.exec_result.returncode == 1
    assert error.exec_result.stdout == "said\n"
    assert "raise KeyError" in error.exec_result.stderr
    assert "EXCEPTION:'missing'" in error.exec_result.stderr


def test_exception_classes_of_the_function_are_named(session, fresh):
    @session.function(fresh=fresh)
    def f(name):
        class Odd(Exception):
            pass

        class MyError(Exception):
            pass

        raise {"Odd": Odd, "MyError": MyError, "bare": ValueError}[name](*[] if name == "bare" else ["text"])

    def outcome(name):
        with pytest.raises(SandboxExecutionError) as caught:
            f.remote(name).result()
        return caught.value.exception_type, caught.value.exception_message

    assert outcome("Odd") == (None, "text")
    assert outcome("MyError") == ("MyError", "text")
    assert outcome("bare") == ("ValueError", "")


def test_results_that_are_not_json(session, fresh):
    @session.function(fresh=fresh)
    def f():
        return {1, 2}

    with pytest.raises(SandboxExecutionError) as caught:
        f.remote().result()
    assert caught.value.exception_type == "TypeError"
    assert caught.value.exception_message.startswith("return value is not JSON-serializable: ")
    assert "RESULT_SERIALIZATION_ERROR:TypeError:" in caught.value.exec_result.stderr


@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(3)", 3), ("sys.exit()", 0), ("os._exit(7)", 7), ("os._exit(0)", 0), ("os.kill(os.getpid(), 9)", 137)],
)
def test_a_call_that_ends_its_process_fails_alone(session, fresh, end, code):
    @session.function(fresh=fresh)
    def f(end):
        import os  # noqa: F401
        import sys  # noqa: F401

        if end:
            eval(end)
        return 1

    refs = f.map([("",), (end,), ("",)])
    with pytest.raises(SandboxExecutionError, match="execution failed") as caught:
        refs[1].result()
    assert caught.value.exec_result.returncode == code
    assert [refs[0].result(), refs[2].result(), f.remote("").result()] == [1, 1, 1]


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
    with Session(SandboxDefaults(container_image="no-such-image-anywhere")) as session:

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


# ---- where it is used


def test_from_many_threads(session):
    @session.function()
    def f(x):
        return x + 1

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda x: f.remote(x).result(), range(64))) == [x + 1 for x in range(64)]


def test_from_several_loops_at_once(session, run):
    @session.function()
    def f(x):
        return x

    ref = f.remote(5)

    async def body():
        assert await asyncio.gather(*(_get(ref) for _ in range(3))) == [5, 5, 5]
        assert [await r for r in f.map([(1,), (2,)])] == [1, 2]

    async def _get(r):
        return await r

    run(body())


def test_wait_takes_function_refs_and_others(session, shared):
    @session.function()
    def f(seconds):
        import time

        time.sleep(seconds)
        return seconds

    quick, slow = f.remote(0), f.remote(1000)
    process, sleeper = shared.exec(["true"]), shared.exec(["sleep", "1000"])
    done, pending = cwsandbox.wait([slow, quick], num_returns=1)
    assert (done, pending) == ([quick], [slow])
    done, pending = cwsandbox.wait([slow, process, sleeper, quick, shared], num_returns=3)
    assert done == [process, quick, shared]
    assert pending == [slow, sleeper]
    assert cwsandbox.wait([slow, sleeper], timeout=0.05) == ([], [slow, sleeper])
    assert sleeper.poll() is None  # waiting cancelled nothing
    assert cwsandbox.wait([f.remote(0), slow], timeout=0.01, num_returns=1)[1][-1] is slow
    slow._future.cancel()
    assert sleeper.cancel()
    assert cwsandbox.wait([slow, sleeper]) == ([slow, sleeper], [])


def test_no_thread_is_left():
    with Session() as session:

        @session.function()
        def f():
            return 1

        f.remote().result()
        before = driver_threads()
        assert len(before) == 1
    with Session() as other:

        @other.function()
        def g():
            return 1

        assert g.remote().result() == 1


def test_a_dropped_function_gives_back_its_sandboxes():
    with Session() as session:

        def make():
            @session.function()
            def f():
                return 1

            return f.remote()

        assert make().result() == 1
        gc.collect()
        deadline = time.monotonic() + 20
        while session._pools and time.monotonic() < deadline:
            session.list().result()
        assert session._pools == []
        assert session.sandbox_count == 0


def run_program(code: str) -> str:
    import subprocess
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".py") as f:
        f.write(f"import sys\nsys.path[:0] = {sys.path!r}\n" + textwrap.dedent(code))
        f.flush()
        done = subprocess.run([sys.executable, f.name], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_a_program_that_forgets_everything_ends_quietly():
    out = run_program("""
        from cwsandbox import Session
        session = Session(report_to=[])
        @session.function()
        def f(seconds):
            import time
            time.sleep(seconds)
            return "done"
        print(f.remote(0).result())
        f.remote(1000)
        g = session.function(fresh=True)(f._fn)
        g.remote(1000)
    """)
    assert out == "done\n"


def test_no_thread_outlives_the_session():
    out = run_program("""
        import threading
        from cwsandbox import Session
        with Session() as session:
            @session.function()
            def f():
                return 1
            f.remote().result()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join(20)
        print(threading.active_count())
    """)
    assert out == "1\n"


def test_after_fork_the_child_makes_its_own():
    out = run_program("""
        import os
        from cwsandbox import Session
        session = Session()
        @session.function()
        def f(x):
            return x + 1
        print(f.remote(1).result(), flush=True)
        pid = os.fork()
        if pid == 0:
            with Session() as mine:
                print(mine.function()(f._fn).remote(2).result(), flush=True)
            os._exit(0)
        print(os.waitpid(pid, 0)[1], f.remote(3).result())
    """)
    assert out == "2\n3\n0 4\n"


def test_importing_the_package_loads_none_of_it():
    out = run_program("""
        import sys
        from cwsandbox import Sandbox, Session
        Session()
        loaded = [n for n in sys.modules if n.startswith("cwsandbox.")]
        print([n for n in ("_function", "_pool", "_slot", "_call", "_driver", "_runner") if "cwsandbox." + n in loaded])
    """)
    assert out == "[]\n"


def test_the_payload_is_only_json(session):
    @session.function()
    def f(x):
        return x * FACTOR

    payload = json.loads(f._request((1,), {}))
    assert list(payload) == ["source", "name", "closure_vars", "args", "kwargs"]
    assert "function" not in payload["source"]
    assert payload["closure_vars"] == {"FACTOR": 3}
