"""Stop, delete, list, from_id, context managers."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import warnings

import cwsandbox as cw
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from cwsandbox import Sandbox
from scripted_server import ID, Status, eventually, sandbox

GONE = [Status("NOT_FOUND", "gone"), Status("INTERNAL", "gone", reason="CWSANDBOX_SANDBOX_NOT_FOUND")]


@pytest.mark.parametrize("grace, sent", [(10.0, 10), (0.3, 1), (1, 1), (0, 0), (2.0001, 3)])
def test_the_grace_is_rounded_up_and_the_deadline_is_10_s_more(server, sb, grace, sent):
    sb.stop(graceful_shutdown_seconds=grace).result()
    (call,) = server.of("DeleteSandbox")
    assert (call.request.sandbox_id, call.request.grace_period_seconds) == (ID, sent)
    assert grace + 9 < call.time_left <= grace + 10.1
    assert (call.request.allow_missing, call.request.request_id, list(call.request.snapshot_volumes)) == (False, "", [])


def test_the_default_grace_is_10_s(server, sb):
    sb.stop(missing_ok=True).result()
    (call,) = server.of("DeleteSandbox")
    assert call.request.grace_period_seconds == 10 and call.request.allow_missing is True


def test_stop_resolves_at_the_terminal_state(server, sb, consume):
    server.on("GetSandbox", sandbox("terminating"), sandbox("terminating"), sandbox("terminated"))
    assert consume(lambda: sb.stop()) is None
    assert sb.status == "terminated" and len(server.of("GetSandbox")) == 3


def test_the_state_is_terminating_once_the_stop_is_accepted(server, sb):
    gate = threading.Event()
    server.on("GetSandbox", lambda call: gate.wait(20) and sandbox("terminated"))
    ref = sb.stop()
    server.wait_for("GetSandbox")
    assert sb.status == "terminating"
    for operation in (lambda: sb.exec(["true"]), lambda: sb.read_file("/x")):
        with pytest.raises(cw.SandboxNotRunningError, match="has been stopped"):
            operation().result()
    gate.set()
    ref.result(20)


def test_stops_share_one_attempt_with_the_first_ones_arguments(server, sb):
    gate = threading.Event()

    def answer(call):
        gate.wait(20)
        server.deleted = True
        return pb.DeleteSandboxResponse(sandbox=sandbox("terminating"))

    server.on("DeleteSandbox", answer)
    refs = [sb.stop(graceful_shutdown_seconds=3), sb.stop(graceful_shutdown_seconds=99), sb.stop(missing_ok=True)]
    server.wait_for("DeleteSandbox")
    refs.append(sb.stop())
    gate.set()
    cw.results(refs)
    (call,) = server.of("DeleteSandbox")
    assert call.request.grace_period_seconds == 3 and not call.request.allow_missing
    assert sb.stop().result() is None  # stopped: no further call
    assert len(server.of("DeleteSandbox")) == 1


@pytest.mark.parametrize("gone", GONE, ids=repr)
def test_a_missing_sandbox_is_an_error_and_changes_nothing(server, sb, consume, gone):
    server.on("DeleteSandbox", gone)
    with pytest.raises(cw.SandboxNotFoundError) as caught:
        consume(lambda: sb.stop())
    assert caught.value.sandbox_id == ID and sb.status == "pending"


@pytest.mark.parametrize("gone", GONE, ids=repr)
def test_missing_ok_takes_a_missing_sandbox_for_stopped(server, sb, consume, gone):
    server.on("DeleteSandbox", gone)
    assert consume(lambda: sb.stop(missing_ok=True)) is None
    assert sb.status == "terminated" and not server.of("GetSandbox")


def test_missing_ok_and_an_empty_answer_means_it_was_absent(server, sb):
    server.on("DeleteSandbox", pb.DeleteSandboxResponse())
    sb.stop(missing_ok=True).result()
    assert sb.status == "terminated" and not server.of("GetSandbox")


def test_an_empty_answer_without_missing_ok_is_an_acceptance(server, sb):
    server.on("DeleteSandbox", pb.DeleteSandboxResponse())
    server.on("GetSandbox", sandbox("terminated"))
    sb.stop().result()
    assert len(server.of("GetSandbox")) == 1


def test_a_joiner_decides_for_itself_what_missing_means(server, sb):
    gate = threading.Event()
    server.on("DeleteSandbox", lambda call: gate.wait(20) and GONE[0])
    strict, lenient = sb.stop(), sb.stop(missing_ok=True)
    server.wait_for("DeleteSandbox")
    gate.set()
    assert lenient.result(20) is None
    with pytest.raises(cw.SandboxNotFoundError):
        strict.result(20)


def test_another_failure_changes_nothing_and_stop_may_be_tried_again(server, sb, consume):
    server.on("DeleteSandbox", Status("UNAVAILABLE", "busy"), lambda call: server._healthy_DeleteSandbox(call))
    with pytest.raises(cw.SandboxUnavailableError, match="busy"):
        consume(lambda: sb.stop())
    assert sb.status == "pending" and len(server.of("DeleteSandbox")) == 1
    consume(lambda: sb.stop())
    assert len(server.of("DeleteSandbox")) == 2


def test_a_sandbox_that_others_are_ending_is_only_watched(server, sb):
    server.on("GetSandbox", sandbox("terminating"), sandbox("terminating"), sandbox("terminated"))
    sb.get_status()
    sb.stop().result()
    assert not server.of("DeleteSandbox") and sb.status == "terminated"


def test_a_sandbox_that_has_ended_needs_no_call(server, sb):
    server.on("GetSandbox", sandbox("failed"))
    sb.get_status()
    assert sb.stop().result() is None and not server.of("DeleteSandbox")


def test_giving_up_on_a_stop_does_not_give_up_the_stop(server, sb):
    gate = threading.Event()
    server.on("GetSandbox", lambda call: gate.wait(20) and sandbox("terminated"))

    async def body():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(sb.stop()), 0.3)

    asyncio.run(body())
    ref = sb.stop()
    gate.set()
    ref.result(20)
    assert len(server.of("DeleteSandbox")) == 1


async def _await(ref):
    return await ref


def test_the_end_of_ones_own_stop_is_a_termination_for_who_waits(server, sb):
    gate = threading.Event()
    server.on("GetSandbox", sandbox("running"), lambda call: gate.wait(20) and sandbox("completed", exit_code=0))
    strict, lenient = sb.wait_until_complete(), sb.wait_until_complete(raise_on_termination=False)
    server.wait_for("GetSandbox", 2)
    stop = sb.stop()
    eventually(lambda: sb.status == "terminating")
    gate.set()
    stop.result(20)
    with pytest.raises((cw.SandboxTerminatedError, cw.SandboxNotRunningError)):
        strict.result(20)
    assert lenient.result(20) is sb
    with pytest.raises(cw.SandboxTerminatedError):
        sb.wait()


def test_a_sandbox_that_vanishes_after_our_stop_is_asked_for_2_s(server, sb, consume):
    server.on("GetSandbox", Status("NOT_FOUND", "forgotten"))
    with pytest.raises(cw.SandboxTerminalStateUnavailableError):
        consume(lambda: sb.stop())
    gaps = server.gaps("GetSandbox")
    assert gaps[0] >= 0.18 and all(b > a for a, b in zip(gaps, gaps[1:-1])) and 1.9 <= sum(gaps) <= 4


def test_a_sandbox_that_comes_back_within_the_window_is_fine(server, sb):
    server.on("GetSandbox", Status("NOT_FOUND", "not yet"), Status("NOT_FOUND", "not yet"), sandbox("terminated"))
    sb.stop().result()
    assert sb.status == "terminated"


def test_an_observing_stop_with_missing_ok_has_the_window_too(server, sb):
    server.on("GetSandbox", sandbox("terminating"), Status("NOT_FOUND", "not yet"), sandbox("terminated"))
    sb.get_status()
    sb.stop(missing_ok=True).result()
    assert sb.status == "terminated" and not server.of("DeleteSandbox")


# ---- Sandbox.delete


def test_delete_says_the_id_and_nothing_else(server, consume):
    assert consume(lambda: Sandbox.delete("some-id", timeout_seconds=33)) is None
    (call,) = server.calls
    assert call.request == pb.DeleteSandboxRequest(sandbox_id="some-id") and 32 < call.time_left <= 33.1


def test_delete_waits_300_s_unless_told_otherwise(server):
    Sandbox.delete(ID).result()
    assert 299 < server.calls[0].time_left <= 300.1


# ---- list and from_id


def test_list_sends_its_filters(server, consume):
    (sb,) = consume(lambda: Sandbox.list(tags=["a", "b"], status="running", runner_ids=["r"], show_terminated=True))
    assert server.calls[0].request == pb.ListSandboxesRequest(
        tags=["a", "b"], state=pb.STATE_RUNNING, runner_ids=["r"], show_terminated=True)
    assert (sb.sandbox_id, sb.status) == (ID, "running")
    consume(lambda: Sandbox.list())
    assert server.calls[1].request == pb.ListSandboxesRequest()


def page(*ids, token=""):
    return pb.ListSandboxesResponse(sandboxes=[sandbox("running", i) for i in ids], next_page_token=token)


def test_pages_are_joined_in_order_under_one_deadline(server, consume):
    slow = lambda call: call.ended.wait(0.2) or page(token="y")  # noqa: E731
    server.on("ListSandboxes", page("1", "2", token="x"), slow, page("3"))
    found = consume(lambda: Sandbox.list(timeout_seconds=50))
    assert [sb.sandbox_id for sb in found] == ["1", "2", "3"]
    assert [call.request.page_token for call in server.calls] == ["", "x", "y"]
    left = [call.time_left for call in server.calls]
    assert 49 < left[0] <= 50.1 and left[2] < left[0] - 0.19


def test_a_page_that_comes_again_is_a_loop(server, consume):
    server.on("ListSandboxes", page("1", token="x"), page("2", token="y"), page("3", token="x"))
    with pytest.raises(cw.CWSandboxError, match="List.*pagination loop") as caught:
        consume(lambda: Sandbox.list())
    assert type(caught.value) is cw.CWSandboxError and len(server.calls) == 3


def test_the_number_of_pages_has_no_bound(server):
    server.on("ListSandboxes", *[page("1", token=str(i)) for i in range(149)], page("last"))
    assert len(Sandbox.list().result()) == 150
    assert [call.request.page_size for call in server.calls] == [0] + [1000] * 149  # more at a time once there is more


def test_pages_without_end_are_ended_by_the_deadline(server, consume):
    server.on("ListSandboxes", lambda call: page(token=str(len(server.calls))))
    with pytest.raises(cw.CWSandboxError, match="timed out after"):
        consume(lambda: Sandbox.list(timeout_seconds=0.5))


def test_a_time_out_while_paging_is_said_so(server, consume):
    server.on("ListSandboxes", page("1", token="x"), lambda call: call.hold())
    with pytest.raises(cw.CWSandboxError, match="timed out") as caught:
        consume(lambda: Sandbox.list(timeout_seconds=0.4))
    assert type(caught.value) is cw.CWSandboxError


def test_errors_of_list_are_translated_and_not_retried(server, consume):
    server.on("ListSandboxes", Status("UNAVAILABLE", "busy"))
    with pytest.raises(cw.SandboxUnavailableError):
        consume(lambda: Sandbox.list())
    assert len(server.calls) == 1


def test_from_id_asks_once(server, consume):
    server.on("GetSandbox", sandbox("completed", "some-id", exit_code=3, runner_id="r1", runner_group_id=""))
    sb = consume(lambda: Sandbox.from_id("some-id"))
    assert (sb.sandbox_id, sb.status, sb.runner_id, sb.runner_group_id) == ("some-id", "completed", "r1", None)
    assert len(server.calls) == 1 and 299 < server.calls[0].time_left <= 300.1
    assert sb.stop().result() is None and len(server.calls) == 1


def test_from_id_of_nothing(server, consume):
    server.on("GetSandbox", Status("NOT_FOUND", "gone"))
    with pytest.raises(cw.SandboxNotFoundError, match="some-id") as caught:
        consume(lambda: Sandbox.from_id("some-id"))
    assert caught.value.sandbox_id == "some-id" and len(server.calls) == 1


@pytest.mark.parametrize("find", ["list", "from_id"])
def test_what_was_found_polls_as_it_was_told(server, find):
    how = {"timeout_seconds": 40, "poll_retry_budget_seconds": 5, "poll_rpc_timeout_seconds": 3}
    server.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[sandbox("creating")]))
    server.on("GetSandbox", *([sandbox("creating")] if find == "from_id" else []), sandbox("running"))
    sb = Sandbox.list(**how).result()[0] if find == "list" else Sandbox.from_id(ID, **how).result()
    sb.wait()
    assert server.of("GetSandbox")[-1].time_left <= 3.1
    sb.read_file("/x").result()
    assert server.of("ReadFile")[0].time_left <= 40.1


# ---- context managers and the garbage collector


def test_with_starts_and_stops(server):
    with Sandbox() as sb:
        assert sb.sandbox_id == ID
    assert sb.status == "completed" and len(server.of("DeleteSandbox")) == 1


def test_leaving_a_sandbox_that_has_ended_sends_nothing(server):
    server.on("GetSandbox", sandbox("terminated"))
    with Sandbox() as sb:
        sb.get_status()
    assert not server.of("DeleteSandbox")


class BodyError(Exception):
    pass


@pytest.fixture(params=["with", "async with"])
def block(request):
    """block(error): a with statement whose body raises it."""

    def sync(error):
        with Sandbox():
            if error:
                raise error

    async def body(error):
        async with Sandbox():
            if error:
                raise error

    return sync if request.param == "with" else lambda error: asyncio.run(body(error))


def test_an_error_of_the_stop_is_raised(server, block):
    server.on("DeleteSandbox", Status("INTERNAL", "cannot"))
    with pytest.raises(cw.SandboxError, match="cannot"):
        block(None)


def test_an_error_of_the_body_matters_more_and_the_other_is_logged(server, block, caplog):
    server.on("DeleteSandbox", Status("INTERNAL", "cannot"))
    with caplog.at_level(logging.WARNING, "cwsandbox"), pytest.raises(BodyError):
        block(BodyError())
    assert any(r.levelno == logging.WARNING and "cannot" in r.getMessage() for r in caplog.records)


def test_a_running_sandbox_nobody_holds_is_warned_about_and_not_stopped(server):
    server.on("CreateSandbox", sandbox("pending", "sb-dropped"))
    sb = Sandbox.run().wait()
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del sb
        gc.collect()
    assert [w.category for w in caught if "sb-dropped" in str(w.message)] == [ResourceWarning]
    assert not server.of("DeleteSandbox")


def test_what_ended_or_never_started_is_dropped_silently(server):
    server.on("GetSandbox", sandbox("terminated"))
    sb = Sandbox.run()
    sb.get_status()
    unstarted = Sandbox()
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del sb, unstarted
        gc.collect()
    assert caught == []


def test_a_found_sandbox_that_is_dropped_running_is_warned_about_too(server):
    sb = Sandbox.from_id(ID).result()
    with pytest.warns(ResourceWarning, match=ID):
        del sb
        gc.collect()


# ---- facts


@pytest.mark.parametrize("who", ["from_id", "list", "get_status"])
def test_whatever_sees_a_completed_sandbox_knows_its_exit_code(server, who):
    done = sandbox("completed", exit_code=3)
    server.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[done]))
    server.on("GetSandbox", done)
    if who == "get_status":
        sb = Sandbox.run()
        assert sb.get_status() == "completed"
    else:
        sb = Sandbox.list().result()[0] if who == "list" else Sandbox.from_id(ID).result()
    assert (sb.status, sb.returncode) == ("completed", 3)


def test_facts_follow_the_answers(server, sb):
    from datetime import datetime

    first = sandbox("running", runner_id="r", runner_group_id="g", start_time={"seconds": 1_700_000_000})
    first.status.effective_resource_requirements.requests.cpu = "1"
    first.status.effective_resource_requirements.limits.memory = "2Gi"
    server.on("GetSandbox", first)
    assert (sb.runner_id, sb.started_at, sb.returncode) == (None, None, None)
    sb.wait()
    assert (sb.runner_id, sb.runner_group_id) == ("r", "g")
    assert sb.resource_requests == {"cpu": "1"} and sb.resource_limits == {"memory": "2Gi"}
    assert sb.started_at.replace(tzinfo=None) == datetime(2023, 11, 14, 22, 13, 20)
    assert sb.status_updated_at.utcoffset().total_seconds() == 0
    assert repr(sb) == f"<Sandbox id={ID} status=running>" and repr(Sandbox()) == "<Sandbox id=None status=not_started>"


def test_legacy_resources_stand_for_requests_and_limits(server, sb):
    answer = sandbox("running")
    answer.status.effective_resources.cpu = "3"
    server.on("GetSandbox", answer)
    sb.wait()
    assert sb.resource_requests == sb.resource_limits == {"cpu": "3"}
