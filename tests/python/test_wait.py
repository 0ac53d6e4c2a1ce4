"""cwsandbox.wait(): what is done, in which order, with limits."""

from __future__ import annotations

import threading
import time

import cwsandbox
import pytest
from cwsandbox import Sandbox, SandboxFailedError, Session


def blocked(sandbox):
    return sandbox.exec(["cat"], stdin=True)


def release(processes):
    for process in processes:
        process.stdin.close()
        process.result()


def test_all_by_default_in_the_order_given(shared):
    refs = [shared.exec(["echo", str(i)]) for i in range(5)]
    done, pending = cwsandbox.wait(refs)
    assert pending == [] and len(done) == 5 and all(a is b for a, b in zip(done, refs))


def test_num_returns(shared):
    waiting = [blocked(shared) for _ in range(2)]
    quick = [shared.exec(["true"]) for _ in range(2)]
    items = [waiting[0], quick[0], waiting[1], quick[1]]
    done, pending = cwsandbox.wait(items, num_returns=2)
    assert done == quick and pending == waiting
    release(waiting)


def test_surplus_goes_to_the_front_of_pending(shared):
    finished = [shared.exec(["true"]) for _ in range(3)]
    for process in finished:
        process.result()
    open_ = blocked(shared)
    done, pending = cwsandbox.wait([open_, *finished], num_returns=1)
    assert done == [finished[0]] and pending == [finished[1], finished[2], open_]
    release([open_])


def test_num_returns_above_the_number_is_all(shared):
    done, pending = cwsandbox.wait([shared.exec(["true"])], num_returns=9)
    assert len(done) == 1 and pending == []


def test_timeout_returns_what_is_done_and_cancels_nothing(shared):
    open_ = blocked(shared)
    quick = shared.exec(["true"])
    quick.result()
    began = time.monotonic()
    done, pending = cwsandbox.wait([open_, quick], timeout=0.1)
    assert 0.05 < time.monotonic() - began < 5
    assert done == [quick] and pending == [open_]
    assert cwsandbox.wait([open_], timeout=0) == ([], [open_])
    release([open_])
    assert open_.result().returncode == 0


def test_failures_count_as_done(shared):
    ref = shared.read_file("/no/such/file")
    done, pending = cwsandbox.wait([ref])
    assert done == [ref] and pending == []
    sandbox = Sandbox(container_image="127.0.0.1:1/no-such-image:1")
    assert cwsandbox.wait([sandbox]) == ([sandbox], [])
    with pytest.raises(SandboxFailedError):
        sandbox.wait()
    sandbox.stop(missing_ok=True).result()


def test_sandboxes_are_started_and_done_at_running():
    with Session() as session:
        sandboxes = [session.sandbox() for _ in range(4)]
        done, pending = cwsandbox.wait(sandboxes)
        assert done == sandboxes and pending == []
        assert {sandbox.status for sandbox in sandboxes} == {"running"}


def test_mixed_items_and_duplicates(shared):
    process = shared.exec(["true"])
    items = [shared, process, process, shared.read_file("/etc/passwd")]
    done, pending = cwsandbox.wait(tuple(items))
    assert done == items and pending == []


def test_terminals_and_composed_handles(shared):
    session = Session()
    session.sandbox().start().result()
    terminal = shared.shell(["true"])
    close = session.close()
    assert cwsandbox.wait([terminal, close]) == ([terminal, close], [])


def test_bad_arguments(shared):
    with pytest.raises(ValueError, match="num_returns must be at least 1"):
        cwsandbox.wait([], num_returns=0)
    assert cwsandbox.wait([]) == ([], [])
    with pytest.raises(TypeError, match="cannot wait for"):
        cwsandbox.wait([3])
    with pytest.raises(ValueError):
        cwsandbox.wait([shared], timeout=float("nan"))


def test_the_gil_is_free_while_waiting(shared):
    open_ = blocked(shared)
    thread = threading.Thread(target=lambda: release([open_]))
    thread.start()
    assert cwsandbox.wait([open_]) == ([open_], [])
    thread.join()


def test_waitable_is_a_union():
    import types

    assert isinstance(cwsandbox.Waitable, types.UnionType)
    assert isinstance(Sandbox(), cwsandbox.Waitable)
