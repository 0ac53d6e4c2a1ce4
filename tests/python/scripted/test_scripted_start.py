"""CreateSandbox is made once, with one request id, whatever happens."""

from __future__ import annotations

import asyncio
import threading
import uuid

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox
from scripted_server import ID, Status, sandbox


def request_ids(server):
    return [call.request.request_id for call in server.of("CreateSandbox")]


def test_making_a_sandbox_asks_nothing_of_the_service(server):
    sb = Sandbox(command="true", tags=["a"])
    assert (sb.sandbox_id, sb.status) == (None, None)
    assert server.calls == []


def test_start_resolves_at_acceptance_and_asks_no_further(server):
    sb = Sandbox(request_timeout_seconds=50)
    assert sb.start().result() is None
    assert (sb.sandbox_id, sb.status) == (ID, "pending")
    assert [call.method for call in server.calls] == ["CreateSandbox"]
    assert 40 < server.calls[0].time_left <= 50.1


@pytest.mark.parametrize("state", ["creating", "running", "failed", "unspecified"])
def test_the_state_after_acceptance_is_pending_whatever_a_foreign_service_says(server, state):
    server.on("CreateSandbox", sandbox(state))
    assert Sandbox.run().status == "pending"


def test_the_request_id_is_a_uuid4_with_hyphens(server):
    Sandbox.run()
    (request_id,) = request_ids(server)
    assert str(uuid.UUID(request_id)) == request_id and uuid.UUID(request_id).version == 4


def test_two_sandboxes_have_two_request_ids(server):
    Sandbox.run(), Sandbox.run()
    assert len(set(request_ids(server))) == 2


def test_a_second_start_reuses_the_request_id_of_the_failed_first(server, consume):
    server.on("CreateSandbox", Status("UNAVAILABLE", "not now"), Status("INTERNAL", "still not"), sandbox("pending"))
    sb = Sandbox()
    with pytest.raises(cw.SandboxUnavailableError):
        consume(sb.start)
    assert (sb.sandbox_id, sb.status) == (None, None)
    with pytest.raises(cw.SandboxError):
        consume(sb.start)
    consume(sb.start)
    assert len(set(request_ids(server))) == 1 and len(request_ids(server)) == 3


def test_a_failed_start_is_not_retried_by_itself(server):
    server.on("CreateSandbox", Status("UNAVAILABLE", "not now", retry=0.01))
    with pytest.raises(cw.SandboxUnavailableError):
        Sandbox.run()
    assert len(server.calls) == 1


def test_many_starts_at_once_make_one_call(server):
    go = threading.Event()
    server.on("CreateSandbox", lambda call: go.wait(20) and sandbox("pending"))
    sb = Sandbox()
    refs = [sb.start() for _ in range(10)]
    server.wait_for("CreateSandbox")
    refs.append(sb.start())
    go.set()
    assert cw.results(refs) == [None] * 11
    assert sb.start().result() is None
    assert len(server.of("CreateSandbox")) == 1


def test_operations_of_an_unstarted_sandbox_start_it_once(server):
    sb = Sandbox()
    process, data = sb.exec(["true"]), sb.read_file("/x")
    assert (process.result().returncode, data.result()) == (0, b"content")
    assert len(server.of("CreateSandbox")) == 1


def test_sandboxes_start_in_parallel(server):
    together = threading.Barrier(3)
    server.on("CreateSandbox", lambda call: together.wait(20) and None or sandbox("pending"))
    cw.results([Sandbox().start() for _ in range(3)])


def test_an_answer_without_an_id_is_an_error(server):
    server.on("CreateSandbox", sandbox("pending", sandbox_id=""))
    with pytest.raises(cw.SandboxError):
        Sandbox.run()


def test_a_start_that_takes_too_long_times_out_and_keeps_its_id(server):
    server.on("CreateSandbox", lambda call: call.hold(), sandbox("pending"))
    sb = Sandbox(request_timeout_seconds=0.3)
    with pytest.raises(cw.SandboxRequestTimeoutError):
        sb.start().result()
    sb.start().result()
    assert len(set(request_ids(server))) == 1


def test_start_after_stop_is_refused(server, consume):
    sb = Sandbox()
    consume(sb.stop)
    for operation in (sb.start, lambda: sb.exec(["true"]), lambda: sb.read_file("/x"), sb.wait_until_complete):
        with pytest.raises(cw.SandboxNotRunningError, match="cancelled before starting|has been stopped"):
            consume(operation)
    with pytest.raises(cw.SandboxNotRunningError):
        sb.get_status()
    assert server.calls == []


def test_a_stop_during_the_start_waits_for_it_and_leaves_nothing_behind(server):
    go = threading.Event()
    server.on("CreateSandbox", lambda call: go.wait(20) and sandbox("pending"))
    sb = Sandbox()
    start = sb.start()
    server.wait_for("CreateSandbox")
    stop = sb.stop()
    go.set()
    stop.result(20)
    start.result(20)
    assert [call.request.sandbox_id for call in server.of("DeleteSandbox")] == [ID]


def test_cancelling_an_awaited_start_cancels_the_handle_only(server):
    go = threading.Event()
    server.on("CreateSandbox", lambda call: go.wait(20) and sandbox("pending"))
    sb = Sandbox()

    async def body():
        task = asyncio.create_task(_await(sb.start()))
        await asyncio.to_thread(server.wait_for, "CreateSandbox")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())
    go.set()
    sb.start().result()
    assert len(set(request_ids(server))) == 1


async def _await(ref):
    return await ref


def test_what_is_sent(server):
    from cwsandbox import ResourceOptions

    sb = Sandbox(
        command="python", args=["-c", "1"], container_image="img", tags=["a", "b"], annotations={"k": "v"},
        environment_variables={"E": "1"}, max_lifetime_seconds=60, runner_ids=["r1"],
        resources=ResourceOptions(requests={"cpu": "500m"}, limits={"memory": "1Gi"}),
        network={"deny_egress": True}, mounted_files=[{"mount_path": "/f", "file_content": b"\x00\xff"}])
    sb.start().result()
    spec = server.calls[0].request.sandbox.spec
    (container,) = spec.containers
    assert (container.image, container.command, list(container.args)) == ("img", "python", ["-c", "1"])
    assert dict(container.environment_variables) == {"E": "1"}
    assert [(f.path, f.content) for f in container.files] == [("/f", b"\x00\xff")]
    assert container.resource_requirements.requests.cpu == "500m"
    assert container.resource_requirements.limits.memory == "1Gi"
    assert (list(spec.tags), dict(spec.annotations), list(spec.runner_ids)) == (["a", "b"], {"k": "v"}, ["r1"])
    assert spec.max_lifetime_seconds == 60 and spec.mode == 2
    assert spec.network.deny_egress is True and not spec.network.HasField("deny_ingress")


def test_run_of_one_word_sends_no_args_of_somebody_else(server):
    Sandbox.run("python")
    container = server.calls[0].request.sandbox.spec.containers[0]
    assert (container.command, list(container.args)) == ("python", [])


def test_run_by_the_handle_of_wait_and_by_await(server):
    async def body():
        sb = Sandbox()
        assert await sb is sb
        return sb

    sb = asyncio.run(body())
    assert sb.status == "running"
    other = Sandbox()
    assert other.wait() is other and other.status == "running"
