"""A start that is cancelled, and that nobody else waits for, leaves no sandbox behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import signal
import threading

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox, _core
from scripted_server import ID, sandbox

pytestmark = pytest.mark.filterwarnings("ignore:sandbox .* was not stopped:ResourceWarning")


@pytest.fixture
def go(server):
    """Create is answered once this is set."""
    go = threading.Event()
    server.on("CreateSandbox", lambda call: go.wait(20) and sandbox("pending"))
    server.on("GetSandbox", sandbox("terminated"))
    return go


def assert_stopped(server):
    assert server.wait_for("DeleteSandbox").request.sandbox_id == ID
    _core.settle(60)  # while there is somebody to ask whether it has ended


async def cancel(server, awaitable):
    """A task that waits for it, cancelled while the service makes the sandbox."""

    async def body():
        await awaitable

    task = asyncio.create_task(body())
    await asyncio.to_thread(server.wait_for, "CreateSandbox")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("awaited", [Sandbox.start, lambda sb: sb], ids=["start", "sandbox"])
def test_a_cancelled_task_stops_what_its_start_made(server, go, awaited):
    sb = Sandbox()
    asyncio.run(cancel(server, awaited(sb)))
    go.set()
    assert_stopped(server)


def test_one_of_two_that_wait_is_cancelled_and_the_sandbox_stays(server, go):
    sb = Sandbox()
    server.on("GetSandbox", sandbox("running"))

    async def body():
        other = sb.start()
        await cancel(server, sb.start())
        go.set()
        await other

    asyncio.run(body())
    assert sb.exec(["true"]).result().returncode == 0
    assert not server.of("DeleteSandbox")


def test_a_start_that_is_done_when_the_task_is_cancelled_is_undone(server):
    sb = Sandbox()

    async def body():
        ref = sb.start()

        async def waits():
            await ref

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        cw.wait([ref])  # the loop stands still, so the task has not heard of it
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
    assert_stopped(server)


def test_a_closed_loop_undoes_the_start_that_it_waited_for(server, go):
    async def waits():
        await Sandbox().start()

    loop = asyncio.new_event_loop()
    task = loop.create_task(waits())
    loop.run_until_complete(asyncio.sleep(0))
    server.wait_for("CreateSandbox")
    loop.close()
    task._log_destroy_pending = False
    del task, loop
    _core.settle(0)  # as at the end of the program, without its patience
    go.set()
    assert_stopped(server)


def test_an_interrupted_result_undoes_the_start(server, go):
    def interrupt():
        server.wait_for("CreateSandbox")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        Sandbox().start().result()
    thread.join()
    go.set()
    assert_stopped(server)


async def wait_for_nothing(awaitable):
    try:
        await asyncio.wait_for(awaitable, 0)
    except TimeoutError:
        pass


async def gather_without_a_turn(awaitable):
    both = asyncio.gather(awaitable, asyncio.sleep(0))
    both.cancel()
    try:
        await both
    except asyncio.CancelledError:
        pass


@pytest.mark.parametrize("wait", [wait_for_nothing, gather_without_a_turn])
def test_a_start_whose_await_never_began_is_undone(server, go, wait):
    async def body():
        await wait(Sandbox().start())

    asyncio.run(body())
    gc.collect()
    go.set()
    assert_stopped(server)


def test_a_sandbox_whose_wait_was_cancelled_goes_with_the_last_reference(server):
    server.on("GetSandbox", sandbox("pending"))

    async def body():
        task = asyncio.ensure_future(Sandbox())
        await asyncio.to_thread(server.wait_for, "GetSandbox")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
    server.on("GetSandbox", sandbox("terminated"))
    gc.collect()
    assert_stopped(server)


def test_who_holds_the_sandbox_can_use_it_after_an_await_that_never_began(server):
    server.on("GetSandbox", sandbox("running"))

    async def body():
        sb = Sandbox()
        await wait_for_nothing(sb.start())
        gc.collect()
        await sb

    asyncio.run(body())
    gc.collect()
    _core.settle(60)
    assert not server.of("DeleteSandbox")


def test_a_start_that_nobody_waits_for_goes_on(server):
    async def body():
        Sandbox().start()
        await asyncio.sleep(0)

    asyncio.run(body())
    gc.collect()
    server.wait_for("CreateSandbox")
    Sandbox().start().result()  # behind it on the client's thread
    _core.settle(60)
    assert not server.of("DeleteSandbox")


def test_a_wait_that_runs_out_of_time_undoes_nothing(server, go):
    sb = Sandbox()
    start, other = sb.start(), cw.OperationRef(concurrent.futures.Future())
    assert cw.wait([start, other], timeout=0.01) == ([], [start, other])
    go.set()
    assert start.result() is None
    assert not server.of("DeleteSandbox")
