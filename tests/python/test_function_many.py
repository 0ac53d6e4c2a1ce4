"""Many calls at once: how many run, when their time begins, what fails alone, and what is shown meanwhile."""

from __future__ import annotations

import concurrent.futures
import functools
import io
import sys

import cwsandbox
import pytest
from cwsandbox import OperationRef, Sandbox, SandboxExecutionError, SandboxTimeoutError
from test_function import fresh, session  # noqa: F401


@pytest.mark.parametrize("n", [1, 3])
def test_no_more_calls_run_than_max_in_flight(session, fresh, n):  # noqa: F811
    most = []

    @session.function(fresh=fresh, max_in_flight=n)
    def f():
        return 1

    refs = f.map([()] * 9)
    pool = f._pool
    finished = pool.finished

    def counting(call):  # on the one thread that starts and ends calls
        most.append(len(pool.running))
        finished(call)

    pool.finished = counting
    assert cwsandbox.results(refs) == [1] * 9
    assert len(most) > 0 and max(most) <= n


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "2"])
def test_max_in_flight_is_a_positive_int(session, wrong):  # noqa: F811
    with pytest.raises(ValueError, match="max_in_flight must be a positive int"):

        @session.function(max_in_flight=wrong)
        def f():
            pass


def test_a_fresh_calls_time_does_not_run_while_it_waits(session):  # noqa: F811
    @session.function(fresh=True, max_in_flight=1, request_timeout_seconds=10)
    def f(wait_seconds):
        import time

        time.sleep(wait_seconds)
        return wait_seconds

    # The last one waits 12 s for its place: longer than its own time
    assert cwsandbox.results(f.map([(4,), (4,), (4,), (0,)])) == [4, 4, 4, 0]


def test_a_call_that_waits_can_be_cancelled(session):  # noqa: F811
    @session.function(fresh=True, max_in_flight=1)
    def f():
        return 1

    first, second, third = f.map([()] * 3)
    second._future.cancel()
    assert (first.result(), third.result()) == (1, 1)
    assert second._future.cancelled()


def test_map_gives_exceptions_as_values(session, fresh):  # noqa: F811
    @session.function(fresh=fresh)
    def f(x):
        return 1 // x

    one, error, two = cwsandbox.results(f.map([(1,), (0,), (-1,)], return_exceptions=True))
    assert (one, two) == (1, -1)
    assert isinstance(error, SandboxExecutionError) and error.exception_type == "ZeroDivisionError"
    (refused,) = f.map([(object(),)], return_exceptions=True)
    assert isinstance(refused.result(), TypeError)


def test_results_gives_exceptions_in_their_places(shared):
    refs = [shared.exec(["sh", "-c", f"exit {code}"], check=True) for code in (0, 3)]
    ok, error = cwsandbox.results(refs, return_exceptions=True)
    assert ok.returncode == 0 and error.exec_result.returncode == 3
    assert cwsandbox.results(refs[1], return_exceptions=True) is error
    with pytest.raises(SandboxExecutionError):
        cwsandbox.results(refs)


def test_as_completed_gives_what_is_done_first_first(shared):
    slow, quick = shared.exec(["cat"], stdin=True), shared.exec(["true"])
    done = cwsandbox.as_completed([slow, quick])
    assert next(done) is quick
    slow.stdin.close().result()
    assert list(done) == [slow]
    assert list(cwsandbox.as_completed([])) == []


def n_calls_of(function):
    """How many functions function() called, of Python or C."""
    calls = [0]

    def count(frame, event, arg):
        calls[0] += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls[0]


def futures(n):
    made = [concurrent.futures.Future() for _ in range(n)]
    return [cwsandbox.OperationRef(future) for future in made], [functools.partial(f.set_result, 1) for f in made]


def commands(shared, n):
    made = [shared.exec(["cat"], stdin=True) for _ in range(n)]
    return made, [p.stdin.close for p in made]


@pytest.mark.parametrize("kind", ["futures", "commands"])
def test_as_completed_does_the_same_for_each_of_many(shared, kind):
    def cost(n):
        handles, ends = futures(n) if kind == "futures" else commands(shared, n)
        done, got, calls = cwsandbox.as_completed(handles), [], 0
        for handle, end in zip(handles, ends):
            end()
            calls += n_calls_of(lambda: got.append(next(done)))
            assert got[-1] is handle
        return calls / n

    assert cost(40) < 2 * cost(10)


def test_as_completed_takes_sandboxes_and_stops_waiting(shared):
    hanging = shared.exec(["sleep", "1000"])
    items = cwsandbox.as_completed([shared, hanging], timeout=0.2)
    assert next(items) is shared
    with pytest.raises(TimeoutError, match="1 operations are still running"):
        next(items)
    hanging.cancel()


def test_a_function_reads_its_environment_at_each_call(session, fresh):  # noqa: F811
    environment = {"A": "1", "B": "2"}

    @session.function(fresh=fresh, environment_variables=environment)
    def f():
        import os

        return [os.environ.get(name) for name in ("A", "B", "C")]

    assert f.remote().result() == ["1", "2", None]
    environment.update(A="x", C="3")
    del environment["B"]
    assert f.remote().result() == ["x", None, "3"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_progress_is_shown_where_a_person_looks(shared, monkeypatch, stream):
    from cwsandbox import _batch

    monkeypatch.setattr(sys, "stderr", stream())
    monkeypatch.setattr(_batch._Progress, "FIRST", 0.01)
    monkeypatch.setattr(_batch._Progress, "NEXT", 0.01)
    refs = [shared.exec(["sh", "-c", f"sleep {seconds}"]) for seconds in (0.5, 0)]
    cwsandbox.results(refs)
    written = sys.stderr.getvalue()
    if stream is Terminal:
        assert "\r1 of 2 done" in written and written.rpartition("\r")[2] == ""
    else:
        assert written == ""
