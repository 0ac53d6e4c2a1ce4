"""What a peer may get wrong, and that the service says so and lives on."""

import os
import signal
import socket

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import settings_pb2, settings_pb2_grpc

import raw_h2
from raw_h2 import Peer, call_headers, frame
from service import KEY, OPTIONS, OTHER_KEY, TIMEOUT, collect, failure

SANDBOX = "/coreweave.sandbox.v1.SandboxService/"
MISSING = "sb-0123456789abcdef"


def raw(service, path, data, **kwargs):
    """A unary call with bytes of our choice."""
    call = service.channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
    return failure(call, data, timeout=TIMEOUT, **kwargs)


@pytest.mark.parametrize("method, request_type", [
    ("GetSandbox", pb.GetSandboxRequest), ("DeleteSandbox", pb.DeleteSandboxRequest), ("ReadFile", pb.ReadFileRequest),
    ("WriteFile", pb.WriteFileRequest), ("Exec", pb.ExecRequest), ("StreamLogs", pb.StreamLogsRequest)])
def test_an_unknown_id_is_not_found(service, method, request_type):
    error = failure(getattr(service.stub, method), request_type(sandbox_id=MISSING), timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.NOT_FOUND and error.reason == "CWSANDBOX_SANDBOX_NOT_FOUND"
    assert MISSING in error.text


def test_an_unknown_id_is_not_found_by_a_stream(service):
    init = pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=MISSING, command=["true"]))
    error = failure(service.stub.StreamExec, iter([init]), timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.NOT_FOUND and error.reason == "CWSANDBOX_SANDBOX_NOT_FOUND"


@pytest.mark.parametrize("command", [[], [""]])
def test_an_empty_command_is_refused(sandbox, command):
    assert failure(sandbox.run, *command).code == grpc.StatusCode.INVALID_ARGUMENT
    error = failure(sandbox.stream, *command)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == ["command"]


def test_an_unknown_container_is_refused(sandbox):
    for call in (lambda: failure(sandbox.run, "true", container="other"),
                 lambda: failure(sandbox.stream, "true", container="other"),
                 lambda: failure(sandbox.logs, container="other")):
        error = call()
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == ["container"]
    assert sandbox.run("true", container="main").exit_code == 0


@pytest.mark.parametrize("data", [b"\x0a\x02\xff\xfe", b"\x0a\x03a\0b", b"\x0a\x7f", b"\xff" * 50, b"\x08\x01"])
def test_bytes_that_are_no_message_are_refused(service, data):
    """Invalid UTF-8, a NUL, a field past the end, noise, a wrong wire type."""
    assert raw(service, SANDBOX + "GetSandbox", data).code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_must_begin_with_init(sandbox):
    error = failure(sandbox.stub.StreamExec, iter([pb.ExecStreamRequest(stdin=b"x")]), timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == ["init"]
    error = failure(sandbox.stub.StreamExec, iter([]), timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    init = pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=sandbox.id, command=["sleep", "1000"]))
    assert failure(sandbox.stub.StreamExec, iter([init, init]), timeout=TIMEOUT).code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_over_the_limit_says_so(service, sandbox):
    error = raw(service, SANDBOX + "WriteFile", b"\x1a" + b"\x80\x80\x80\x3a" + b"x" * (116 << 20))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "message" in error.text and "larger than max" in error.text
    error = raw(service, SANDBOX + "GetSandbox", b"\x0a\x80\x80\x08" + b"x" * (128 << 10))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in error.text
    assert sandbox.sh("echo alive") == "alive\n"


def test_unknown_methods_are_unimplemented(service):
    for path in (SANDBOX + "NoSuchMethod", "/no.such.Service/Method", "/x"):
        assert raw(service, path, b"").code == grpc.StatusCode.UNIMPLEMENTED


def test_methods_of_the_contract_that_are_not_built_say_so(service):
    cases = [
        (settings_pb2_grpc.SettingsServiceStub(service.channel).ListSecretStores, settings_pb2.ListSecretStoresRequest()),
        (service.stub.PurgeSandboxes, pb.PurgeSandboxesRequest()),
    ]
    for call, request in cases:
        error = failure(call, request, timeout=TIMEOUT)
        assert error.code == grpc.StatusCode.UNIMPLEMENTED and error.reason == "CWSANDBOX_NOT_IMPLEMENTED"
        assert "not implemented" in error.text


@pytest.mark.parametrize("method", ["Create", "Get", "List", "Delete"])
def test_a_service_without_snapshots_says_so(service, method):
    error = raw(service, f"{SANDBOX}{method}FileSystemSnapshot{'s' if method == 'List' else ''}", b"")
    assert error.code == grpc.StatusCode.UNIMPLEMENTED and error.reason == "CWSANDBOX_FSS_NOT_SUPPORTED"
    assert "snapshots are not implemented" in error.text


@pytest.mark.parametrize("fields, field", [
    ({"services": [pb.Service(port=0)]}, "services.port"),
    ({"services": [pb.Service(port=80), pb.Service(port=80)]}, "services.port"),
    ({"services": [pb.Service(port=80, visibility=pb.VISIBILITY_PUBLIC)]}, "services.visibility"),
    ({"services": [pb.Service(port=i + 1) for i in range(33)]}, "services"),
    ({"services": [pb.Service(port=1, visibility=pb.VISIBILITY_PUBLIC), pb.Service(port=2, visibility=pb.VISIBILITY_PRIVATE)]},
     "services"),
    ({"volumes": [pb.SandboxVolume()]}, "volumes"),
    ({"network": pb.NetworkOptions(egress=[pb.EgressRule(https_hostname="api.example.org")])}, "dns_name"),
    ({"tags": ["no blanks"]}, "tags"),
    ({"args": ["x" * (128 << 10)]}, "args"),
    ({"environment_variables": {"LONG": "x" * (128 << 10)}}, "environment_variables"),
    ({"resource_requirements": pb.ResourceRequirements(limits=pb.Resources(memory="much"))}, "limits.memory"),
    ({"resource_requirements": pb.ResourceRequirements(limits=pb.Resources(gpu=pb.Gpu(count=1)))}, "gpu"),
    ({"files": [pb.FileMount(path="/a"), pb.FileMount(path="/a")]}, "files"),
    ({"files": [pb.FileMount(path="relative")]}, "files"),
    ({"files": [pb.FileMount(path=f"/f{i}") for i in range(257)]}, "containers[0].files"),
    ({"working_dir": "relative"}, "working_dir"),
    ({"environment_variables": {"A=B": "x"}}, "environment_variables"),
    ({"annotations": {"k": ""}}, "annotations"),
    ({"max_lifetime_seconds": -1}, "max_lifetime_seconds"),
])
def test_a_spec_that_cannot_be_served_names_its_field(service, fields, field):
    error = failure(service.create, **fields)
    assert error.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
    assert error.reason == {grpc.StatusCode.INVALID_ARGUMENT: "CWSANDBOX_INVALID_REQUEST",
                            grpc.StatusCode.UNIMPLEMENTED: "CWSANDBOX_NOT_IMPLEMENTED"}[error.code]
    assert field in error.text and any(field in v for v in error.violations)
    if field == "dns_name":  # what makes the clients' tests skip
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_create_without_a_spec_is_refused(service):
    for request in (pb.CreateSandboxRequest(), pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec()))):
        assert failure(service.stub.CreateSandbox, request, timeout=TIMEOUT).code == grpc.StatusCode.INVALID_ARGUMENT


def test_deletes_that_make_no_sense_are_refused(sandbox):
    assert failure(sandbox.delete, grace=-1).violations == ["grace_period_seconds"]
    assert failure(sandbox.delete, grace=3601).violations == ["grace_period_seconds"]
    error = failure(sandbox.delete, snapshot_volumes=["v"])
    assert error.code == grpc.StatusCode.UNIMPLEMENTED and error.reason == "CWSANDBOX_FSS_NOT_SUPPORTED"
    error = failure(sandbox.delete, snapshot_volumes=["v"], allow_missing=True)
    assert error.reason == "CWSANDBOX_INVALID_REQUEST"
    assert sandbox.get().status.state == pb.STATE_RUNNING


@pytest.mark.parametrize("metadata", [
    None, [("authorization", "Bearer wrong-key-1")], [("authorization", KEY)], [("authorization", "Bearer")],
    [("x-wandb-api-key", KEY)]])
def test_without_a_known_key_tcp_is_closed(service, metadata):
    with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
        stub = rpc.SandboxServiceStub(channel)
        error = failure(stub.ListSandboxes, pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=metadata)
        assert error.code == grpc.StatusCode.UNAUTHENTICATED
        assert KEY not in error.text and "wrong-key" not in error.text
        if metadata and metadata[0][0].startswith("x-wandb"):
            assert "x-wandb-api-key is not accepted" in error.text
        assert "authorization: Bearer" in error.text  # what to send
    assert KEY not in service.log() and "wrong-key" not in service.log()


def test_wandb_keys_are_keys_where_the_operator_says_so(own_service):
    service = own_service(args=["--accept-wandb-keys"])
    with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
        stub = rpc.SandboxServiceStub(channel)
        box = service.create(stub=stub, metadata=[("x-wandb-api-key", KEY), ("x-entity-id", "team")])
        alice = [("authorization", f"Bearer {KEY}")]
        listed = stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=alice)
        assert [s.sandbox_id for s in listed.sandboxes] == [box.id]
        box.delete()
        error = failure(stub.ListSandboxes, pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=[("x-wandb-api-key", "wrong-key-1")])
        assert error.code == grpc.StatusCode.UNAUTHENTICATED and "authorization: Bearer" in error.text
    assert KEY not in service.log() and "wrong-key" not in service.log()


def test_owners_do_not_see_each_other(service):
    with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
        stub = rpc.SandboxServiceStub(channel)
        alice, bob = ([("authorization", f"Bearer {key}")] for key in (KEY, OTHER_KEY))
        box = service.create(stub=stub, metadata=alice)
        assert box.run("true").exit_code == 0
        error = failure(stub.GetSandbox, pb.GetSandboxRequest(sandbox_id=box.id), timeout=TIMEOUT, metadata=bob)
        assert error.code == grpc.StatusCode.NOT_FOUND
        listed = stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=bob)
        assert box.id not in [s.sandbox_id for s in listed.sandboxes]
        assert failure(service.stub.GetSandbox, pb.GetSandboxRequest(sandbox_id=box.id), timeout=TIMEOUT).code \
            == grpc.StatusCode.NOT_FOUND
        box.delete()


def test_keys_are_read_again_on_sighup(own_service):
    service = own_service()
    with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
        stub = rpc.SandboxServiceStub(channel)

        def listing(key):
            return stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT,
                                      metadata=[("authorization", f"Bearer {key}")])
        listing(KEY)
        (service.dir / "keys").write_text("carol:interop-key-3\n")
        service.process.send_signal(signal.SIGHUP)
        service.wait_log("keys_loaded")
        listing("interop-key-3")
        assert failure(listing, KEY).code == grpc.StatusCode.UNAUTHENTICATED
        (service.dir / "keys").write_text("broken\n")
        service.process.send_signal(signal.SIGHUP)
        service.wait_log("keys_kept")
        listing("interop-key-3")


@pytest.mark.parametrize("method", ["ReadFile", "StreamExec"])
def test_an_answer_nobody_takes_ends_with_its_deadline(service, method):
    """A client without room for a single byte, on a live connection: what is kept for it goes when it has given up."""
    stub = rpc.SandboxServiceStub(grpc.insecure_channel(service.tcp, OPTIONS))
    box = service.create(stub=stub, metadata=[("authorization", f"Bearer {KEY}")])
    box.sh("head -c 32M /dev/zero > /tmp/big")
    if method == "ReadFile":
        request = pb.ReadFileRequest(sandbox_id=box.id, path="/tmp/big").SerializeToString()
    else:
        init = pb.ExecStreamInit(sandbox_id=box.id, command=["cat", "/dev/zero"])
        request = pb.ExecStreamRequest(init=init).SerializeToString()
    before = service.memory_kib()
    with Peer(service.port, initial_window_size=0) as peer:
        for stream in range(1, 17, 2):
            peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, stream, call_headers(SANDBOX + method, KEY) +
                            raw_h2.header("grpc-timeout", "5S" if method == "ReadFile" else "1S")) +
                      frame(raw_h2.DATA, raw_h2.END_STREAM, stream, raw_h2.message_prefix(len(request)) + request))
        reset, refused = set(), set()
        while len(reset | refused) < 8:
            kind, flags, stream, _ = peer.receive()
            if kind == raw_h2.RST_STREAM:
                reset.add(stream)
            elif kind == raw_h2.HEADERS and flags & raw_h2.END_STREAM:
                refused.add(stream)  # beyond a share, or its deadline passed before it was read
        assert reset - refused and (method == "ReadFile" or not refused)
        for _ in range(500):
            if service.memory_kib() - before < 32 << 10:
                break
            box.get()  # the clock: a read that was under way ends between calls
        assert service.memory_kib() - before < 32 << 10
    box.delete()


def test_answers_nobody_takes_are_held_up_to_a_limit_and_small_ones_go_on(service):
    """The owner's share of answers that nobody took: beyond it large answers are refused, so that the clients read in a stream."""
    box = service.create()
    box.sh("head -c 32M /dev/zero > /tmp/big; echo small > /tmp/small")
    before = service.memory_kib()
    request = pb.ReadFileRequest(sandbox_id=box.id, path="/tmp/big").SerializeToString()
    with Peer(str(service.socket), initial_window_size=0) as peer:
        for stream in range(1, 81, 2):
            peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, stream, call_headers(SANDBOX + "ReadFile")) +
                      frame(raw_h2.DATA, raw_h2.END_STREAM, stream, raw_h2.message_prefix(len(request)) + request))
        answered = set()
        while len(answered) < 40:
            kind, _, stream, _ = peer.receive()
            if kind == raw_h2.HEADERS:
                answered.add(stream)
        assert service.memory_kib() - before < 1200 << 10  # 768 MiB, and holes
        error = failure(box.read, "/tmp/big")
        assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED and error.reason == "CWSANDBOX_RUNNER_OVERLOADED"
        assert box.read("/tmp/small") == b"small\n"
    for _ in range(500):
        if service.memory_kib() - before < 100 << 10:
            break
        box.get()  # the clock: the service sees the end of that connection between calls
    assert len(box.read("/tmp/big")) == 32 << 20
    box.delete()


def test_large_requests_are_held_up_to_a_limit_and_small_ones_go_on(service):
    """The owner's share of requests that are arriving: 200 files of 6 MiB of which 5 come."""
    box = service.create()
    before = service.memory_kib()
    streams = range(1, 401, 2)
    with Peer(str(service.socket)) as peer:
        for stream in streams:
            peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, stream, call_headers(SANDBOX + "WriteFile")) +
                      frame(raw_h2.DATA, 0, stream, raw_h2.message_prefix(6 << 20)))
        refused = peer.send_messages(list(streams), 5 << 20)
        assert 0 < len(refused) < len(streams)
        error = failure(box.write, "/tmp/f", bytes(6 << 20))
        assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "message" in error.text and "larger than max" in error.text  # what makes the clients write in a stream
        box.write("/tmp/f", bytes(32 << 10))
        assert service.memory_kib() - before < 1200 << 10  # 768 MiB, and holes
    for _ in range(500):
        if service.memory_kib() - before < 100 << 10:
            break
        box.get()
    box.write("/tmp/f", bytes(6 << 20))
    box.delete()


def test_noise_on_the_socket_hurts_nobody(service, sandbox):
    for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(4096), b""):
        with socket.create_connection(("127.0.0.1", service.port)) as s:
            s.settimeout(TIMEOUT)
            s.sendall(noise)
            s.shutdown(socket.SHUT_WR)
            try:
                while s.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    assert collect(sandbox.stream("echo", "alive"))[0] == b"alive\n"
