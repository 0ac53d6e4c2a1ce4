"""UNAVAILABLE with a delay: delete, a plain stop and read_file are made again when the service asks for it; nothing else is."""

from __future__ import annotations

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox
from scripted_server import ID, Status, pb, sandbox

GONE = Status("NOT_FOUND", "no such sandbox")


def busy(retry=0.01, code="UNAVAILABLE", **more):
    return Status(code, "busy", retry=retry, **more)


def stopped(server):
    server.deleted = True
    return pb.DeleteSandboxResponse(sandbox=sandbox("terminating"))


CALLS = {
    "delete": ("DeleteSandbox", lambda **kw: Sandbox.delete(ID, **kw)),
    "stop": ("DeleteSandbox", lambda **kw: Sandbox.run().stop(**kw)),
    "read_file": ("ReadFile", lambda **kw: Sandbox.run().read_file("/x", **kw)),
}


def healthy(server, method):
    return (lambda call: stopped(server)) if method == "DeleteSandbox" else pb.ReadFileResponse(content=b"x")


@pytest.fixture(params=CALLS)
def operation(request):
    return CALLS[request.param]


@pytest.mark.parametrize("more", [{}, {"reason": "CWSANDBOX_ANY"}, {"reason": "ANY", "domain": "elsewhere"}])
def test_two_more_calls_at_most(server, operation, more):
    method, make = operation
    server.on(method, busy(**more), busy(**more), healthy(server, method))
    make().result()
    assert len(server.of(method)) == 3
    server.on(method, busy(**more))
    with pytest.raises(cw.SandboxUnavailableError, match="busy"):
        make().result()
    assert len(server.of(method)) == 6


@pytest.mark.parametrize("status", [
    Status("UNAVAILABLE", "busy"), busy(10.5), busy(code="ABORTED"), busy(code="INTERNAL"),
    busy(code="INTERNAL", reason="CWSANDBOX_BACKEND_UNAVAILABLE"),
])  # fmt: skip
def test_other_failures_are_raised_at_once(server, operation, status):
    method, make = operation
    server.on(method, status)
    with pytest.raises(cw.CWSandboxError):
        make().result()
    assert len(server.of(method)) == 1


def test_the_delay_is_never_shorter_than_asked_and_0_is_at_once(server, operation):
    method, make = operation
    server.on(method, busy(0.5), healthy(server, method))
    make().result()
    assert server.gaps(method)[0] >= 0.49
    server.on(method, busy(0), busy(0), healthy(server, method))
    make().result()
    assert len(server.of(method)) == 5


@pytest.mark.parametrize("make, method", [
    (lambda: Sandbox.delete(ID, timeout_seconds=5.5), "DeleteSandbox"),
    (lambda: Sandbox.run().read_file("/x", timeout_seconds=5.5), "ReadFile"),
])  # fmt: skip
def test_the_next_call_must_have_5_s(server, make, method):
    server.on(method, busy(0.6), healthy(server, method))
    with pytest.raises(cw.SandboxUnavailableError):
        make().result()
    assert len(server.of(method)) == 1


def test_all_calls_share_the_time_limit(server):
    server.on("ReadFile", busy(1), healthy(server, "ReadFile"))
    Sandbox.run().read_file("/x", timeout_seconds=30).result()
    first, second = [call.time_left for call in server.of("ReadFile")]
    assert 28 < first <= 30.1 and second <= first - 0.9
    server.on("DeleteSandbox", busy(1), lambda call: stopped(server))
    Sandbox.run().stop(graceful_shutdown_seconds=10).result()
    first, second = [call.time_left for call in server.of("DeleteSandbox")]
    assert 18 < first <= 20.1 and second <= first - 0.9


def test_not_found_of_a_repeated_delete_is_success(server):
    server.on("DeleteSandbox", busy(), GONE)
    assert Sandbox.delete(ID).result() is None
    server.on("DeleteSandbox", GONE)
    with pytest.raises(cw.SandboxNotFoundError):
        Sandbox.delete(ID).result()


def test_not_found_of_a_repeated_stop_is_stopped(server):
    server.on("DeleteSandbox", busy(), GONE)
    box = Sandbox.run()
    assert box.stop().result() is None and box.status == "terminated"


def test_a_stop_with_a_snapshot_is_made_once(server):
    server.on("DeleteSandbox", busy())
    with pytest.raises(cw.SandboxUnavailableError):
        Sandbox.run(file_system_snapshot={"mount_path": "/w"}).stop(snapshot_on_stop=True).result()
    assert len(server.of("DeleteSandbox")) == 1


def test_the_rest_is_not_made_again(server):
    for method, make in (
        ("GetSandbox", lambda: Sandbox.from_id(ID)), ("ListSandboxes", lambda: Sandbox.list()),
        ("WriteFile", lambda: Sandbox.run().write_file("/x", b"")), ("CreateSandbox", lambda: Sandbox().start()),
    ):  # fmt: skip
        server.on(method, busy())
        before = len(server.of(method))
        with pytest.raises(cw.SandboxUnavailableError):
            make().result(timeout=20)
        assert len(server.of(method)) == before + 1
        server.on("GetSandbox", sandbox("running"))


def test_a_cancelled_delete_is_not_made_again(server):
    server.on("DeleteSandbox", busy(0.3))
    ref = Sandbox.delete(ID)
    server.wait_for("DeleteSandbox")
    cw._core.cancel(ref)
    Sandbox.list().result()
    assert len(server.of("DeleteSandbox")) == 1
