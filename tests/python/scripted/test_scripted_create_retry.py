"""A create that finds no room at the moment: asked again within a budget, then elsewhere."""

from __future__ import annotations

import math
import time

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox, SandboxDefaults
from scripted_server import ID, Status, sandbox

FULL = "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"


def full(code="RESOURCE_EXHAUSTED", reason=FULL, retry=0.01, **more):
    return Status(code, "full", reason=reason, retry=retry, **more)


def wire(server, method="CreateSandbox"):
    return [call.request.SerializeToString(deterministic=True) for call in server.of(method)]


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE"])
@pytest.mark.parametrize("reason", [FULL, "CWSANDBOX_RUNNER_OVERLOADED"])
def test_a_full_place_is_asked_again_with_the_same_request(server, code, reason):
    server.on("CreateSandbox", full(code, reason), full(code, reason), sandbox("pending"))
    box = Sandbox.run(create_retry_budget_seconds=60, environment_variables={"A": "1", "B": "2"})
    assert box.sandbox_id == ID and len(wire(server)) == 3 and len(set(wire(server))) == 1


@pytest.mark.parametrize("status", [
    full(domain="elsewhere"), full("FAILED_PRECONDITION"), full(reason="CWSANDBOX_RUNNER_UNAVAILABLE"), full(reason=""),
    full(reason="CWSANDBOX_QUOTA_EXCEEDED"), full("UNAUTHENTICATED"), Status("UNAVAILABLE", "down"),
])  # fmt: skip
def test_nothing_else_is_asked_again(server, status):
    server.on("CreateSandbox", status, sandbox("pending"))
    with pytest.raises(cw.CWSandboxError):
        Sandbox.run(create_retry_budget_seconds=60)
    assert len(server.calls) == 1


def test_without_a_budget_it_is_asked_once(server):
    server.on("CreateSandbox", full())
    for box in (Sandbox(), Sandbox(defaults=SandboxDefaults(create_retry_budget_seconds=60), create_retry_budget_seconds=0)):
        before = len(server.calls)
        with pytest.raises(cw.SandboxResourceExhaustedError):
            box.start().result()
        assert len(server.calls) == before + 1


def test_the_budget_of_the_defaults_counts(server):
    server.on("CreateSandbox", full(), sandbox("pending"))
    Sandbox.run(defaults={"create_retry_budget_seconds": 60})
    assert len(server.calls) == 2


def test_no_call_is_made_once_the_budget_is_spent(server):
    server.on("CreateSandbox", full(retry=5))
    box = Sandbox(create_retry_budget_seconds=0.2)
    with pytest.raises(cw.SandboxResourceExhaustedError, match="full"):
        box.start().result()
    assert len(server.calls) == 1  # it was slept away
    server.on("CreateSandbox", sandbox("pending"))
    box.start().result()
    assert len(set(wire(server))) == 1


def test_a_later_call_has_what_is_left_of_the_budget(server):
    server.on("CreateSandbox", full(), sandbox("pending"))
    Sandbox.run(create_retry_budget_seconds=20, request_timeout_seconds=200)
    first, second = [call.time_left for call in server.of("CreateSandbox")]
    assert first > 100 and second <= 20.1


def test_the_other_place_follows_when_the_budget_is_spent(server):
    server.on("CreateSandbox", full(), full(retry=9), full(), sandbox("pending"))
    box = Sandbox.run(create_retry_budget_seconds=1, placement_spillover="cks_then_serverless")
    requests = [call.request for call in server.of("CreateSandbox")]
    assert [r.sandbox.spec.mode for r in requests] == [2, 2, 1, 1]  # a budget for each place
    assert [r.request_id == requests[0].request_id for r in requests] == [True, True, False, False]
    assert requests[2] == requests[3] and box.sandbox_id == ID


def test_creates_from_a_template_too(server):
    server.on("CreateSandboxFromTemplate", full(), sandbox("pending"))
    Sandbox.run_from_template("tpl", create_retry_budget_seconds=60)
    assert len(wire(server, "CreateSandboxFromTemplate")) == 2 and len(set(wire(server, "CreateSandboxFromTemplate"))) == 1


def test_creates_from_a_file_too(server):
    server.on("CreateSandboxFromFile", full(), sandbox("pending"))
    cw.Sandbox.run_from_file(b"services: {}", primary_service="web", create_retry_budget_seconds=60)
    assert len(wire(server, "CreateSandboxFromFile")) == 2 and len(set(wire(server, "CreateSandboxFromFile"))) == 1


def test_a_stop_ends_the_waiting(server):
    server.on("CreateSandbox", full(retry=9))
    box = Sandbox(create_retry_budget_seconds=1000)
    start = box.start()
    server.wait_for("CreateSandbox")
    box.stop().result(timeout=5)
    with pytest.raises(cw.CWSandboxError):
        start.result(timeout=5)
    with pytest.raises(cw.SandboxNotRunningError):
        box.start().result()
    assert [call.method for call in server.calls] == ["CreateSandbox"]


def test_nobody_waits_nobody_asks(server):
    server.on("CreateSandbox", full(retry=9), sandbox("pending"))
    box = Sandbox(create_retry_budget_seconds=1000)
    start = box.start()
    server.wait_for("CreateSandbox")
    cw._core.cancel(start)
    box.start().result()  # at once: a new attempt
    assert len(set(wire(server))) == 1


def test_the_start_up_clock_counts_from_the_accepted_attempt(server):
    server.on("CreateSandbox", full(retry=1), sandbox("pending"))
    began = time.monotonic()
    box = Sandbox.run(create_retry_budget_seconds=60)
    box.wait()
    assert 0 < box._startup_seconds <= time.monotonic() - began - 1


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
@pytest.mark.parametrize("make", [Sandbox, SandboxDefaults])
def test_a_budget_is_finite_and_not_negative(make, value):
    with pytest.raises(ValueError, match="create_retry_budget_seconds"):
        make(create_retry_budget_seconds=value)


# ---- which failures lead to the other place

SPILLING = ["RUNNER_CAPACITY_EXHAUSTED", "PLACEMENT_REJECTED", "PLACEMENT_CONSTRAINT_UNSATISFIED", "NO_SUITABLE_RUNNER",
            "RUNNER_OVERLOADED", "RUNNER_UNAVAILABLE"]  # fmt: skip
SPILL = dict(placement_spillover="cks_then_serverless")


@pytest.mark.parametrize("code, reason", [
    *[("RESOURCE_EXHAUSTED", reason) for reason in SPILLING], ("FAILED_PRECONDITION", SPILLING[0]), ("UNAVAILABLE", SPILLING[0]),
    ("INVALID_ARGUMENT", "RESOURCE_CEILING_EXCEEDED"),
])  # fmt: skip
def test_a_trusted_reason_with_its_status_spills(server, code, reason):
    server.on("CreateSandbox", Status(code, "no", reason="CWSANDBOX_" + reason), sandbox("pending"))
    Sandbox.run(**SPILL)
    assert len(server.calls) == 2


@pytest.mark.parametrize("code, reason, domain", [
    ("RESOURCE_EXHAUSTED", FULL, "elsewhere"), ("INVALID_ARGUMENT", FULL, "cwsandbox.com"), ("INTERNAL", FULL, "cwsandbox.com"),
    ("RESOURCE_EXHAUSTED", "CWSANDBOX_RESOURCE_CEILING_EXCEEDED", "cwsandbox.com"),
    ("FAILED_PRECONDITION", "CWSANDBOX_SERVERLESS_DISABLED", "cwsandbox.com"),
])  # fmt: skip
def test_anything_else_does_not_spill(server, code, reason, domain):
    server.on("CreateSandbox", Status(code, "no", reason=reason, domain=domain))
    with pytest.raises(cw.CWSandboxError):
        Sandbox.run(**SPILL)
    assert len(server.calls) == 1


@pytest.mark.parametrize("code, definite", [
    ("INVALID_ARGUMENT", True), ("UNAUTHENTICATED", True), ("PERMISSION_DENIED", True), ("NOT_FOUND", True),
    ("FAILED_PRECONDITION", True), ("INTERNAL", False), ("UNKNOWN", False), ("DEADLINE_EXCEEDED", False),
])  # fmt: skip
def test_the_status_of_the_second_failure_says_where_the_next_start_begins(server, code, definite):
    server.on("CreateSandbox", full(), Status(code, "no", reason="CWSANDBOX_OTHER"), sandbox("pending"))
    box = Sandbox(**SPILL)
    with pytest.raises(cw.CWSandboxError):
        box.start().result()
    box.start().result()
    assert [call.request.sandbox.spec.mode for call in server.of("CreateSandbox")] == [2, 1, 2 if definite else 1]
