"""await and async iteration on asyncio and uvloop: promptness, several loops, cancelling, no leaks."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time

import pytest
from cwsandbox import Sandbox, SandboxFileError, SandboxNotRunningError, _core


def test_the_next_item_may_be_awaited_by_a_task(shared, run):
    async def body():
        process = shared.exec(["sh", "-c", "echo out; echo err >&2"])
        tasks = [asyncio.create_task(anext(stream)) for stream in (process.stdout, process.stderr)]
        return await asyncio.gather(*tasks)

    assert run(body()) == ["out\n", "err\n"]


def test_await_before_and_after_completion(shared, run):
    async def body():
        process = shared.exec(["echo", "hi"])
        first = await process
        again = await process
        assert first is again and first.stdout == "hi\n"
        assert process.result() is first

    run(body())


def test_errors_are_the_same_by_both_paths(shared, run):
    async def body():
        ref = shared.read_file("/does/not/exist")
        with pytest.raises(SandboxFileError) as awaited:
            await ref
        with pytest.raises(SandboxFileError) as blocked:
            ref.result()
        assert awaited.value is blocked.value

    run(body())


def test_gather_runs_in_parallel(shared, run):
    async def body():
        results = await asyncio.gather(*(shared.exec(["sh", "-c", f"echo {i}"]) for i in range(50)))
        assert [r.stdout for r in results] == [f"{i}\n" for i in range(50)]

    run(body())


def test_other_tasks_go_on_while_one_awaits(shared, run):
    async def body():
        process = shared.exec(["cat"], stdin=True)
        turns = 0

        async def counter():
            nonlocal turns
            for _ in range(50):
                turns += 1
                await asyncio.sleep(0)
            await process.stdin.close()

        task = asyncio.ensure_future(counter())
        await process
        assert turns == 50
        await task

    run(body())


def test_wake_up_is_prompt_without_another_event(shared, run):
    """The loop has nothing else to do: only the completion itself can wake it."""

    async def body():
        process = shared.exec(["cat"], stdin=True)
        done_at = 0.0
        process.stdin.write(b"x")

        def finish():
            nonlocal done_at
            process.stdin.close().result()
            process.result()
            done_at = time.perf_counter()

        thread = threading.Thread(target=finish)
        thread.start()
        await process
        woken_at = time.perf_counter()
        thread.join()
        assert abs(woken_at - done_at) < 0.25

    run(body())


def test_async_iteration_is_prompt(shared, run):
    async def body():
        process = shared.exec(["sh", "-c", "echo a; read x; echo b; read x; echo c"], stdin=True)
        seen = []
        async for chunk in process.stdout:
            seen.append(chunk)
            if len(seen) < 3:  # the next line comes only if this one was seen
                await process.stdin.writeline("")
        assert "".join(seen) == "a\nb\nc\n"
        assert (await process).returncode == 0
        with pytest.raises(StopAsyncIteration):
            await anext(process.stdout)

    run(asyncio.wait_for(body(), 20))


def test_async_iteration_from_several_tasks(shared, run):
    async def body():
        process = shared.exec(["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; done"])
        parts = await asyncio.gather(*(collect(process.stdout) for _ in range(3)))
        assert sum(map(len, parts)) == len((await process).stdout)

    async def collect(reader):
        return "".join([chunk async for chunk in reader])

    run(asyncio.wait_for(body(), 20))


def test_file_and_log_streams(shared, run):
    async def body():
        await shared.write_file("/tmp/async-file", b"z" * 300_000)
        data = b"".join([chunk async for chunk in shared.read_file_streaming("/tmp/async-file")])
        assert data == b"z" * 300_000
        with pytest.raises(SandboxFileError):
            async for _ in shared.read_file_streaming("/does/not/exist"):
                pass
        with pytest.raises(ValueError):
            async for _ in shared.stream_logs(since_time=__import__("datetime").datetime(2024, 1, 1)):
                pass

    run(body())


# ---- cancelling


def test_cancelling_the_task_cancels_the_operation(shared, run):
    async def body():
        process = shared.exec(["sleep", "1000"])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process, 0.05)
        with pytest.raises(asyncio.CancelledError):
            await process
        assert process.cancel() is False

    run(body())


def test_shield_protects_the_operation(shared, run):
    async def awaits(ref):
        return await ref

    async def body():
        process = shared.exec(["sh", "-c", "read x; echo $x"], stdin=True)
        inner = asyncio.ensure_future(awaits(process))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 0.05)
        await process.stdin.writeline("alive")
        assert (await inner).stdout == "alive\n"

    run(body())


def test_cancelled_iteration_loses_nothing(shared, run):
    async def body():
        process = shared.exec(["sh", "-c", "read x; echo $x"], stdin=True)
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(process.stdout), 0.002)
        await process.stdin.writeline("whole")
        assert "".join([chunk async for chunk in process.stdout]) == "whole\n"
        assert (await process).stdout == "whole\n"

    run(body())


def test_close_ends_an_async_iteration_that_waits(shared, run):
    async def body():
        process = shared.exec(["cat"], stdin=True)
        reader = process.stdout

        async def collect():
            return [chunk async for chunk in reader]

        task = asyncio.ensure_future(collect())
        await asyncio.sleep(0)
        reader.close()
        assert await asyncio.wait_for(task, 10) == []
        process.cancel()

    run(body())


# ---- several loops


def test_one_handle_awaited_on_several_loops_at_once(shared, run):
    process = shared.exec(["cat"], stdin=True)
    waiting = threading.Barrier(5)
    seen = []

    async def body():
        async def signal():
            waiting.wait()

        result, _ = await asyncio.gather(process, asyncio.to_thread(waiting.wait))
        seen.append(result)

    threads = [threading.Thread(target=lambda: asyncio.run(body())) for _ in range(4)]
    for thread in threads:
        thread.start()
    waiting.wait()
    process.stdin.close().result()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(seen) == 4 and all(result is seen[0] for result in seen)


def test_loops_come_and_go_without_leaking(shared, run):
    async def body():
        await shared.exec(["true"])
        reader = shared.exec(["cat"], stdin=True)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(reader.stdout), 0.001)  # leaves an entry behind
        reader.cancel()

    def fds():
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    async def plain():
        await shared.exec(["true"])

    asyncio.run(plain())
    before = fds()
    for _ in range(20):
        asyncio.run(body())
    assert fds() <= before + 2


def test_loop_that_was_closed_with_operations_pending(shared, run):
    async def body():
        process = shared.exec(["cat"], stdin=True)

        async def awaits():
            await process

        task = asyncio.ensure_future(awaits())
        await asyncio.sleep(0)
        return process, task

    process, task = run(body())  # the runner cancels the task: and with it the operation
    assert task.cancelled()
    with pytest.raises(BaseException):
        process.result(timeout=10)
    del process, task
    gc.collect()


def test_loop_abandoned_while_pending_does_not_cancel_the_operation(shared):
    process = shared.exec(["cat"], stdin=True)
    loop = asyncio.new_event_loop()

    async def awaits():
        await process

    task = loop.create_task(awaits())
    loop.run_until_complete(_one_turn())
    loop.close()
    task._log_destroy_pending = False
    del task
    gc.collect()
    process.stdin.close().result()
    assert process.result().returncode == 0


async def _one_turn():
    await asyncio.sleep(0)


def test_await_needs_a_running_loop(shared):
    process = shared.exec(["cat"], stdin=True)
    with pytest.raises(RuntimeError, match="no running event loop"):
        process.__await__().send(None)
    process.cancel()


def test_awaiter_protocol(shared):
    process = shared.exec(["true"])
    process.result()
    awaiter = process.__await__()
    with pytest.raises(StopIteration) as info:
        awaiter.send(None)
    assert info.value.value is process.result()
    with pytest.raises(RuntimeError):
        awaiter.send(None)
    other = process.__await__()
    other.close()
    with pytest.raises(RuntimeError):
        next(other)
    with pytest.raises(KeyError):
        process.__await__().throw(KeyError("x"))


# ---- sandboxes


def test_await_sandbox_resolves_to_itself_at_running(run):
    async def body():
        sandbox = Sandbox()
        assert await sandbox is sandbox
        assert sandbox.status == "running"
        assert (await sandbox.exec(["echo", "x"])).stdout == "x\n"
        await sandbox.stop()
        with pytest.raises(SandboxNotRunningError):
            await sandbox.exec(["true"])

    run(body())


def test_async_with_is_running_inside_and_stopped_after(run):
    async def body():
        async with Sandbox() as sandbox:
            assert sandbox.status == "running"
        assert sandbox.status == "terminated"
        with pytest.raises(KeyError):
            async with Sandbox() as sandbox:
                raise KeyError("body")
        assert sandbox.status == "terminated"

    run(body())


def test_waiting_for_many_sandboxes(run):
    async def body():
        sandboxes = [Sandbox() for _ in range(5)]
        await asyncio.gather(*sandboxes)
        assert {sandbox.status for sandbox in sandboxes} == {"running"}
        await asyncio.gather(*(sandbox.stop() for sandbox in sandboxes))

    run(body())


def test_composed_handles_can_be_awaited(run):
    async def body():
        session = Sandbox.session()
        sandboxes = [session.sandbox() for _ in range(3)]
        await asyncio.gather(*(sandbox.start() for sandbox in sandboxes))
        ref = session.close()
        assert await ref is None and await ref is None
        assert {sandbox.status for sandbox in sandboxes} == {"terminated"}
        assert _core.is_done(ref)

    run(body())


def test_a_cancelled_waiter_does_not_disturb_the_others(run):
    async def body():
        sandbox = Sandbox(command="sh", args=["-c", "sleep 0.3; exit 4"])
        others = [asyncio.ensure_future(resolve(sandbox.wait_until_complete())) for _ in range(3)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.wait_until_complete(), 0.05)
        assert [s.returncode for s in await asyncio.gather(*others)] == [4, 4, 4]

    async def resolve(ref):
        return await ref

    run(body())


def test_a_cancelled_stop_still_stops(run):
    async def body():
        script = "trap 'sleep 0.2; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
        sandbox = Sandbox(command="sh", args=["-c", script])
        async for line in sandbox.stream_logs(follow=True):
            assert line == "ready\n"  # the trap is set
            break
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sandbox.stop(), 0.02)
        await sandbox.stop()
        assert sandbox.status in ("completed", "terminated")

    run(body())


def test_cancelling_the_entry_of_async_with_leaves_no_sandbox(run):
    async def body():
        sandbox = Sandbox(tags=["entry"])

        async def enter():
            async with sandbox:
                raise AssertionError("not reached")

        task = asyncio.ensure_future(enter())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await sandbox.stop(missing_ok=True)
        assert await Sandbox.list(tags=["entry"]) == []

    run(body())


def test_tasks_take_handles_as_documented(shared, run):
    """docs/guides/sync-or-async.md: gather() takes handles; wait(), tasks and groups of tasks ensure_future() of one."""

    async def code_of(ref):
        return (await ref).returncode

    async def body():
        refs = [shared.exec(["sh", "-c", f"exit {n}"]) for n in range(4)]
        codes = [result.returncode for result in await asyncio.gather(*refs[:2])]
        done, pending = await asyncio.wait([asyncio.ensure_future(refs[2])])
        assert not pending
        codes += [future.result().returncode for future in done]
        if hasattr(asyncio, "TaskGroup"):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(code_of(refs[3]))
            return [*codes, task.result()]
        return [*codes, await asyncio.create_task(code_of(refs[3]))]

    assert run(body()) == [0, 1, 2, 3]
