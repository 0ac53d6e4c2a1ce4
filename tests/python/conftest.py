"""Fixtures: one embedded service for the whole test session, in a runtime directory of its own, and nothing left behind.

The environment is set before cwsandbox is imported, so that every test, thread and child process uses that service. At the end
the service is told to stop and the session fails if one of its processes is still there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal

import pytest
from embedded import RUNTIME_DIR, family, process_table, service_pid, wait_for_end


def pytest_unconfigure() -> None:
    """Also when tests were only collected: importing embedded made the directory."""
    if "CWS_TEST_RUNTIME_DIR" not in os.environ:
        shutil.rmtree(RUNTIME_DIR, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def embedded_service():
    from cwsandbox import Sandbox

    Sandbox.list().result()  # starts it
    yield
    running = [sandbox.sandbox_id for sandbox in Sandbox.list().result()]
    pid = service_pid()
    ours = family(pid)
    os.kill(pid, signal.SIGTERM)
    stopped = wait_for_end(pid, 20)
    left = {(child, start) for child, start in ours if process_table().get(child, (0, ""))[1] == start}
    for child, _ in left:
        os.kill(child, signal.SIGKILL)
    shutil.rmtree(RUNTIME_DIR, ignore_errors=True)
    assert stopped, "the service did not stop on SIGTERM"
    assert not left, f"processes of the service that outlived it: {left}"
    assert not running, f"sandboxes that tests left running: {running}"


@pytest.fixture(scope="module")
def shared(embedded_service):
    """A running sandbox that the tests of a module share; they must not stop it."""
    from cwsandbox import Sandbox

    with Sandbox.run() as sandbox:
        yield sandbox.wait()


@pytest.fixture
def sb(embedded_service):
    """A sandbox of one's own."""
    from cwsandbox import Sandbox

    with Sandbox.run() as sandbox:
        yield sandbox


def loop_factories() -> list:
    factories = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        factories.append(pytest.param(None, id="uvloop", marks=pytest.mark.skip(reason="uvloop is not installed")))
    else:
        factories.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
    return factories


@pytest.fixture(params=loop_factories())
def run(request):
    """run(coroutine): on asyncio's loop and on uvloop's."""

    def runner(coroutine):
        with asyncio.Runner(loop_factory=request.param) as r:
            return r.run(coroutine)

    return runner


@pytest.fixture(params=["result", "await"])
def consume(request):
    """consume(lambda: ref): the value of a handle, by result() and by await."""

    def by_result(make):
        return make().result()

    def by_await(make):
        async def body():
            return await make()

        return asyncio.run(body())

    return by_result if request.param == "result" else by_await
