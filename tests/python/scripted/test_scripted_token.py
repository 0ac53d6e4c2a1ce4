"""The token of share-token endpoints, and how it is asked for again."""

from __future__ import annotations

import threading
import warnings

import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from scripted_server import Status, sandbox

import cwsandbox
from cwsandbox import Sandbox, Service

ENDPOINT = Service(port=80, visibility="public", endpoint={"kind": "https", "auth": "share_token"})


@pytest.fixture(autouse=True)
def nobody_stops_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def with_token(token="secret", state="running", **more):
    message = sandbox(state, **more)
    message.endpoint_share_token = token
    return message


def creates(server):
    return [call.request for call in server.of("CreateSandbox")]


def test_the_token_comes_from_the_create_alone(server):
    server.on("CreateSandbox", with_token())
    server.on("GetSandbox", with_token("another"))
    sb = Sandbox.run(services=[ENDPOINT])
    sb.get_status()
    token = sb.endpoint_share_token
    assert token.get_secret_value() == "secret"
    assert sb.endpoint_share_token is token
    assert len(creates(server)) == 1
    assert Sandbox.from_id(sb.sandbox_id).result().endpoint_share_token is None


def test_nothing_is_asked_again_without_such_an_endpoint(server):
    sb = Sandbox.run(services=[Service(port=80, visibility="public", endpoint={"kind": "https", "auth": "open"})])
    assert sb.endpoint_share_token is None
    assert len(creates(server)) == 1


def test_the_same_request_is_sent_again(server):
    changed = sandbox("failed")
    changed.status.state = pb.STATE_PAUSED
    server.on("CreateSandbox", sandbox("running"), with_token(state="paused", effective_runtime_class="no"))
    tags = ["t"]
    sb = Sandbox(services=[ENDPOINT], tags=tags)
    tags.append("later")
    sb.start().result()
    one, two = creates(server)
    assert one == two
    assert one.request_id == two.request_id
    assert sb.endpoint_share_token.get_secret_value() == "secret"
    assert sb.effective_runtime_class is None  # nothing but the token is taken
    assert sb.status != "paused"


def test_an_endpoint_that_only_the_service_tells_of(server):
    spec = pb.SandboxSpec(services=[pb.Service(port=1, endpoint=pb.EndpointSpec(kind=1, auth=2))])
    first = sandbox("running")
    first.spec.CopyFrom(spec)
    server.on("CreateSandboxFromTemplate", first, with_token())
    sb = Sandbox.run_from_template("tpl")
    assert sb.endpoint_share_token is not None


def test_transient_failures_use_up_an_attempt_and_another_start_asks_again(server):
    server.on("CreateSandbox", sandbox("running"), *[Status("UNAVAILABLE", retry=0.01)] * 3, with_token())
    sb = Sandbox.run(services=[ENDPOINT])
    assert sb.endpoint_share_token is None
    assert len(creates(server)) == 4
    sb.start().result()
    assert sb.endpoint_share_token is not None
    assert len(creates(server)) == 5


def test_other_failures_end_the_round(server):
    server.on("CreateSandbox", sandbox("running"), Status("PERMISSION_DENIED"), with_token())
    sb = Sandbox.run(services=[ENDPOINT])
    assert (sb.endpoint_share_token, len(creates(server))) == (None, 2)
    sb.start().result()
    assert sb.endpoint_share_token is not None


@pytest.mark.parametrize(("answer", "status"), [
    (with_token(sandbox_id="sb-other"), "pending"), (with_token(state="completed", exit_code=3), "completed"),
])  # fmt: skip
def test_another_sandbox_or_a_terminal_state_ends_it_for_good(server, answer, status):
    server.on("CreateSandbox", sandbox("running"), answer)
    sb = Sandbox.run(services=[ENDPOINT])
    sb.start().result()
    assert sb.endpoint_share_token is None
    assert sb.status == status
    assert len(creates(server)) == 2


def hold_the_recovery(server):
    """(asked, answer): set once the second create has come, and to be set for it to get its token."""
    asked, answer = threading.Event(), threading.Event()

    def slowly(call):
        asked.set()
        answer.wait(60)
        return with_token()

    server.on("CreateSandbox", sandbox("running"), slowly)
    return asked, answer


def test_starts_share_a_round_and_nothing_else_waits_for_it(server):
    asked, answer = hold_the_recovery(server)
    sb = Sandbox(services=[ENDPOINT])
    starts = [sb.start() for _ in range(3)]
    assert asked.wait(60)
    sb.wait()
    assert sb.endpoint_share_token is None
    cwsandbox._core.cancel(starts[0])
    answer.set()
    for start in starts[1:]:
        start.result()
    assert sb.endpoint_share_token is not None
    assert len(creates(server)) == 2


def test_stop_ends_the_recovery(server):
    asked, answer = hold_the_recovery(server)
    sb = Sandbox(services=[ENDPOINT])
    start = sb.start()
    assert asked.wait(60)
    sb.stop().result()
    start.result()
    answer.set()
    assert sb.endpoint_share_token is None
