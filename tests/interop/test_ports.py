"""StreamExec to a port of a sandbox with grpcio: what goes over the wire, and what is refused. Who listens is a program inside."""

import queue

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from service import KEY, OTHER_KEY, TIMEOUT, Service, failure

PORT = "x-cwsandbox-exec-port"
SERVER = """
import socket
s = socket.create_server(("127.0.0.1", 7000))
def serve(c):
    c.sendall(b"hello")
    if c.recv(1) == b"r": c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
    else: c.shutdown(socket.SHUT_WR), c.recv(100)
    c.close()
while True:
    try: serve(s.accept()[0])
    except OSError: pass
"""
UP = "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 7000))' 2>/dev/null; do :; done"


class Talk:
    """One call, whose messages the test decides on."""

    def __init__(self, box, port, metadata=(), **init):
        self.requests = queue.Queue()
        self.requests.put(pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=box.id, **init)))
        self.call = box.stub.StreamExec(iter(self.requests.get, None), timeout=TIMEOUT, metadata=[*metadata, (PORT, str(port))])

    def send(self, **message):
        self.requests.put(pb.ExecStreamRequest(**message))

    def end(self):
        self.requests.put(None)

    def next(self):
        return next(self.call)

    def failure(self):
        self.end()
        return failure(lambda: list(self.call))


@pytest.fixture(scope="module")
def service():
    with Service() as s:
        yield s


@pytest.fixture(scope="module")
def box(service):
    b = service.create("python3", ["-c", SERVER])
    b.sh(UP)
    yield b
    b.delete()


def greeted(box):
    talk = Talk(box, 7000)
    assert talk.next().HasField("ready")
    out = talk.next().output
    assert (out.stream, out.data) == (pb.ExecStreamOutput.STREAM_STDOUT, b"hello")
    return talk


def test_both_ends_of_file_are_told_and_then_the_exit(box):
    talk = greeted(box)
    talk.send(stdin=b"x")
    assert talk.next().output == pb.ExecStreamOutput(stream=pb.ExecStreamOutput.STREAM_STDOUT)  # no bytes: the inside's end
    talk.send(stdin=b"it still reads")
    talk.send(close=pb.ExecStreamClose())
    assert talk.next().exit.exit_code == 0
    assert not list(talk.call)
    talk.end()


def test_a_half_close_is_an_end_of_file_too(box):
    talk = greeted(box)
    talk.end()
    assert [message.WhichOneof("message") for message in talk.call] == ["output", "exit"]


def test_a_reset_is_no_end(box):
    talk = greeted(box)
    talk.send(stdin=b"r")
    error = talk.failure()
    assert error.code == grpc.StatusCode.ABORTED and "port 7000" in error.text


def test_nobody_listens(box):
    error = Talk(box, 7001).failure()
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CWSANDBOX_PORT_NOT_LISTENING")
    assert f"port 7001 of sandbox {box.id}" in error.text


@pytest.mark.parametrize("port", ["", "0", "65536", "-1", "8 0", "http", "99999999999999999999"])
def test_what_is_no_port_is_refused(box, port):
    error = Talk(box, port).failure()
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and "port" in error.text


@pytest.mark.parametrize("metadata, init", [
    ([], {"command": ["true"]}), ([], {"tty": True}), ([], {"env": {"A": "B"}}),
    ([("x-cwsandbox-exec-user", "0")], {}), ([("x-cwsandbox-exec-cwd-bin", b"/")], {}),
])
def test_a_command_beside_a_port_is_refused(box, metadata, init):
    assert Talk(box, 7000, metadata, **init).failure().code == grpc.StatusCode.INVALID_ARGUMENT


def test_a_command_that_is_not_streamed_has_no_port(box):
    error = failure(box.stub.Exec, pb.ExecRequest(sandbox_id=box.id, command=["true"]), timeout=TIMEOUT, metadata=[(PORT, "7000")])
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT


def test_services_that_need_no_address_are_told_again_and_reached(service):
    asked = [pb.Service(port=7000, name="web"), pb.Service(port=53, protocol=pb.SERVICE_PROTOCOL_UDP)]
    b = service.create("python3", ["-c", SERVER], services=asked)
    b.sh(UP)
    for answer in (b.message, b.get()):
        assert list(answer.spec.services) == asked
        assert [(s.port, s.name, s.protocol, s.visibility, s.url, s.HasField("endpoint")) for s in answer.status.services] == [
            (7000, "web", 0, 0, "", False), (53, "", pb.SERVICE_PROTOCOL_UDP, 0, "", False)]
    assert Talk(b, 7000).next().HasField("ready")
    b.delete()


def test_ports_of_another_owners_sandbox_are_not_there(service):
    with grpc.insecure_channel(service.tcp) as channel:
        from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

        stub = rpc.SandboxServiceStub(channel)
        alices = service.create("python3", ["-c", SERVER], stub=stub, metadata=[("authorization", f"Bearer {KEY}")])
        alices.sh(UP)
        assert Talk(alices, 7000, [("authorization", f"Bearer {KEY}")]).next().HasField("ready")
        error = Talk(alices, 7000, [("authorization", f"Bearer {OTHER_KEY}")]).failure()
        assert (error.code, error.reason) == (grpc.StatusCode.NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND")
        alices.delete()
