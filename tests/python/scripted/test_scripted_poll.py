"""Waiting for a state of a foreign service, by asking.

Schedules are checked by lower bounds, which hold on any machine, and by generous upper ones.
"""

from __future__ import annotations

import asyncio
import threading

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox
from google.protobuf.timestamp_pb2 import Timestamp
from scripted_server import ID, Status, sandbox

SLACK = 0.02  # a timer may fire this much before the arrival that the server clocks
LATE = 1.0  # and a busy machine may be this late


def get_error(sb, wait):
    with pytest.raises(cw.CWSandboxError) as caught:
        wait(sb)
    return caught.value


@pytest.fixture(params=["wait", "await"])
def wait(request):
    """wait(sandbox): until it runs."""

    async def body(sb):
        return await sb

    return (lambda sb: sb.wait()) if request.param == "wait" else (lambda sb: asyncio.run(body(sb)))


@pytest.mark.parametrize("state", ["running", "paused"])
def test_running_and_paused_end_the_wait(server, sb, wait, state):
    server.on("GetSandbox", sandbox("creating"), sandbox("pending"), sandbox(state))
    assert wait(sb) is sb and sb.status == state
    assert len(server.of("GetSandbox")) == 3
    assert wait(sb) is sb
    assert len(server.of("GetSandbox")) == 3  # known: no further question


def test_terminating_ends_the_wait_without_an_error(server, sb, wait):
    server.on("GetSandbox", sandbox("terminating"))
    wait(sb)
    assert sb.status == "terminating"


def test_completed_ends_the_wait_without_an_error(server, sb, wait):
    server.on("GetSandbox", sandbox("completed", exit_code=7))
    wait(sb)
    assert (sb.status, sb.returncode) == ("completed", 7)


def test_unspecified_counts_as_completed_for_who_waits(server, sb, wait):
    server.on("GetSandbox", sandbox("unspecified"))
    wait(sb)
    assert (sb.status, sb.returncode) == ("completed", None)


@pytest.mark.parametrize("state, kind", [("failed", cw.SandboxFailedError), ("terminated", cw.SandboxTerminatedError)])
def test_a_bad_end_raises_from_the_wait(server, sb, wait, state, kind):
    server.on("GetSandbox", sandbox("creating"), sandbox(state, exit_code=3))
    error = get_error(sb, wait)
    assert type(error) is kind and state in str(error)
    assert sb.returncode is None  # never of a failed or terminated one
    get_error(sb, wait)
    assert len(server.of("GetSandbox")) == 2


def test_a_failure_before_and_after_the_start_are_told_apart(server, sb, wait):
    server.on("GetSandbox", sandbox("creating"), sandbox("failed", state_reason="no such image"))
    assert f"sandbox '{ID}' failed to start: no such image" in str(get_error(sb, wait))
    server.on("GetSandbox", sandbox("failed", state_reason="out of disk", start_time=Timestamp(seconds=1)))
    assert f"sandbox '{ID}' failed: out of disk" in str(get_error(Sandbox.run(), wait))


def test_a_state_that_no_version_knows_keeps_the_wait_going(server, sb):
    server.on("GetSandbox", sandbox(77), sandbox("running"))
    assert sb.wait(20).status == "running"


def test_each_question_has_the_poll_timeout(server):
    sb = Sandbox.run(poll_rpc_timeout_seconds=7, poll_retry_budget_seconds=20)
    sb.wait()
    assert 6 < server.of("GetSandbox")[0].time_left <= 7.1
    other = Sandbox.run(poll_rpc_timeout_seconds=7, poll_retry_budget_seconds=4)
    other.wait()
    assert 3 < server.of("GetSandbox")[1].time_left <= 4.1  # at most the budget
    third = Sandbox.run(poll_rpc_timeout_seconds=7, poll_retry_budget_seconds=0)
    third.wait()
    assert 6 < server.of("GetSandbox")[2].time_left <= 7.1  # no budget: no such limit


RETRIED = [
    Status("UNAVAILABLE", "busy"),
    Status("DEADLINE_EXCEEDED", "slow"),
    Status("RESOURCE_EXHAUSTED", "much"),
    Status("INTERNAL", "x", reason="CWSANDBOX_FSS_BACKEND_THROTTLED"),
    Status("INTERNAL", "x", reason="CWSANDBOX_RUNNER_UNAVAILABLE"),
]
FATAL = [
    (Status("NOT_FOUND", "gone"), cw.SandboxNotFoundError),
    (Status("UNAVAILABLE", "gone", reason="CWSANDBOX_SANDBOX_NOT_FOUND"), cw.SandboxNotFoundError),
    (Status("CANCELLED", "no"), cw.SandboxNotRunningError),
    (Status("INTERNAL", "no"), cw.SandboxError),
    (Status("INVALID_ARGUMENT", "no"), cw.SandboxError),
    (Status("UNAUTHENTICATED", "no"), cw.CWSandboxAuthenticationError),
    (Status("UNAVAILABLE", "no", reason="CWSANDBOX_COMMAND_TIMEOUT"), cw.SandboxCommandTimeoutError),
]


@pytest.mark.parametrize("status", RETRIED, ids=repr)
def test_failures_that_may_pass_are_retried_with_jitter(server, sb, wait, status):
    server.on("GetSandbox", status, status, sandbox("running"))
    wait(sb)
    first, second = server.gaps("GetSandbox")
    assert 0.2 - SLACK <= first <= 0.3 + LATE
    assert 0.2 - SLACK <= second <= 0.45 + LATE


@pytest.mark.parametrize("status, kind", FATAL, ids=repr)
def test_other_failures_end_the_wait_at_once_and_the_next_one_asks_afresh(server, sb, wait, status, kind):
    server.on("GetSandbox", status, sandbox("running"))
    assert type(get_error(sb, wait)) is kind
    assert len(server.of("GetSandbox")) == 1
    assert wait(sb).status == "running"


def test_the_hint_of_the_service_is_the_delay(server, sb):
    server.on("GetSandbox", Status("UNAVAILABLE", "busy", retry=0.9), sandbox("running"))
    sb.wait()
    (gap,) = server.gaps("GetSandbox")
    assert 0.9 - SLACK <= gap <= 0.9 + LATE


def test_a_hint_of_zero_is_no_hint(server, sb):
    server.on("GetSandbox", Status("UNAVAILABLE", "busy", retry=0), sandbox("running"))
    sb.wait()
    assert server.gaps("GetSandbox")[0] >= 0.2 - SLACK


def test_a_hint_beyond_the_budget_is_cut_and_no_further_question_is_asked(server):
    sb = Sandbox.run(poll_retry_budget_seconds=0.4)
    status = Status("UNAVAILABLE", "busy", retry=3600)
    server.on("GetSandbox", status)
    with pytest.raises(cw.SandboxUnavailableError, match="busy"):
        sb.wait(20)
    assert len(server.of("GetSandbox")) == 1


def test_the_last_error_is_raised_when_the_budget_is_spent(server):
    sb = Sandbox.run(poll_retry_budget_seconds=0.7)
    server.on("GetSandbox", Status("UNAVAILABLE", "first"), Status("RESOURCE_EXHAUSTED", "then"))
    with pytest.raises(cw.SandboxResourceExhaustedError, match="then"):
        sb.wait(20)
    assert 2 <= len(server.of("GetSandbox")) <= 4


def test_no_budget_means_no_retry(server):
    sb = Sandbox.run(poll_retry_budget_seconds=0)
    server.on("GetSandbox", Status("UNAVAILABLE", "busy"))
    with pytest.raises(cw.SandboxUnavailableError):
        sb.wait()
    assert len(server.of("GetSandbox")) == 1


def test_a_success_refills_the_budget(server):
    """Three bursts of failures, each shorter than the budget; together they are longer."""
    sb = Sandbox.run(poll_retry_budget_seconds=1.0)
    burst = [Status("UNAVAILABLE", "busy", retry=0.6), sandbox("creating")]
    server.on("GetSandbox", *burst * 3, sandbox("running"))
    assert sb.wait().status == "running"


def test_the_question_after_a_failure_has_what_is_left_of_the_budget(server):
    sb = Sandbox.run(poll_retry_budget_seconds=5, poll_rpc_timeout_seconds=15)
    server.on("GetSandbox", Status("UNAVAILABLE", "busy", retry=1), sandbox("running"))
    sb.wait()
    first, second = [call.time_left for call in server.of("GetSandbox")]
    assert 4 < first <= 5.1 and 3 < second <= 4.1


def test_all_who_wait_share_the_questions(server, sb):
    server.on("GetSandbox", *[sandbox("creating")] * 3, sandbox("running"))
    threads = [threading.Thread(target=sb.wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    processes = [sb.exec(["true"]) for _ in range(4)]
    for thread in threads:
        thread.join(30)
    assert [p.result().returncode for p in processes] == [0] * 4
    assert len(server.of("GetSandbox")) == 4


def test_one_who_gives_up_does_not_disturb_the_others(server, sb):
    gate = threading.Event()
    server.on("GetSandbox", sandbox("creating"), lambda call: gate.wait(20) and sandbox("running"))
    patient = sb.exec(["true"])
    with pytest.raises(cw.SandboxTimeoutError) as caught:
        sb.wait(0.3)
    assert type(caught.value) is cw.SandboxTimeoutError

    async def cancelled():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(sb), 0.1)

    asyncio.run(cancelled())
    server.wait_for("GetSandbox", 2)
    gate.set()
    assert patient.result().returncode == 0
    assert len(server.of("GetSandbox")) == 2


async def _await(sb):
    return await sb


def test_a_fatal_error_is_told_to_all_who_wait(server, sb):
    gate = threading.Event()
    server.on("GetSandbox", lambda call: gate.wait(20) and Status("INTERNAL", "broken"), sandbox("running"))
    refs = [sb.exec(["true"]) for _ in range(3)]
    server.wait_for("GetSandbox")
    gate.set()
    for ref in refs:
        with pytest.raises(cw.SandboxError, match="broken"):
            ref.result(20)
    assert sb.wait().status == "running"


def test_stop_tells_who_waits_for_running(server, sb):
    server.on("GetSandbox", lambda call: sandbox("terminated") if server.deleted else sandbox("creating"))
    refs = [sb.exec(["true"]), sb.read_file("/x")]
    seen = []
    waiting = [threading.Thread(target=lambda w=w: seen.append(get_error(sb, w)))
               for w in (lambda sb: sb.wait(), lambda sb: asyncio.run(_await(sb)))]
    for thread in waiting:
        thread.start()
    server.wait_for("GetSandbox")
    sb.stop().result()
    for ref in refs:
        with pytest.raises(cw.SandboxNotRunningError):
            ref.result(20)
    for thread in waiting:
        thread.join(20)
    assert [type(error) for error in seen] == [cw.SandboxNotRunningError] * 2


def test_the_time_limit_of_wait_counts_from_acceptance(server):
    gate = threading.Event()
    server.on("CreateSandbox", lambda call: gate.wait(20) and sandbox("pending"))
    sb = Sandbox()
    done, pending = cw.wait([sb], timeout=0.5)  # the create takes this long
    assert (done, pending) == ([], [sb])
    gate.set()
    assert sb.wait(20).status == "running"


# ---- wait_until_complete


@pytest.mark.parametrize("state, raises, kind", [
    ("completed", True, None), ("completed", False, None),
    ("terminated", True, cw.SandboxTerminatedError), ("terminated", False, None),
    ("failed", True, cw.SandboxFailedError), ("failed", False, cw.SandboxFailedError),
])
def test_the_end_and_its_policy(server, sb, consume, state, raises, kind):
    server.on("GetSandbox", sandbox("running"), sandbox(state, exit_code=0))
    make = lambda: sb.wait_until_complete(raise_on_termination=raises)  # noqa: E731
    if kind is None:
        assert consume(make) is sb
    else:
        with pytest.raises(kind):
            consume(make)
    assert sb.status == state


def test_the_policy_is_each_waiters_own(server, sb):
    gate = threading.Event()
    server.on("GetSandbox", sandbox("running"), lambda call: gate.wait(20) and sandbox("terminated"))
    strict, lenient = sb.wait_until_complete(), sb.wait_until_complete(raise_on_termination=False)
    server.wait_for("GetSandbox", 2)
    gate.set()
    assert lenient.result(20) is sb
    with pytest.raises(cw.SandboxTerminatedError):
        strict.result(20)
    assert len(server.of("GetSandbox")) == 2


def test_a_timeout_of_wait_until_complete_is_a_sandbox_timeout(server, sb, consume):
    with pytest.raises(cw.SandboxTimeoutError):
        consume(lambda: sb.wait_until_complete(0.4))
    assert sb.status == "running"


def test_an_exit_code_that_comes_late_is_waited_for(server, sb):
    server.on("GetSandbox", sandbox("completed"), sandbox("completed"), sandbox("completed", exit_code=5))
    assert sb.wait_until_complete().result().returncode == 5
    assert all(2.0 - SLACK <= gap <= 2.0 + LATE for gap in server.gaps("GetSandbox"))
    assert all(call.time_left <= 2.1 for call in server.of("GetSandbox")[1:])


def test_an_exit_code_that_never_comes_ends_after_two_further_questions(server, sb, consume):
    server.on("GetSandbox", sandbox("completed"))
    assert consume(lambda: sb.wait_until_complete()).returncode is None
    assert len(server.of("GetSandbox")) == 3


def test_errors_during_the_grace_keep_what_is_known(server, sb):
    server.on("GetSandbox", sandbox("completed"), Status("NOT_FOUND", "gone"), Status("UNAVAILABLE", "no"))
    assert sb.wait_until_complete().result().status == "completed"
    assert len(server.of("GetSandbox")) == 3


def test_a_time_limit_within_the_grace_resolves_with_what_is_known(server, sb):
    server.on("GetSandbox", sandbox("completed"))
    assert sb.wait_until_complete(0.5).result(20).status == "completed"
    assert len(server.of("GetSandbox")) == 1


def test_a_failed_sandbox_has_no_grace(server, sb):
    server.on("GetSandbox", sandbox("failed"))
    with pytest.raises(cw.SandboxFailedError):
        sb.wait_until_complete().result()
    assert len(server.of("GetSandbox")) == 1


def test_a_terminal_state_is_final(server, sb):
    server.on("GetSandbox", sandbox("completed", exit_code=1), sandbox("running"))
    sb.wait_until_complete().result()
    assert sb.get_status() == "completed" and sb.wait_until_complete().result().returncode == 1
    assert len(server.of("GetSandbox")) == 1


def test_not_found_is_fatal_for_who_waits_for_the_end(server, sb, consume):
    server.on("GetSandbox", sandbox("running"), Status("NOT_FOUND", "gone"))
    with pytest.raises(cw.SandboxNotFoundError):
        consume(lambda: sb.wait_until_complete())


# ---- get_status


def test_get_status_asks_once_with_the_poll_timeout(server):
    sb = Sandbox.run(poll_rpc_timeout_seconds=6)
    assert sb.get_status() == "running"
    before = sb.status_updated_at
    assert sb.get_status() == "running" and sb.status_updated_at > before
    assert len(server.of("GetSandbox")) == 2 and server.of("GetSandbox")[0].time_left <= 6.1


def test_get_status_does_not_retry(server, sb):
    server.on("GetSandbox", Status("UNAVAILABLE", "busy", retry=0.01))
    with pytest.raises(cw.SandboxUnavailableError):
        sb.get_status()
    assert len(server.of("GetSandbox")) == 1


def test_get_status_of_terminating_asks_again_each_time(server, sb):
    server.on("GetSandbox", sandbox("terminating"), sandbox("running"), sandbox("terminated"))
    assert sb.get_status() == "terminating"
    assert sb.get_status() == "terminating"  # a stale answer changes nothing
    assert sb.get_status() == "terminated"
    before = sb.status_updated_at
    assert sb.get_status() == "terminated" and sb.status_updated_at >= before
    assert len(server.of("GetSandbox")) == 3


def test_get_status_shows_unspecified_as_it_is(server, sb):
    server.on("GetSandbox", sandbox("unspecified"))
    assert sb.get_status() == "unspecified"


def test_get_status_of_an_unstarted_sandbox_is_refused(server):
    with pytest.raises(cw.SandboxNotRunningError, match="has not been started"):
        Sandbox().get_status()
    assert server.calls == []


# ---- cwsandbox.wait


def test_wait_takes_sandboxes_and_trims_to_the_number_asked_for(server):
    sandboxes = [Sandbox.run() for _ in range(3)]
    for sb in sandboxes:
        sb.wait()
    done, pending = cw.wait(sandboxes, num_returns=2)
    assert done == sandboxes[:2] and pending == sandboxes[2:]


def test_an_item_that_failed_is_done(server, sb):
    server.on("GetSandbox", sandbox("failed"))
    assert cw.wait([sb], timeout=20) == ([sb], [])
