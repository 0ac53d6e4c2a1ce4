"""OperationRef: result(), await, time-outs, caching, cancelling, lifetime."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref

import cwsandbox
import pytest
from cwsandbox import OperationRef, Process, Sandbox, SandboxFileError, SandboxTimeoutError, results


def test_result_is_the_same_object_each_time(shared):
    shared.write_file("/tmp/same", b"x" * 100).result()
    ref = shared.read_file("/tmp/same")
    assert ref.result() is ref.result()


def test_await_gives_the_object_that_result_gave(shared):
    shared.write_file("/tmp/same2", b"abc").result()
    ref = shared.read_file("/tmp/same2")
    value = ref.result()

    async def body():
        return await ref, await ref

    first, second = asyncio.run(body())
    assert first is value and second is value


def test_exception_is_the_same_instance_each_time(shared):
    ref = shared.read_file("/does/not/exist")
    caught = []
    for _ in range(3):
        with pytest.raises(SandboxFileError) as info:
            ref.result()
        caught.append(info.value)

    async def body():
        await ref

    with pytest.raises(SandboxFileError) as info:
        asyncio.run(body())
    assert all(exc is info.value for exc in caught)


def test_raising_again_does_not_grow_the_traceback(shared):
    ref = shared.read_file("/does/not/exist")

    def depth():
        try:
            ref.result()
        except SandboxFileError as exc:
            n, tb = 0, exc.__traceback__
            while tb:
                n, tb = n + 1, tb.tb_next
            return n

    assert [depth() for _ in range(5)] == [1] * 5


def test_timeout_is_the_builtin_one_and_does_not_cancel(shared):
    process = shared.exec(["sh", "-c", "read x; echo $x"], stdin=True)
    with pytest.raises(TimeoutError) as info:
        process.result(timeout=0.01)
    assert type(info.value) is TimeoutError is concurrent.futures.TimeoutError
    assert not isinstance(info.value, SandboxTimeoutError)
    process.stdin.writeline("still here").result()
    assert process.result(timeout=10).stdout == "still here\n"


def test_timeout_zero_polls(shared):
    process = shared.exec(["cat"], stdin=True)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        process.result(0)
    assert time.monotonic() - began < 0.5
    process.stdin.close()
    process.result()
    assert process.result(0).returncode == 0


@pytest.mark.parametrize("passed", [-0.001, -1, float("-inf")])
def test_a_deadline_that_has_passed_is_no_patience(shared, passed):
    process, sandbox = shared.exec(["cat"], stdin=True), Sandbox()
    for wait in (process.result, process.wait):
        with pytest.raises(TimeoutError):
            wait(passed)
    assert cwsandbox.wait([process], timeout=passed) == ([], [process])
    with sandbox, pytest.raises(SandboxTimeoutError):
        sandbox.wait_until_complete(passed).result()
    process.stdin.close()
    process.result()
    assert process.wait(passed) == 0
    assert cwsandbox.wait([process], timeout=passed) == ([process], [])


@pytest.mark.parametrize("bad", [float("nan"), "soon"])
def test_timeout_must_be_a_time(shared, bad):
    process = shared.exec(["cat"], stdin=True)
    with pytest.raises((ValueError, TypeError)):
        process.result(timeout=bad)
    process.cancel()


def test_timeout_longer_than_any_clock_is_forever(shared):
    assert shared.exec(["true"]).result(timeout=float("inf")).returncode == 0
    assert shared.exec(["true"]).result(timeout=1e300).returncode == 0


def test_cancelled_result_raises_the_futures_error_and_await_asyncios(shared):
    process = shared.exec(["sleep", "1000"])
    assert process.cancel() is True
    assert process.cancel() is False
    caught = []
    for _ in range(2):
        with pytest.raises(concurrent.futures.CancelledError) as info:
            process.result()
        caught.append(info.value)
    assert caught[0] is caught[1]

    async def body():
        with pytest.raises(asyncio.CancelledError):
            await process

    asyncio.run(body())
    assert process.poll() is None


def test_operations_start_when_they_are_called(shared):
    ref = shared.write_file("/tmp/eager", b"1")
    del ref
    # No one waits for the write; the read must see it in the end, because it began.
    while True:
        try:
            assert shared.read_file("/tmp/eager").result() == b"1"
            break
        except SandboxFileError:
            continue


def test_dropping_a_failed_handle_is_silent(shared, recwarn):
    gc.collect()  # sandboxes that tests of other modules dropped
    recwarn.clear()
    refs = [shared.read_file("/does/not/exist") for _ in range(5)]
    concurrent.futures.ThreadPoolExecutor(1).submit(lambda: None).result()
    del refs
    gc.collect()
    assert not list(recwarn)


def test_handles_are_weakly_referenceable_and_freed(shared):
    process = shared.exec(["true"])
    process.result()
    stdout = process.stdout
    alive = [weakref.ref(process), weakref.ref(stdout), weakref.ref(shared)]
    del process, stdout
    gc.collect()
    assert [ref() is None for ref in alive] == [True, True, False]


def test_handles_in_reference_cycles_are_collected(shared):
    class Holder:
        pass

    holder = Holder()
    holder.ref = shared.exec(["true"])
    holder.ref.result().command.append(holder)  # the value points back at its holder
    holder.self = holder
    gone = weakref.ref(holder)
    del holder
    gc.collect()
    assert gone() is None


def test_generic_and_subclasses(shared):
    assert OperationRef[bytes].__origin__ is OperationRef
    process = shared.exec(["true"])
    assert isinstance(process, OperationRef) and isinstance(process, Process)
    assert "pending" in repr(process) or "done" in repr(process)

    class Mine(OperationRef):
        extra = 1

    future = concurrent.futures.Future()
    mine = Mine(future)
    mine.attribute = 2
    future.set_result(7)
    assert mine.result() == 7
    process.result()


def test_a_ref_can_be_made_from_a_future():
    future = concurrent.futures.Future()
    ref = OperationRef(future)
    with pytest.raises(TimeoutError):
        ref.result(timeout=0.001)

    async def body():
        task = asyncio.ensure_future(ref)
        threading.Thread(target=future.set_result, args=(42,)).start()
        return await task

    assert asyncio.run(body()) == 42
    assert ref.result() == 42 and results([ref, ref]) == [42, 42]
    with pytest.raises(TypeError):
        OperationRef(3)
    with pytest.raises(TypeError):
        OperationRef()


def test_results_takes_one_or_many(shared):
    assert results(shared.exec(["echo", "1"])).stdout == "1\n"
    assert [r.stdout for r in results([shared.exec(["echo", str(i)]) for i in range(4)])] == ["0\n", "1\n", "2\n", "3\n"]
    assert results([]) == []
    assert [r.stdout for r in results(shared.exec(["echo", str(i)]) for i in range(2))] == ["0\n", "1\n"]
    with pytest.raises(SandboxFileError):
        results([shared.read_file("/nope"), shared.exec(["true"])])
    with pytest.raises(TypeError):
        results(refs=[])


def test_unexpected_arguments_are_type_errors(shared):
    ref = shared.exec(["true"])
    for call in (lambda: ref.result(1, 2), lambda: ref.result(seconds=1), lambda: ref.result(1, timeout=1)):
        with pytest.raises(TypeError):
            call()
    ref.result()
