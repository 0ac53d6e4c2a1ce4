"""@session.function(): what travels, what comes back, what is refused, and where it is used."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import json
import math
import os
import subprocess
import sys
import textwrap
import threading
import time

import cwsandbox
import pytest
from cwsandbox import AsyncFunctionError, OperationRef, RemoteFunction, SandboxExecutionError, Session

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
