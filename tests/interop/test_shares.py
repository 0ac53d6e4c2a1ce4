"""What one key can do to another by taking what both share: calls, connections, bytes on their way in and out."""

import contextlib
import resource
import uuid

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc
from google.rpc import error_details_pb2, status_pb2

import raw_h2
from raw_h2 import Peer, call_headers, frame, message_prefix
from service import KEY, OPTIONS, OTHER_KEY, TIMEOUT, Service, failure

SANDBOX = "/coreweave.sandbox.v1.SandboxService/"
ALICE, BOB = [("authorization", f"Bearer {KEY}")], [("authorization", f"Bearer {OTHER_KEY}")]
CALLS_MAX, CONNECTIONS_MAX = 20000, 3072  # of one owner


@pytest.fixture(scope="module")
def service():
    with Service() as s:
        yield s


@contextlib.contextmanager
def client(service):
    with grpc.insecure_channel(service.tcp, [*OPTIONS, ("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield rpc.SandboxServiceStub(channel)


def retry_seconds(error: grpc.RpcError) -> float | None:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    return info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    return None


def bob_is_served(service):
    """On a new connection: create, run, write and read a file of the largest size."""
    with client(service) as stub:
        box = service.create(stub=stub, metadata=BOB)
        assert box.sh("echo bob") == "bob\n"
        stub.WriteFile(pb.WriteFileRequest(sandbox_id=box.id, path="/tmp/f", content=bytes(32 << 20)), timeout=TIMEOUT, metadata=BOB)
        assert len(stub.ReadFile(pb.ReadFileRequest(sandbox_id=box.id, path="/tmp/f"), timeout=TIMEOUT, metadata=BOB).content) == 32 << 20
        box.delete()


def alice_is_refused(service, call=lambda stub: stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=ALICE)):
    with client(service) as stub, pytest.raises(grpc.RpcError) as caught:
        call(stub)
    error = failure(lambda: (_ for _ in ()).throw(caught.value))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED, error.text
    assert error.reason == "CWSANDBOX_RUNNER_OVERLOADED"
    assert 0 < retry_seconds(caught.value) <= 10
    return error


def alice_is_served(service):
    with client(service) as stub:
        stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=ALICE)


def open_all_calls(stack, service):
    """All that alice may have, on three connections, none with its request."""
    headers = call_headers(SANDBOX + "Exec", KEY)
    peers = [stack.enter_context(Peer(service.port)) for _ in range(3)]
    left = CALLS_MAX
    for peer in peers:
        n = min(left, 8000)
        peer.send(b"".join(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 2 * i + 1, headers) for i in range(n)))
        peer.send(frame(raw_h2.PING, 0, 0, bytes(8)))
        while peer.receive()[0] != raw_h2.PING:
            pass
        left -= n
    return peers


def test_calls_that_wait_for_their_request(service):
    with contextlib.ExitStack() as stack:
        peers = open_all_calls(stack, service)
        assert "`alice` has 20000 calls open" in alice_is_refused(service).text
        bob_is_served(service)
        with client(service) as stub:  # one less is one more
            peers[0].send(frame(raw_h2.RST_STREAM, 0, 1, b"\0\0\0\x08") + frame(raw_h2.PING, 0, 0, bytes(8)))
            while peers[0].receive()[0] != raw_h2.PING:
                pass
            stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=ALICE)
    bob_is_served(service)


def test_calls_beyond_the_refusals_that_fit_cost_the_connection(service):
    headers = call_headers(SANDBOX + "Exec", KEY)
    with contextlib.ExitStack() as stack:
        open_all_calls(stack, service)
        greedy = stack.enter_context(Peer(service.port, receive_buffer=4096))
        calls = (frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 2 * i + 1, headers) for i in range(50000))
        assert greedy.flood(calls)
        assert service.wait_log('error="too many calls"')
        bob_is_served(service)


def test_requests_that_are_only_announced_cost_nobody_anything(service):
    headers = call_headers(SANDBOX + "WriteFile", KEY)
    with Peer(service.port) as peer:
        for i in range(50):
            peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 2 * i + 1, headers) +
                      frame(raw_h2.DATA, 0, 2 * i + 1, message_prefix(100 << 20)))
        bob_is_served(service)
        with client(service) as stub:
            box = service.create(stub=stub, metadata=ALICE)
            stub.WriteFile(pb.WriteFileRequest(sandbox_id=box.id, path="/tmp/f", content=bytes(3 << 20)), timeout=TIMEOUT, metadata=ALICE)
            box.delete()


def test_requests_that_never_end(service):
    before = service.memory_kib()
    streams = list(range(1, 401, 2))
    with Peer(service.port) as peer:
        for stream in streams:
            peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, stream, call_headers(SANDBOX + "WriteFile", KEY)) +
                      frame(raw_h2.DATA, 0, stream, message_prefix(6 << 20)))
        assert 0 < len(peer.send_messages(streams, 5 << 20)) < len(streams)
        assert service.memory_kib() - before < 1200 << 10  # 768 MiB, and holes
        bob_is_served(service)
        alice_is_served(service)
        error = alice_is_refused(service, lambda stub: stub.WriteFile(
            pb.WriteFileRequest(sandbox_id="sb-0123456789abcdef", path="/f", content=bytes(32 << 20)), timeout=TIMEOUT, metadata=ALICE))
        assert "message" in error.text and "larger than max" in error.text  # what makes clients write in a stream


def test_answers_that_nobody_takes(service):
    before = service.memory_kib()
    with client(service) as stub:
        box = service.create(stub=stub, metadata=ALICE)
        box.sh("head -c 32M /dev/zero > /tmp/f; head -c 60K /dev/zero > /tmp/small")
    with contextlib.ExitStack() as stack:
        for path, n in ("/tmp/f", 40), ("/tmp/small", 400):
            request = pb.ReadFileRequest(sandbox_id=box.id, path=path).SerializeToString()
            peer = stack.enter_context(Peer(service.port, initial_window_size=0))
            for i in range(n):
                peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 2 * i + 1, call_headers(SANDBOX + "ReadFile", KEY)) +
                          frame(raw_h2.DATA, raw_h2.END_STREAM, 2 * i + 1, message_prefix(len(request)) + request))
            answered = set()
            while len(answered) < n:
                kind, _, stream, _ = peer.receive()
                if kind == raw_h2.HEADERS:
                    answered.add(stream)
        assert service.memory_kib() - before < 1200 << 10  # 768 MiB, and holes
        alice_is_refused(service, lambda stub: stub.ReadFile(
            pb.ReadFileRequest(sandbox_id=box.id, path="/tmp/f"), timeout=TIMEOUT, metadata=ALICE))
        bob_is_served(service)
        alice_is_served(service)


def test_output_that_nobody_takes_stops_its_command(service):
    """Two hundred endless commands whose output is never read: none costs more than a little."""
    before = service.memory_kib()
    with client(service) as stub:
        box = service.create(stub=stub, metadata=ALICE)
    request = pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=box.id, command=["yes"])).SerializeToString()
    with Peer(service.port, initial_window_size=0) as peer:
        for i in range(200):
            peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 2 * i + 1, call_headers(SANDBOX + "StreamExec", KEY)) +
                      frame(raw_h2.DATA, raw_h2.END_STREAM, 2 * i + 1, message_prefix(len(request)) + request))
        answered = set()
        while len(answered) < 200:
            kind, _, stream, _ = peer.receive()
            if kind == raw_h2.HEADERS:
                answered.add(stream)
        bob_is_served(service)
        assert service.memory_kib() - before < 250 << 10


def test_connections(service):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < CONNECTIONS_MAX + 1000:
        pytest.skip(f"the limit of descriptors is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    call = frame(raw_h2.HEADERS, raw_h2.END_HEADERS, 1, call_headers(SANDBOX + "ListSandboxes", KEY)) + \
        frame(raw_h2.DATA, raw_h2.END_STREAM, 1, message_prefix(0))
    with contextlib.ExitStack() as stack:
        peers = []
        for _ in range(CONNECTIONS_MAX):
            peer = stack.enter_context(Peer(service.port))
            peer.send(call)
            while peer.receive()[0] != raw_h2.HEADERS:
                pass
            peers.append(peer)
        assert "`alice` has 3072 connections open" in alice_is_refused(service).text
        bob_is_served(service)
        peers[0].send(frame(raw_h2.PING, 0, 0, bytes(8)))  # the refusal cost no connection that was there
        while peers[0].receive()[0] != raw_h2.PING:
            pass
    bob_is_served(service)


def create_request():
    container = pb.Container(name="main", image="python:3.11")
    return pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(containers=[container])), request_id=str(uuid.uuid4()))


def test_creates_of_one_owner_do_not_hold_up_those_of_another(service):
    with client(service) as stub, client(service) as other:
        stub.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=ALICE)  # both are connected
        other.ListSandboxes(pb.ListSandboxesRequest(), timeout=TIMEOUT, metadata=BOB)
        creates = [stub.CreateSandbox.future(create_request(), timeout=TIMEOUT, metadata=ALICE) for _ in range(600)]
        creates[0].result()
        box = service.create(stub=other, metadata=BOB)
        assert sum(not c.done() for c in creates) > 100
        for c in creates:
            box_id = c.result().sandbox_id
            stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=box_id), timeout=TIMEOUT, metadata=ALICE)
        box.delete()


def test_the_last_places_for_sandboxes_are_kept_for_other_owners():
    with Service(args=["--max-sandboxes", "32", "--warm-pool", "0"]) as service, client(service) as stub:
        *requests, one_more = [create_request() for _ in range(32 - 2 * 2 + 1)]  # two for each of two others
        for request in requests:
            stub.CreateSandbox(request, timeout=TIMEOUT, metadata=ALICE)
        with pytest.raises(grpc.RpcError) as caught:
            stub.CreateSandbox(one_more, timeout=TIMEOUT, metadata=ALICE)
        error = failure(lambda: (_ for _ in ()).throw(caught.value))
        assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED and error.reason == "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"
        assert retry_seconds(caught.value) > 0 and "kept for other owners" in error.text
        repeated = stub.CreateSandbox(requests[0], timeout=TIMEOUT, metadata=ALICE)  # exists: costs no place
        for _ in range(2):
            stub.CreateSandbox(create_request(), timeout=TIMEOUT, metadata=BOB)
        stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=repeated.sandbox_id), timeout=TIMEOUT, metadata=ALICE)
        stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=repeated.sandbox_id), timeout=TIMEOUT,
                        metadata=[*ALICE, ("x-cwsandbox-wait", "terminal")])
        stub.CreateSandbox(one_more, timeout=TIMEOUT, metadata=ALICE)


def test_ended_sandboxes_do_not_push_out_those_of_another(service):
    """Three hundred with 1 MiB of specification each: more memory than is kept."""
    before = service.memory_kib()
    with client(service) as stub:
        mine = service.create(command="echo", args=["result of bob"], stub=stub, metadata=BOB)
        mine.get(wait="terminal")
        container = pb.Container(name="main", image="127.0.0.1:1/no-such-image")
        spec = pb.SandboxSpec(containers=[container], annotations={f"k{i}": "x" * 10000 for i in range(100)})
        for _ in range(300):
            stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec)), timeout=TIMEOUT, metadata=ALICE)
        assert mine.get().status.exit_code == 0
        assert service.memory_kib() - before < 400 << 10
        kept = stub.ListSandboxes(pb.ListSandboxesRequest(show_terminated=True, page_size=1000), timeout=TIMEOUT, metadata=ALICE)
        assert len(kept.sandboxes) > 0


def test_sandboxes_that_exist_have_descriptors_left():
    """Connections and sandboxes are refused before the last ones go."""
    with Service(wrapper=("prlimit", "--nofile=400:400"), args=["--warm-pool", "0"]) as service, client(service) as stub:
        boxes, refused = [service.create(stub=stub, metadata=ALICE)], None
        while refused is None and len(boxes) < 400:
            try:
                boxes.append(service.create(stub=stub, metadata=ALICE))
            except grpc.RpcError as error:
                refused = error
        assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and "descriptors" in refused.details()
        assert retry_seconds(refused) > 0
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(ConnectionError):
                for _ in range(400):
                    stack.enter_context(Peer(service.port))
            execs = [stub.Exec.future(pb.ExecRequest(sandbox_id=boxes[0].id, command=["echo", "x"]), timeout=TIMEOUT, metadata=ALICE)
                     for _ in range(6)]
            assert [e.result().stdout for e in execs] == [b"x\n"] * 6
        assert "too few descriptors are left" in service.log()
        boxes[0].delete()
        for box in boxes[1:]:
            box.delete()
        service.create(stub=stub, metadata=ALICE)


def test_calls_without_a_key_do_not_fill_the_log(service):
    with Peer(service.port) as peer:
        for i in range(2000):
            peer.send(frame(raw_h2.HEADERS, raw_h2.END_HEADERS | raw_h2.END_STREAM, 2 * i + 1,
                            call_headers(SANDBOX + "ListSandboxes")))
            while peer.receive()[0] != raw_h2.HEADERS:
                pass
    refused = [line for line in service.log().splitlines() if "call_refused " in line and "owner=- " in line]
    assert 0 < len(refused) < 200
