"""Straight to the sandbox: credentials, the pool of channels, the way back to the API, and what is made again."""

from __future__ import annotations

import time

import cwsandbox as cw
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from cwsandbox import Sandbox
from direct_peer import Authority, DirectPeer, openssl
from scripted_server import ID, Status, eventually, exit_, log, out, ready, sandbox

RETIRING = Status("UNAVAILABLE", reason="CWSANDBOX_RUNNER_SHARD_RETIRING")
NO_SIZE = [out(b"", "STDERR"), exit_(1)]  # the size of a file is not known
OPERATIONS = {
    "StreamExec": lambda sb: sb.exec(["x"]).result(),
    "StreamLogs": lambda sb: list(sb.stream_logs()),
    "ReadFile": lambda sb: sb.read_file("/x").result(),
    "WriteFile": lambda sb: sb.write_file("/x", b"abc").result(),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def direct(authority, server):
    """The endpoint; `server` sends everybody there."""
    peer = DirectPeer(authority)
    server.on("ConnectSandbox", peer.grant)
    yield peer
    peer.close()


def run(mode="direct", **arguments):
    return Sandbox.run(data_plane_mode=mode, **arguments)


def methods(server):
    return [call.method for call in server.calls if call.method not in ("CreateSandbox", "GetSandbox", "ConnectSandbox")]


# ---- the way


def test_auto_goes_straight_where_it_can(server, direct):
    def went_straight():  # within a second; on a busy machine not always
        return run("auto").exec(["x"]).result().returncode == 0 and direct.of("StreamExec")

    eventually(went_straight)


@pytest.mark.parametrize("method", OPERATIONS)
def test_each_operation_has_its_permission_and_its_method(server, direct, method):
    OPERATIONS[method](run())
    (asked,) = server.of("ConnectSandbox")
    names = {"StreamExec": "STREAM_EXEC", "StreamLogs": "STREAM_LOGS", "ReadFile": "READ_FILE", "WriteFile": "WRITE_FILE"}
    assert list(asked.request.requested_permissions) == [pb.SandboxDataPermission.Value("SANDBOX_DATA_PERMISSION_" + names[method])]
    assert asked.request.sandbox_id == ID
    assert (methods(server), methods(direct)) == ([], [method])


def test_streamed_files_and_terminals_are_commands(server, direct):
    sb = run()
    list(sb.read_file_streaming("/x"))
    sb.write_file_streaming("/x", b"abc").result()
    sb.shell(["x"]).result()
    assert len(server.of("ConnectSandbox")) == 1
    assert methods(server) == [] and set(methods(direct)) == {"StreamExec"}


def test_gateway_asks_nobody(server, direct):
    for operation in OPERATIONS.values():
        operation(run("gateway"))
    assert server.of("ConnectSandbox") == [] and direct.calls == []


def test_everything_else_goes_through_the_api(server, direct):
    sb = run()
    sb.exec(["x"]).result()
    sb.stop().result()
    assert server.of("DeleteSandbox") and methods(direct) == ["StreamExec"]


# ---- credentials


def test_the_request_is_for_a_fresh_key_without_a_name(server, direct):
    run().exec(["x"]).result()
    run().exec(["x"]).result()
    first, second = (call.request.csr_der for call in server.of("ConnectSandbox"))
    text = openssl("req", "-inform", "DER", "-noout", "-verify", "-text", stdin=first).decode()
    assert "prime256v1" in text and "ecdsa-with-SHA256" in text and "Subject: \n" in text.replace("Subject:\n", "Subject: \n")
    keys = [openssl("req", "-inform", "DER", "-noout", "-pubkey", stdin=csr) for csr in (first, second)]
    assert keys[0] != keys[1]


def test_credentials_are_kept_per_sandbox_and_permission(server, direct):
    sb = run()
    for _ in range(3):
        sb.exec(["x"]).result()
        sb.read_file("/x").result()
    assert len(server.of("ConnectSandbox")) == 2
    run().exec(["x"]).result()
    assert len(server.of("ConnectSandbox")) == 3


def test_credentials_are_kept_until_30_s_before_they_expire(server, direct):
    server.on("ConnectSandbox", lambda call: direct.grant(call, expires_in=34), direct.grant)
    sb = run()
    sb.exec(["x"]).result()
    sb.exec(["x"]).result()
    end = server.of("ConnectSandbox")[0].at + 4.5  # the answer was made after that
    assert len(server.of("ConnectSandbox")) == 1
    eventually(lambda: time.monotonic() > end)
    sb.exec(["x"]).result()
    assert len(server.of("ConnectSandbox")) == 2


def test_a_stop_forgets_them(server, direct):
    server.on("DeleteSandbox", Status("UNAVAILABLE"))
    sb = run()
    sb.exec(["x"]).result()
    with pytest.raises(cw.SandboxUnavailableError):
        sb.stop().result()
    eventually(lambda: not direct.open_connections())
    sb.exec(["x"]).result()
    assert len(server.of("ConnectSandbox")) == 2


def test_no_credentials_of_the_api_go_there(server, direct, monkeypatch):
    monkeypatch.setenv("CWSANDBOX_API_KEY", "secret")
    sb = run()
    for operation in OPERATIONS.values():
        operation(sb)
    assert {call.metadata["authorization"] for call in server.calls} == {"Bearer secret"}
    assert len(direct.calls) == len(OPERATIONS)
    assert [call.metadata for call in direct.calls if any("secret" in value for value in call.metadata.values()) or "authorization" in call.metadata] == []


# ---- channels


def test_who_comes_together_shares_a_call_and_a_connection(server, direct):
    sb = run()
    processes = [sb.exec(["x"]) for _ in range(20)]
    assert [p.result().returncode for p in processes] == [0] * 20
    assert len(server.of("ConnectSandbox")) == 1 and len(direct.connections()) == 1


def test_64_idle_channels_are_kept_and_none_in_use_is_closed(server, direct):
    busy = run()
    direct.on("StreamExec", lambda call: iter([ready(), lambda c: c.read() and None, exit_(7)]), [exit_(0)])
    held = busy.exec(["x"], stdin=True)
    direct.wait_for("StreamExec")
    others = [run() for _ in range(66)]
    for sb in others:
        sb.exec(["x"]).result()
    eventually(lambda: len(direct.open_connections()) <= 65)  # the others are closed

    before = len(direct.connections())
    others[-64].exec(["x"]).result()
    assert len(direct.connections()) == before  # it was kept
    others[-65].exec(["x"]).result()
    assert len(direct.connections()) == before + 1  # it was not: less recently used
    assert len(server.of("ConnectSandbox")) == 67

    held.stdin.write(b"go").result()
    assert held.result().returncode == 7


# ---- AUTO falls back

GATEWAY_AFTER = ["DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNIMPLEMENTED", "INTERNAL"]
UNUSABLE = {
    "transport": {"transport": "SANDBOX_DATA_TRANSPORT_UNSPECIFIED"},
    "protocol": {"protocol": "SANDBOX_DATA_PROTOCOL_UNSPECIFIED"},
    "plaintext": {"endpoint_uri": "http://127.0.0.1:1"},
    "path": {"endpoint_uri": "https://127.0.0.1:1/path"},
    "no host": {"endpoint_uri": "https://"},
    "nowhere": {"endpoint_uri": ""},
    "no certificate": {"client_certificate_chain_pem": None},
    "no certificate in it": {"client_certificate_chain_pem": b"hello"},
    "no roots in it": {"server_ca_bundle_pem": b"hello"},
    "29 s": {"expires_in": 29},
    "never": {"expires_at": None},
    "another permission": {"granted_permissions": ["SANDBOX_DATA_PERMISSION_EXEC"]},
    "no permission": {"granted_permissions": []},
}


def falls_back(server, direct):
    sb = run("auto")
    assert sb.exec(["x"]).result().returncode == 0
    assert sb.exec(["x"]).result().returncode == 0
    assert methods(server) == ["StreamExec"] * 2 and methods(direct) == []
    assert len(server.of("ConnectSandbox")) == 1  # and not again for a while


@pytest.mark.parametrize("code", GATEWAY_AFTER)
def test_auto_goes_through_the_api_after_a_status(server, direct, code):
    server.on("ConnectSandbox", Status(code))
    falls_back(server, direct)


@pytest.mark.parametrize("why", UNUSABLE)
def test_auto_goes_through_the_api_after_an_unusable_answer(server, direct, why):
    server.on("ConnectSandbox", lambda call: direct.grant(call, **UNUSABLE[why]))
    falls_back(server, direct)


def test_auto_goes_through_the_api_after_an_answer_that_is_no_message(server, direct):
    server.on("ConnectSandbox", lambda call: b"\xff\xff")
    falls_back(server, direct)


def test_auto_waits_a_second_for_an_answer(server, direct):
    server.on("ConnectSandbox", lambda call: call.hold())
    began = time.monotonic()
    falls_back(server, direct)
    assert time.monotonic() - began >= 0.99
    assert server.of("ConnectSandbox")[0].time_left <= 1.1


@pytest.mark.parametrize("fault", ["refuses", "is silent", "has another name", "has another authority", "refuses our certificate"])
def test_auto_goes_through_the_api_when_the_endpoint(request, server, direct, authority, tmp_path, fault):
    fields = {}
    if fault == "refuses":
        direct.refuse()
    elif fault == "is silent":
        direct.stall()
    elif fault == "has another name":
        fields["endpoint_uri"] = direct.url.replace("127.0.0.1", "localhost")
    elif fault == "has another authority":
        fields["server_ca_bundle_pem"] = Authority(tmp_path).cert.read_bytes()
    else:  # TLS 1.3 tells that only after the client is done
        other = DirectPeer(authority, clients_of=Authority(tmp_path))
        request.addfinalizer(other.close)
        fields["endpoint_uri"] = other.url
    server.on("ConnectSandbox", lambda call: direct.grant(call, **fields))
    falls_back(server, direct)


def test_a_service_without_it_is_not_asked_again_but_what_it_gave_is_used(server, direct):
    server.on("ConnectSandbox", direct.grant, Status("UNIMPLEMENTED"))

    def straight():
        sb = run("auto")
        sb.exec(["x"]).result()
        return sb if direct.of("StreamExec") else server.on("ConnectSandbox", direct.grant, Status("UNIMPLEMENTED"))

    found = []
    eventually(lambda: found.append(straight()) or found[-1])
    sb, asked = found[-1], len(server.of("ConnectSandbox"))
    for _ in range(2):
        sb.read_file("/x").result()
        list(sb.stream_logs())
        sb.exec(["x"]).result()
    assert len(server.of("ConnectSandbox")) == asked + 1
    assert len(server.of("ReadFile")) == len(server.of("StreamLogs")) == 2
    assert len(direct.of("StreamExec")) == 3
    run("auto").exec(["x"]).result()  # it is the object that remembers
    assert len(server.of("ConnectSandbox")) == asked + 2


RAISED = {
    "NOT_FOUND": cw.SandboxNotFoundError, "UNAUTHENTICATED": cw.CWSandboxAuthenticationError,
    "PERMISSION_DENIED": cw.CWSandboxAuthenticationError, "INVALID_ARGUMENT": cw.SandboxError, "CANCELLED": cw.SandboxNotRunningError,
    "UNKNOWN": cw.SandboxError, "ABORTED": cw.SandboxError, "ALREADY_EXISTS": cw.SandboxError, "OUT_OF_RANGE": cw.SandboxError,
    "DATA_LOSS": cw.SandboxError,
}  # fmt: skip


@pytest.mark.parametrize("mode", ["auto", "direct"])
@pytest.mark.parametrize("code", RAISED)
def test_other_statuses_are_raised(server, direct, mode, code):
    server.on("ConnectSandbox", Status(code, "so it is"))
    process = run(mode).exec(["x"])
    assert list(process.stdout) == list(process.stderr) == []  # who reads is told the end
    with pytest.raises(RAISED[code], match="so it is") as caught:
        process.result()
    assert not isinstance(caught.value, cw.SandboxUnavailableError)
    assert methods(server) == methods(direct) == []


# ---- DIRECT


def test_direct_tries_again_while_the_service_is_unavailable(server, direct):
    server.on("ConnectSandbox", Status("UNAVAILABLE"), Status("UNAVAILABLE"), Status("UNAVAILABLE"), direct.grant)
    run().exec(["x"]).result()
    gaps = server.gaps("ConnectSandbox")
    assert [gap >= pause * 0.95 for gap, pause in zip(gaps, (0.2, 0.4, 0.8), strict=True)] == [True] * 3
    assert all(call.time_left <= 5.1 for call in server.of("ConnectSandbox"))


def test_direct_gives_up_after_the_request_timeout_and_rests_not(server, direct):
    server.on("ConnectSandbox", Status("UNAVAILABLE", "not now"))
    sb = run(request_timeout_seconds=0.5)
    with pytest.raises(cw.SandboxUnavailableError, match="Direct data-plane access is unavailable.*not now"):
        sb.exec(["x"]).result()
    assert 1 <= len(server.of("ConnectSandbox")) <= 3
    assert all(call.time_left <= 0.6 for call in server.of("ConnectSandbox"))
    server.on("ConnectSandbox", direct.grant)
    server.on("GetSandbox", sandbox("running"))
    Sandbox.from_id(ID, data_plane_mode="direct").result().exec(["x"]).result()
    assert methods(server) == [] and methods(direct) == ["StreamExec"]


@pytest.mark.parametrize("code", sorted(set(GATEWAY_AFTER) - {"UNAVAILABLE", "INTERNAL"}))
def test_direct_asks_once_for_what_is_not_unavailable_and_again_at_once(server, direct, code):
    server.on("ConnectSandbox", Status(code), direct.grant)
    sb = run()
    with pytest.raises(cw.SandboxUnavailableError, match="Direct data-plane access is unavailable"):
        sb.exec(["x"]).result()
    assert len(server.of("ConnectSandbox")) == 1
    assert sb.exec(["x"]).result().returncode == 0
    assert methods(server) == []


def test_direct_raises_internal_as_it_is(server, direct):
    server.on("ConnectSandbox", Status("INTERNAL", "broken"))
    with pytest.raises(cw.SandboxError, match="broken") as caught:
        run().exec(["x"]).result()
    assert type(caught.value) is cw.SandboxError


@pytest.mark.parametrize("why", UNUSABLE)
def test_direct_does_not_go_round_an_unusable_answer(server, direct, why):
    server.on("ConnectSandbox", lambda call: direct.grant(call, **UNUSABLE[why]))
    with pytest.raises(cw.SandboxUnavailableError, match="Direct data-plane access is unavailable"):
        run().exec(["x"]).result()
    assert methods(server) == methods(direct) == []


def test_direct_waits_for_an_endpoint_that_comes(server, direct):
    direct.refuse()
    process = run().exec(["x"])
    eventually(lambda: direct.refused() >= 2)
    direct.accept()
    assert process.result().returncode == 0


def test_direct_connects_no_longer_than_the_request_timeout(server, direct):
    direct.refuse()
    began = time.monotonic()
    with pytest.raises(cw.SandboxUnavailableError, match="Direct data-plane access is unavailable"):
        run(request_timeout_seconds=3).exec(["x"]).result()
    assert time.monotonic() - began < 10  # 3 s, and what the machine does beside


# ---- what is made again


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_exec_is_made_again_once_before_any_frame(server, direct, code):
    direct.on("StreamExec", [Status(code)], [out(b"second"), exit_(3)])
    process = run().exec(["x"], stdin=True)
    assert "".join(process.stdout) == "second" and process.result().returncode == 3
    assert len(server.of("ConnectSandbox")) == 1
    first, second = direct.of("StreamExec")
    assert first.request == second.request and second.time_left < first.time_left
    same = first.context.peer() == second.context.peer()
    assert same == (code != "UNAVAILABLE")  # that channel is not used again


def test_exec_is_made_again_only_once(server, direct):
    direct.on("StreamExec", [Status("UNAVAILABLE", "gone")])
    process = run().exec(["x"])
    assert list(process.stdout) == []
    with pytest.raises(cw.SandboxUnavailableError, match="gone"):
        process.result()
    assert len(direct.of("StreamExec")) == 2


@pytest.mark.parametrize(
    "frames", [[ready(), Status("UNAVAILABLE")], [out(b"a"), Status("UNAVAILABLE")], [Status("INTERNAL")], [Status("NOT_FOUND")],
               [Status("DEADLINE_EXCEEDED")]], ids=["ready", "output", "internal", "not found", "deadline"])  # fmt: skip
def test_exec_is_not_made_again_after_a_frame_or_for_another_reason(server, direct, frames):
    direct.on("StreamExec", frames)
    with pytest.raises(cw.SandboxError):
        run().exec(["x"]).result()
    assert len(direct.of("StreamExec")) == 1


def test_exec_through_the_api_is_not_made_again(server):
    server.on("StreamExec", [Status("UNAVAILABLE")])
    with pytest.raises(cw.SandboxUnavailableError):
        run("gateway").exec(["x"]).result()
    assert len(server.of("StreamExec")) == 1


def test_the_second_exec_has_the_time_of_the_first(server, direct):
    def fail_for_good(call):
        direct.refuse()
        yield Status("UNAVAILABLE")

    direct.on("StreamExec", fail_for_good)
    process = run().exec(["x"], timeout_seconds=2)
    with pytest.raises(cw.SandboxTimeoutError, match="reconnecting") as caught:
        process.result()
    assert type(caught.value) is cw.SandboxTimeoutError


FILES = {
    "read_file": ("ReadFile", lambda sb: sb.read_file("/x").result() == b"content"),
    "write_file": ("WriteFile", lambda sb: sb.write_file("/x", b"abc").result() is None),
    "write_file of nothing": ("WriteFile", lambda sb: sb.write_file("/x", b"").result() is None),
    "read_file_streaming": ("StreamExec", lambda sb: b"".join(sb.read_file_streaming("/x")) == b"chunk"),
    "write_file_streaming": ("StreamExec", lambda sb: sb.write_file_streaming("/x", b"abc").result() is None),
}


def script(direct, method, *failures):
    """These failures, then what is good; the size probe of a streamed read, which comes first, does not count."""
    good = {"ReadFile": pb.ReadFileResponse(content=b"content"), "WriteFile": pb.WriteFileResponse()}.get(method)
    answers = [*failures, good] if good else [*([failure] for failure in failures), [ready(), out(b"chunk"), exit_(0)]]
    if method != "StreamExec":
        direct.on(method, *answers)
        return

    def answer(call):
        return iter(NO_SIZE if "stat" in " ".join(call.request.init.command) else answers.pop(0))

    direct.on(method, answer)


def data_calls(direct, method):
    calls = direct.of(method)
    return [c.request for c in calls if method != "StreamExec" or "stat" not in " ".join(c.request.init.command)]


@pytest.mark.parametrize("operation", FILES)
def test_files_are_made_again_once_when_a_shard_retires(server, direct, operation):
    method, call = FILES[operation]
    script(direct, method, RETIRING)
    assert call(run())
    first, second = data_calls(direct, method)
    assert first == second and methods(server) == []

    script(direct, method, RETIRING, RETIRING)
    with pytest.raises((cw.SandboxUnavailableError, cw.SandboxFileError)):
        call(run())
    assert len(data_calls(direct, method)) == 4


def test_a_fall_back_by_command_is_made_again_when_a_shard_retires(server, direct):
    direct.on("ReadFile", Status("RESOURCE_EXHAUSTED"))
    direct.on("StreamExec", [RETIRING], [out(b"all"), exit_(0)])
    assert run().read_file("/x").result() == b"all"
    assert len(direct.of("StreamExec")) == 2


def test_a_streamed_read_that_has_delivered_is_not_made_again(server, direct):
    script(direct, "StreamExec")
    direct.on("StreamExec", NO_SIZE, [ready(), out(b"a"), RETIRING])
    reader = run().read_file_streaming("/x")
    assert next(reader) == b"a"
    with pytest.raises(cw.SandboxUnavailableError):
        next(reader)
    assert len(direct.of("StreamExec")) == 2


OTHERS = {
    "bare": Status("UNAVAILABLE"),
    "hinted": Status("UNAVAILABLE", retry=0),
    "another reason": Status("UNAVAILABLE", reason="CWSANDBOX_BACKEND_UNAVAILABLE"),
    "another domain": Status("UNAVAILABLE", reason="CWSANDBOX_RUNNER_SHARD_RETIRING", domain="elsewhere"),
}


@pytest.mark.parametrize("why", OTHERS)
@pytest.mark.parametrize("operation", FILES)
def test_files_are_not_made_again_for_another_reason(server, direct, operation, why):
    method, call = FILES[operation]
    script(direct, method, OTHERS[why])
    with pytest.raises((cw.SandboxUnavailableError, cw.SandboxFileError)):
        call(run())
    assert len(data_calls(direct, method)) == 1 and methods(server) == []


def test_a_lost_connection_is_no_reason_either(server, direct):
    def cut(call):
        direct.cut()
        return pb.ReadFileResponse()

    direct.on("ReadFile", cut)
    with pytest.raises(cw.SandboxUnavailableError):
        run().read_file("/x").result()
    assert len(direct.of("ReadFile")) == 1


@pytest.mark.parametrize("operation", ["read_file", "write_file"])
def test_a_retiring_shard_of_the_api_is_not_tried_again(server, operation):
    method, call = FILES[operation]
    server.on(method, RETIRING)
    with pytest.raises(cw.SandboxUnavailableError):
        call(run("gateway"))
    assert len(server.of(method)) == 1


# ---- logs


def test_each_attempt_of_logs_chooses_anew(server, direct):
    def first(call):
        yield log(b"one\n", session="s", offset=4)
        direct.refuse()  # cuts it, too

    direct.on("StreamLogs", first)
    server.on("StreamLogs", [log(b"two\n", session="s", offset=8)])

    def follow():
        direct.accept()
        lines = list(run("auto").stream_logs(follow=True))
        return lines == ["one\n", "two\n"]

    eventually(follow)  # straight within a second, through the API afterwards
    resumed = server.of("StreamLogs")[-1].request
    assert (resumed.resume_log_session_id, resumed.resume_log_offset) == ("s", 4)
    assert direct.of("StreamLogs")[-1].ended.wait(20)


def test_each_attempt_of_logs_gives_its_channel_back_first(server, direct):
    ended = []

    def second(call):
        ended.append(direct.of("StreamLogs")[0].ended.wait(20))
        return iter([log(b"two\n")])

    direct.on("StreamLogs", [log(b"one\n", session="s", offset=4), Status("UNAVAILABLE")], second)
    assert list(run().stream_logs(follow=True)) == ["one\n", "two\n"]
    a, b = direct.of("StreamLogs")
    assert ended == [True] and a.context.peer() != b.context.peer()
    assert len(server.of("ConnectSandbox")) == 1
    assert methods(server) == []


def test_a_retiring_shard_is_another_attempt_of_logs_also_without_follow(server, direct):
    direct.on("StreamLogs", [RETIRING], [log(b"one\n")])
    assert list(run().stream_logs()) == ["one\n"]
    assert len(direct.of("StreamLogs")) == 2


def test_logs_without_follow_are_not_repeated_for_who_has_some(server, direct):
    direct.on("StreamLogs", [log(b"one\n"), RETIRING])
    reader = run().stream_logs()
    assert next(reader) == "one\n"
    with pytest.raises(cw.SandboxUnavailableError):
        next(reader)
    assert len(direct.of("StreamLogs")) == 1


WRONG_SHARD = Status("UNAVAILABLE", reason="CWSANDBOX_BACKEND_UNAVAILABLE", metadata={"owner_shard_id": "a", "local_shard_id": "b"})


@pytest.mark.parametrize(
    "status, afresh",
    [(WRONG_SHARD, True), (Status("UNAVAILABLE"), False),
     (Status("UNAVAILABLE", reason="CWSANDBOX_BACKEND_UNAVAILABLE", metadata={"owner_shard_id": "a"}), False),
     (Status("UNAVAILABLE", reason="CWSANDBOX_BACKEND_UNAVAILABLE", domain="elsewhere",
             metadata={"owner_shard_id": "a", "local_shard_id": "b"}), False)],
    ids=["wrong shard", "bare", "one of two", "another domain"])  # fmt: skip
def test_logs_begin_afresh_when_the_session_is_another_shards(server, direct, status, afresh):
    direct.on("StreamLogs", [log(b"one\n", session="s", offset=4), Status("UNAVAILABLE")], [status], [log(b"two\n")])
    lines = list(run().stream_logs(follow=True, timestamps=True))
    assert [lines[0], lines[-1]] == ["one\n", "two\n"]
    assert [("another shard has it" in line) for line in lines[1:-1]] == [True] * afresh  # the gap is told
    _, resumed, last = [call.request for call in direct.of("StreamLogs")]
    assert resumed.resume_log_session_id == "s"
    assert last.resume_log_session_id == ("" if afresh else "s")
    assert last.HasField("since_time") == last.timestamps == afresh
