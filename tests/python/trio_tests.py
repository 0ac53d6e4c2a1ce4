"""Loops that are not asyncio's: trio through trio-asyncio, anyio on asyncio and uvloop, and trio without any bridge.

Not collected with the others: importing trio-asyncio gives the whole process other event loops. test_trio.py runs this file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import CancelledError

import anyio
import pytest
import trio
import trio_asyncio
from cwsandbox import Sandbox, SandboxExecutionError

as_trio = trio_asyncio.aio_as_trio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_run(request):
    return lambda body: anyio.run(body, backend_options={"use_uvloop": request.param == "uvloop"})


def bridged(body):
    """Run body() in trio with an asyncio loop beside it."""

    async def main():
        async with trio_asyncio.open_loop():
            return await body()

    return trio.run(main)


def test_trio_awaits_handles_sandboxes_and_streams():
    async def body():
        sandbox = await as_trio(Sandbox())
        try:
            assert sandbox.status == "running"
            assert (await as_trio(sandbox.exec(["echo", "trio"]))).stdout == "trio\n"
            process = sandbox.exec(["sh", "-c", "echo first; read line; echo $line"], stdin=True)
            chunks = []
            async for chunk in as_trio(process.stdout):
                chunks.append(chunk)
                if len(chunks) == 1:
                    await as_trio(process.stdin.writeline("second"))
            assert chunks == ["first\n", "second\n"]
            with pytest.raises(SandboxExecutionError, match="exit code 3"):
                await as_trio(sandbox.exec(["sh", "-c", "exit 3"], check=True))
        finally:
            await as_trio(sandbox.stop())

    bridged(body)


LATE = """
import asyncio
from cwsandbox import Sandbox

async def run(sandbox):
    return (await sandbox.exec(["echo", "awaited"])).stdout

with Sandbox.run() as sandbox:
    print(asyncio.run(run(sandbox)), end="")
    import trio, trio_asyncio  # replaces asyncio.get_running_loop()
    print(trio_asyncio.run(trio_asyncio.aio_as_trio(run), sandbox), end="")
    print(asyncio.run(run(sandbox)), end="")
"""


def test_a_bridge_may_be_imported_after_the_first_await():
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=60)
    assert done.stdout == "awaited\n" * 3, done.stderr


FUNCTIONS = """
import trio, trio_asyncio  # replaces the policy that makes event loops
from cwsandbox import Session

with Session() as session:
    @session.function()
    def double(x):
        return 2 * x

    async def chunks():
        yield b"from an "
        yield b"async source"

    async def body():
        await trio_asyncio.aio_as_trio(session.sandbox().write_file_streaming("/tmp/x", chunks()))
        return await trio_asyncio.aio_as_trio(double.remote(2))

    print(double.remote(1).result(20), trio_asyncio.run(body))
    sandbox = session.sandbox()
    sandbox.write_file_streaming("/tmp/x", chunks()).result(20)
    print(sandbox.read_file("/tmp/x").result().decode())
"""


def test_functions_and_async_sources_have_a_loop_of_their_own(tmp_path):
    program = tmp_path / "program.py"  # a function travels as source
    program.write_text(FUNCTIONS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "2 4\nfrom an async source\n", done.stderr


def test_tasks_of_trio_run_commands_side_by_side(shared):
    async def body():
        results = {}

        async def one(i):
            results[i] = (await as_trio(shared.exec(["echo", str(i)]))).stdout

        async with trio.open_nursery() as nursery:
            for i in range(20):
                nursery.start_soon(one, i)
        assert results == {i: f"{i}\n" for i in range(20)}

    bridged(body)


def test_a_cancel_scope_of_trio_cancels_the_command(shared):
    async def body():
        process = shared.exec(["sleep", "600"])
        with trio.move_on_after(0.1) as scope:
            await as_trio(process)
        assert scope.cancelled_caught
        return process

    with pytest.raises(CancelledError):
        bridged(body).result(20)


def test_trio_without_a_bridge_says_so_and_has_its_threads(shared):
    async def body():
        with pytest.raises(RuntimeError, match="no running event loop"):
            await shared.exec(["true"])
        return await trio.to_thread.run_sync(lambda: shared.exec(["echo", "thread"]).result().stdout)

    assert trio.run(body) == "thread\n"


def test_anyio_awaits_handles_in_task_groups(anyio_run):
    async def body():
        results = {}

        async def one(sandbox, i):
            results[i] = (await sandbox.exec(["echo", str(i)])).stdout

        async with Sandbox() as sandbox, anyio.create_task_group() as group:
            for i in range(20):
                group.start_soon(one, sandbox, i)
        assert results == {i: f"{i}\n" for i in range(20)}

    anyio_run(body)


def test_a_cancel_scope_of_anyio_cancels_the_command(shared, anyio_run):
    async def body():
        process = shared.exec(["sleep", "600"])
        with anyio.move_on_after(0.1) as scope:
            await process
        assert scope.cancelled_caught
        return process

    with pytest.raises(CancelledError):
        anyio_run(body).result(20)
