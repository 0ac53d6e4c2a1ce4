"""Session: common defaults, registry, adopting, closing, clean-up at exit."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import uuid

import pytest
from cwsandbox import Sandbox, SandboxDefaults, SandboxError, SandboxNotFoundError, SandboxNotRunningError, Session


def test_sandboxes_start_late_and_stop_together():
    with Session() as session:
        sandboxes = [session.sandbox() for _ in range(3)]
        assert session.sandbox_count == 3
        assert repr(session) == "<Session sandboxes=3 status=open>"
        assert all(sandbox.status is None for sandbox in sandboxes)
        processes = [sandbox.exec(["echo", str(i)]) for i, sandbox in enumerate(sandboxes)]
        assert [p.result().stdout for p in processes] == ["0\n", "1\n", "2\n"]
    assert {sandbox.status for sandbox in sandboxes} == {"terminated"}
    assert repr(session) == "<Session sandboxes=0 status=closed>"


def test_unstarted_sandboxes_of_a_closed_session_cannot_start():
    with Session() as session:
        sandbox = session.sandbox()
    with pytest.raises(SandboxNotRunningError):
        sandbox.exec(["true"]).result()
    assert sandbox.sandbox_id is None


def test_closed_session_refuses():
    session = Session()
    sandbox = session.sandbox()
    assert session.close().result() is None
    assert session.close().result() is None
    with pytest.raises(SandboxError, match="session is closed"):
        session.sandbox()
    with pytest.raises(SandboxError, match="session is closed"):
        session.adopt(sandbox)


def test_async_with():
    async def body():
        async with Session(SandboxDefaults(tags=("s",))) as session:
            sandbox = session.sandbox(tags=["t"])
            assert (await sandbox.exec(["echo", "x"])).stdout == "x\n"
            assert sandbox.sandbox_id in [s.sandbox_id for s in await session.list(tags=["t"])]
        assert sandbox.status == "terminated"

    asyncio.run(body())


def test_defaults_apply_and_explicit_values_win():
    defaults = {"environment_variables": {"A": "1", "B": "1"}, "request_timeout_seconds": 60}
    with Session(defaults) as session:
        sandbox = session.sandbox(environment_variables={"B": "2"})
        assert sandbox.exec(["sh", "-c", "echo $A$B"]).result().stdout == "12\n"
    with pytest.raises(TypeError, match="defaults must be"):
        Session(3)


def test_list_and_from_id_adopt(consume):
    tag = f"adopt-{uuid.uuid4()}"
    one, two = Sandbox.run(tags=[tag]), Sandbox.run(tags=[tag])
    session = Session(SandboxDefaults(tags=(tag,)))
    listed = consume(session.list)
    assert {s.sandbox_id for s in listed} == {one.sandbox_id, two.sandbox_id}
    assert session.sandbox_count == 0
    found = consume(lambda: session.from_id(one.sandbox_id))
    assert session.sandbox_count == 1
    again = consume(lambda: session.from_id(two.sandbox_id, adopt=False))
    assert session.sandbox_count == 1
    session.adopt(again)
    session.adopt(again)
    assert session.sandbox_count == 2
    session.close().result()
    assert found.status == again.status == "terminated"
    for sandbox in (one, two):
        sandbox.wait_until_complete(raise_on_termination=False).result()


def test_list_adopting_all():
    tag = f"all-{uuid.uuid4()}"
    sandboxes = [Sandbox.run(tags=[tag]) for _ in range(3)]
    with Session({"tags": [tag]}) as session:
        assert len(session.list(adopt=True).result()) == 3
        assert session.sandbox_count == 3
    for sandbox in sandboxes:
        sandbox.wait_until_complete(raise_on_termination=False).result()


def test_adopt_needs_an_id():
    with Session() as session, pytest.raises(ValueError, match="without sandbox_id"):
        session.adopt(Sandbox())


def test_from_id_of_nothing(consume):
    with Session() as session, pytest.raises(SandboxNotFoundError):
        consume(lambda: session.from_id("sandbox-abc123"))


def test_stopped_sandboxes_leave_the_registry():
    with Session() as session:
        one, two = session.sandbox(), session.sandbox()
        one.start().result()
        one.stop(graceful_shutdown_seconds=0).result()
        assert session.sandbox_count == 1
        with two:
            pass
        assert session.sandbox_count == 0


def test_close_stops_all_and_reports_the_failures(consume):
    session = Session()
    sandboxes = [session.sandbox() for _ in range(3)]
    for sandbox in sandboxes:
        sandbox.start().result()
    # Forgotten by the service, as far as this object can see: another service
    stranger = Session({"base_url": "http://127.0.0.1:9"}).sandbox()
    session._register(stranger)
    ref = stranger.start()
    with pytest.raises(SandboxError):
        ref.result()
    from cwsandbox import _core

    stranger.stop = lambda: _core.failed(SandboxNotFoundError("gone"))
    close = session.close()
    with pytest.raises(SandboxError, match="Failed to stop 1 sandbox") as info:
        consume(lambda: close)
    assert isinstance(info.value.__cause__, ExceptionGroup)
    assert isinstance(info.value.__cause__.exceptions[0], SandboxNotFoundError)
    assert {sandbox.status for sandbox in sandboxes} == {"terminated"}


def test_unknown_arguments_are_type_errors():
    with Session() as session:
        for name in ("base_url", "max_lifetime_seconds", "poll_rpc_timeout_seconds", "profile_ids", "nonsense"):
            with pytest.raises(TypeError, match="unexpected keyword argument"):
                session.sandbox(**{name: None})


def test_every_option_of_a_sandbox_is_one_of_the_session():
    with Session() as session:
        assert session.sandbox(volumes=[], services=[], secrets=[]).sandbox_id is None
        with pytest.raises(ValueError, match="1-65535"):
            session.sandbox(services=[{"port": 0}])


def test_dropped_session_does_not_leak_its_object():
    import weakref

    session = Session()
    gone = weakref.ref(session)
    del session
    gc.collect()
    assert gone() is None


# ---- clean-up when the program ends


def run_program(source: str, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *args],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_open_sessions_are_closed_at_exit():
    done = run_program("""
        from cwsandbox import Sandbox, Session
        session = Session()
        inside = session.sandbox()
        inside.start().result()
        outside = Sandbox.run()
        print(inside.sandbox_id, outside.sandbox_id)
    """)
    assert done.returncode == 0, done.stderr
    inside, outside = done.stdout.split()
    alive = {s.sandbox_id: s for s in Sandbox.list().result()}
    assert inside not in alive
    assert outside in alive  # a sandbox of its own is the program's business
    alive[outside].stop(graceful_shutdown_seconds=0).result()


def test_an_exception_at_top_level_still_cleans_up():
    done = run_program("""
        from cwsandbox import Session
        session = Session()
        sandbox = session.sandbox()
        sandbox.start().result()
        print(sandbox.sandbox_id, flush=True)
        raise RuntimeError("program error")
    """)
    assert done.returncode == 1 and "program error" in done.stderr
    assert done.stdout.strip() not in [s.sandbox_id for s in Sandbox.list().result()]
