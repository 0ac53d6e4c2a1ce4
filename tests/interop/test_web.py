"""The web front (--front): URLs of services, what passes to the program inside and back, who may visit, and what visitors cannot do."""

import contextlib
import json
import os
import signal
import socket
import ssl
import uuid
from base64 import b64encode
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from coreweave.sandbox.v1 import discovery_pb2, discovery_pb2_grpc
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

from service import KEY, OTHER_KEY, TIMEOUT, Service, failure, free_port

APP = (Path(__file__).parent / "web_app.py").read_text()
PORT = 8000
ALICE = (("authorization", f"Bearer {KEY}"),)
MIB = 1 << 20


def endpoint(auth=pb.ENDPOINT_AUTH_OPEN, **fields):
    return pb.EndpointSpec(kind=pb.ENDPOINT_KIND_HTTPS, auth=auth, **fields)


def public(port=PORT, **fields):
    return pb.Service(port=port, visibility=pb.VISIBILITY_PUBLIC, **fields)


class Visitor:
    """One connection to the host of a URL."""

    def __init__(self, service, url):
        parts = urlsplit(url)
        self.host, self.answers = parts.netloc, []
        self.socket = socket.create_connection(("127.0.0.1", parts.port), timeout=TIMEOUT)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=service.certificate)
            self.socket = context.wrap_socket(self.socket, server_hostname=parts.hostname)

    def send(self, method="GET", target="/", body=b"", version="1.1", host=None, **fields):
        lines = [f"{method} {target} HTTP/{version}", f"Host: {host or self.host}",
                 *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
        if body and "Transfer_Encoding" not in fields:
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return self.answer(method)

    def answer(self, method="GET"):
        answer = HTTPResponse(self.socket, method=method)
        answer.begin()
        self.answers.append(answer)
        return answer

    def get(self, target="/", **fields):
        answer = self.send(target=target, **fields)
        return answer.status, answer.read()

    def is_closed(self):
        try:
            return self.socket.recv(1) == b""
        except OSError:
            return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        for answer in self.answers:  # each holds the socket, too
            answer.close()


def visit(service, url, target="/", **fields):
    with Visitor(service, url) as v:
        return v.get(target, **fields)


def until(condition):
    """Asks until it is so; the test's own time-out ends it."""
    while not condition():
        pass


def url_of(message, i=0):
    status = message.status.services[i]
    return status.endpoint.url or status.url


@pytest.fixture(scope="module")
def service(front_args):
    with Service(args=front_args) as s:
        s.certificate = front_args.certificate
        s.front_port = front_args.port
        yield s


@pytest.fixture(scope="module")
def box(service):
    """The program listens, with an open endpoint."""
    b = service.create("python3", ["-c", APP], services=[public(name="web", endpoint=endpoint())])
    b.url = url_of(b.message)
    until(lambda: visit(service, b.url, "/echo")[0] == 200)
    yield b
    b.delete()


@pytest.fixture(scope="module", autouse=True)
def patient(service, box):
    """Two who wait for the whole module: a head that does not end, and a request that is not answered."""
    with Visitor(service, box.url) as late, Visitor(service, box.url) as slow:
        late.socket.sendall(b"GET / HTTP/1.1\r\nX: ")
        slow.socket.sendall(f"GET /never HTTP/1.1\r\nHost: {slow.host}\r\n\r\n".encode())
        yield late, slow


# ---- what passes ----


def test_a_url_is_told_and_leads_inside(service, box):
    status = box.get().status.services[0]
    assert status.endpoint == pb.EndpointStatus(kind=pb.ENDPOINT_KIND_HTTPS, auth=pb.ENDPOINT_AUTH_OPEN, request_timeout_seconds=15,
                                                url=f"https://{PORT}-{box.id}.sandbox.localhost:{service.front_port}")
    assert (status.port, status.name, status.url) == (PORT, "web", "")
    assert visit(service, status.endpoint.url, "/hello?x=y")[1] == b"hello x=y"


def test_502_until_the_program_listens(service):
    b = service.create(services=[public(9, endpoint=endpoint())])
    status, text = visit(service, url_of(b.message))
    assert status == 502 and b"nothing listens on port 9" in text
    b.delete()


def test_what_is_between_neighbours_stays_there(service, box):
    with Visitor(service, box.url) as v:
        answer = v.send(target="/echo", Connection="close, X-Mine", X_Mine="1", Te="trailers", Keep_Alive="5", Upgrade="h2c",
                        X_Forwarded_For="6.6.6.6", X_Real_IP="6.6.6.6", Forwarded="for=6.6.6.6", X_Other="stays")
        seen = {k.lower(): value for k, value in json.load(answer)}
        assert seen["x-other"] == "stays" and seen["host"] == v.host
        assert (seen["x-forwarded-for"], seen["x-forwarded-proto"], seen["x-forwarded-host"]) == ("127.0.0.1", "https", v.host)
        assert not {"x-mine", "te", "keep-alive", "upgrade", "x-real-ip", "forwarded", "connection"} & set(seen)
        assert answer.getheader("connection") == "close" and answer.getheader("x-hop") is None
        assert v.is_closed()


def test_bodies_pass_in_every_framing(service, box):
    with Visitor(service, box.url) as v:
        assert v.send("POST", "/upload", b"x" * 100_000).read() == b"100000"
        chunks = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
        assert v.send("POST", "/mirror", chunks, Transfer_Encoding="chunked").read() == b"hello world"
        assert v.send("PUT", "/mirror", b"until close", Expect="100-continue").read() == b"until close"
        assert v.get("/chunked")[1] == b"one two"
        assert v.get("/until-close")[1] == b"all of it"
        assert v.send("HEAD", "/hello").getheader("content-length") == "6"
        assert v.get("/nothing") == (204, b"")
        assert v.get("/hello")[1] == b"hello "


def test_an_old_client_gets_no_chunks(service, box):
    with Visitor(service, box.url) as v:
        answer = v.send(target="/chunked", version="1.0")
        assert answer.getheader("transfer-encoding") is None
        assert answer.read() == b"one two"


def test_requests_in_one_packet_are_answered_in_order(service, box):
    with Visitor(service, box.url) as v:
        one = f"GET /hello?%d HTTP/1.1\r\nHost: {v.host}\r\n\r\n"
        v.socket.sendall("".join(one % i for i in range(50)).encode())
        assert [v.answer().read() for _ in range(50)] == [b"hello %d" % i for i in range(50)]


def test_a_connection_inside_is_kept_and_made_again(service, box):
    with Visitor(service, box.url) as v:
        assert v.get("/peer") == v.get("/peer")
        assert v.get("/close-in-silence")[0] == 200
        for _ in range(3):
            assert v.get("/close-in-silence")[0] == 200


def test_server_sent_events_come_one_by_one_until_the_visitor_leaves(service, box):
    with Visitor(service, box.url) as v:
        answer = v.send(target="/events")
        assert answer.getheader("content-type") == "text/event-stream"
        assert [answer.readline() for _ in range(4)] == [b"data: 0\n", b"\n", b"data: 1\n", b"\n"]
    box.sh("until [ -e /tmp/events-left ]; do :; done")


def test_a_websocket_is_a_stream_both_ways(service, box):
    with Visitor(service, box.url) as v:
        key = b64encode(os.urandom(16)).decode()
        answer = v.send(target="/socket", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key=key, Sec_WebSocket_Version="13")
        assert answer.status == 101 and answer.getheader("upgrade") == "websocket" and answer.getheader("sec-websocket-accept")
        for text in (b"one", b"two" * 20):
            v.socket.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
            frame = answer.fp.read(2 + len(text))
            assert frame == bytes([0x81, len(text)]) + text
        v.socket.sendall(bytes([0x88, 0x80, 0, 0, 0, 0]))
        assert answer.fp.read() == b"\x88\x00"


def test_a_cut_answer_looks_cut(service, box):
    for target in ("/cut-length", "/cut-chunks"):
        with Visitor(service, box.url) as v, pytest.raises((IncompleteRead, ConnectionError, ssl.SSLError)):
            v.send(target=target).read()


def test_cookies_stay_with_their_host(service, box):
    with Visitor(service, box.url) as v:
        answer = v.send(target="/cookies")
        assert answer.headers.get_all("set-cookie") == ["a=1; Path=/", f"c=3; Domain={v.host.split(':')[0]}; Secure"]


def test_interim_answers_are_not_stored(service, box):
    before = service.memory_peak_kib()
    with Visitor(service, box.url) as v, Visitor(service, box.url) as other:
        v.socket.sendall(f"GET /hints?2000 HTTP/1.1\r\nHost: {v.host}\r\n\r\n".encode())
        for _ in range(200):  # v reads nothing meanwhile
            assert other.get("/hello")[0] == 200
        assert v.answer().status == 200  # http.client skips those before
    assert service.memory_peak_kib() - before < 12 * 1024


def test_much_is_never_whole_in_memory(service, box):
    before = service.memory_peak_kib()
    with Visitor(service, box.url) as v, Visitor(service, box.url) as other:
        answer = v.send(target=f"/big?{128 * MIB}")
        assert other.get("/hello")[0] == 200  # one who does not read costs others nothing
        n = 0
        while part := answer.read(MIB):
            n += len(part)
        assert n == 128 * MIB
        body = b"x" * (64 * MIB)
        assert v.send("POST", "/upload", body).read() == str(len(body)).encode()
    assert service.memory_peak_kib() - before < 24 * 1024


# ---- who may ----


def test_other_hosts_are_nobody(service, box):
    for host in ("sandbox.localhost", "127.0.0.1", f"8001-{box.id}.sandbox.localhost", f"{PORT}-{box.id}", f"x.{PORT}-{box.id}.sandbox.localhost",
                 f"{PORT}-{box.id}.sandbox.localhost.example.org", f"{PORT}-sb-0000000000000000.sandbox.localhost"):
        assert visit(service, box.url, host=host)[0] == 404, host
    assert visit(service, box.url, "/hello", host=f"{PORT}-{box.id.upper()}.SANDBOX.LOCALHOST:1")[0] == 200


def test_a_share_token_opens_its_sandbox(service, box):
    request = pb.CreateSandboxRequest(request_id=str(uuid.uuid4()), sandbox=pb.Sandbox(spec=pb.SandboxSpec(
        containers=[pb.Container(name="main", image="python:3.11", command="python3", args=["-c", APP])],
        services=[public(endpoint=endpoint(pb.ENDPOINT_AUTH_SHARE_TOKEN, request_timeout_seconds=60))])))
    created = service.stub.CreateSandbox(request, timeout=TIMEOUT)
    token, url = created.endpoint_share_token, url_of(created)
    assert len(token) >= 43 and service.stub.CreateSandbox(request, timeout=TIMEOUT).endpoint_share_token == token
    assert created.status.services[0].endpoint.request_timeout_seconds == 60
    got = service.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=created.sandbox_id), timeout=TIMEOUT)
    assert got.endpoint_share_token == "" and token not in str(got)
    until(lambda: visit(service, url, X_Sandbox_Share_Token=token)[0] != 502)

    def check():
        assert visit(service, url)[0] == 401
        assert visit(service, url, X_Sandbox_Share_Token=token[:-1])[0] == 401
        assert visit(service, url, f"/hello?share_token={token}x")[0] == 401
        assert visit(service, url, f"/hello?a=1&share_token={token}&b=2") == (200, b"hello a=1&b=2")
        seen = visit(service, url, "/echo", X_Sandbox_Share_Token=token)[1]
        assert token.encode() not in seen and b"share" not in seen.lower()

    check()
    service.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=created.sandbox_id), timeout=TIMEOUT)
    assert visit(service, url, X_Sandbox_Share_Token=token)[0] == 404


def test_private_is_for_the_owner(service):
    stub = rpc.SandboxServiceStub(grpc.insecure_channel(service.tcp))
    private = pb.Service(port=PORT, visibility=pb.VISIBILITY_PRIVATE)
    b = service.create("python3", ["-c", APP], stub=stub, metadata=ALICE, services=[private])
    url = url_of(b.message)
    until(lambda: visit(service, url, Authorization=f"Bearer {KEY}")[0] != 502)
    assert [visit(service, url, "/hello", **fields)[0] for fields in (
        {}, {"Authorization": f"Bearer {OTHER_KEY}"}, {"Authorization": KEY}, {"Authorization": f"bearer {KEY}"})] == [401, 401, 401, 200]
    assert KEY.encode() not in visit(service, url, "/echo", Authorization=f"Bearer {KEY}")[1]
    b.delete()
    assert failure(service.create, services=[private]).reason == "CWSANDBOX_NOT_IMPLEMENTED"  # a user of this machine has no key


def test_what_is_not_offered_is_refused_by_its_reason(service):
    private = pb.Service(port=2, visibility=pb.VISIBILITY_PRIVATE)
    for services, reason in (
            ([public(), private], "CWSANDBOX_NOT_IMPLEMENTED"),
            ([public(protocol=pb.SERVICE_PROTOCOL_UDP)], "CWSANDBOX_NOT_IMPLEMENTED"),
            ([pb.Service(port=1, visibility=pb.VISIBILITY_CUSTOM)], "CWSANDBOX_NOT_IMPLEMENTED")):
        f = failure(service.create, services=services)
        assert (f.code, f.reason) == (grpc.StatusCode.UNIMPLEMENTED, reason)
    for bad in (public(endpoint=endpoint(request_timeout_seconds=14)), public(endpoint=endpoint(request_timeout_seconds=901)),
                public(endpoint=endpoint(pb.ENDPOINT_AUTH_UNSPECIFIED)),
                public(endpoint=pb.EndpointSpec(kind=pb.ENDPOINT_KIND_TLS_PASSTHROUGH, auth=pb.ENDPOINT_AUTH_OPEN)), pb.Service(port=1, endpoint=endpoint())):
        assert failure(service.create, services=[bad]).code == grpc.StatusCode.INVALID_ARGUMENT
    assert failure(service.create, services=[public(), public(protocol=pb.SERVICE_PROTOCOL_TCP)]).violations


def test_discovery_says_what_can_be_seen(service):
    def runners(channel, **fields):
        stub = discovery_pb2_grpc.DiscoveryServiceStub(channel)
        request = discovery_pb2.ListAvailableRunnersRequest(**fields)
        return stub.ListAvailableRunners(request, timeout=TIMEOUT, metadata=ALICE).runners

    with grpc.insecure_channel(service.tcp) as tcp:
        one, = runners(tcp)
        assert list(one.capabilities.supported_service_visibilities) == [pb.VISIBILITY_PUBLIC, pb.VISIBILITY_PRIVATE]
        assert runners(tcp, service_visibility=pb.VISIBILITY_PRIVATE) and not runners(tcp, service_visibility=pb.VISIBILITY_CUSTOM)
    one, = runners(service.channel, service_visibility=pb.VISIBILITY_PUBLIC)
    assert list(one.capabilities.supported_service_visibilities) == [pb.VISIBILITY_PUBLIC]


TLS_APP = """
import socket, ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/certificate", "/key")
server = socket.create_server(("127.0.0.1", 443))
while True:
    with server.accept()[0] as c:
        try:
            with context.wrap_socket(c, server_side=True) as tls:
                tls.sendall(b"inside: " + tls.recv(100))
        except OSError:
            pass
"""


def test_tls_is_passed_through_by_its_name(service, box, front_args):
    files = [pb.FileMount(path="/" + name, content=(front_args.directory / f"{name}.pem").read_bytes()) for name in ("certificate", "key")]
    passthrough = pb.EndpointSpec(kind=pb.ENDPOINT_KIND_TLS_PASSTHROUGH)
    b = service.create("python3", ["-c", TLS_APP], files=files, services=[public(443, endpoint=passthrough), public(8000)])
    status = b.get().status.services[0]
    host = f"443-{b.id}.sandbox.localhost"
    assert status.endpoint == pb.EndpointStatus(kind=pb.ENDPOINT_KIND_TLS_PASSTHROUGH, address=f"{host}:{service.front_port}") and not status.url
    inside = ssl.create_default_context(cafile=front_args.certificate)

    def ask(server_hostname):
        with socket.create_connection(("127.0.0.1", service.front_port), timeout=TIMEOUT) as plain:
            with inside.wrap_socket(plain, server_hostname=server_hostname) as tls:
                tls.sendall(b"hello")
                return tls.recv(100)

    def listens():
        with contextlib.suppress(OSError):
            return ask(host) == b"inside: hello"

    until(listens)
    assert visit(service, box.url, host=host)[0] == 404  # TLS with the front, and then the other's name
    with Visitor(service, box.url) as v, socket.create_connection(("127.0.0.1", service.front_port), timeout=TIMEOUT) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)
        assert v.get("/hello")[0] == 200
    b.delete()
    with pytest.raises(OSError):
        ask(host)


# ---- what visitors cannot do ----


def test_smuggled_requests_are_refused_and_never_seen(service, box):
    seen = box.sh("cat /tmp/requests | wc -l")
    for head in ("Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 5",
                 "Transfer-Encoding: xchunked", "Content-Length : 5", "X: a\n\tb"):
        with Visitor(service, box.url) as v:
            v.socket.sendall(f"POST /count HTTP/1.1\r\nHost: {v.host}\r\n{head}\r\n\r\n0\r\n\r\nGET /count HTTP/1.1\r\n\r\n".encode())
            assert v.answer().status in (400, 501), head
            assert v.is_closed() or not v.socket.recv(100).startswith(b"HTTP"), head
    assert box.sh("cat /tmp/requests | wc -l") == seen


def test_a_head_has_its_limit(service, box):
    with Visitor(service, box.url) as v:
        assert v.send(X_Long="a" * 40_000).status == 431


def test_the_end_of_a_sandbox_is_the_end_of_its_url(service):
    b = service.create("python3", ["-c", APP], services=[public()])
    url = url_of(b.message)
    assert url.startswith("https://")
    until(lambda: visit(service, url)[0] != 502)
    with Visitor(service, url) as v:
        answer = v.send(target=f"/big?{1 << 30}")
        assert answer.read(1) == b"x"
        b.delete()
        with pytest.raises((IncompleteRead, ConnectionError, ssl.SSLError)):
            answer.read()
    assert visit(service, url)[0] == 404
    assert url_of(b.get()) == ""


def test_without_tls_there_are_plain_urls_and_no_endpoints():
    port = free_port()
    with Service(as_user=os.geteuid() == 0, args=["--front", f"http://127.0.0.1:{port}", "--front-domain", "boxes.test:80",
                                                  "--accept-unenforced-limits"]) as s:
        b = s.create("python3", ["-c", APP], services=[public()])
        assert url_of(b.message) == f"http://{PORT}-{b.id}.boxes.test:80"
        local = f"http://{PORT}-{b.id}.boxes.test:{port}"
        until(lambda: visit(s, local)[0] != 502)
        assert b'"http"' in visit(s, local, "/echo")[1]
        f = failure(s.create, services=[public(endpoint=endpoint(pb.ENDPOINT_AUTH_SHARE_TOKEN))])
        assert f.reason == "CWSANDBOX_HTTPS_SHARE_TOKEN_NOT_SUPPORTED"
        f = failure(s.create, services=[public(endpoint=pb.EndpointSpec(kind=pb.ENDPOINT_KIND_TLS_PASSTHROUGH))])
        assert f.reason == "CWSANDBOX_TLS_PASSTHROUGH_ENDPOINTS_NOT_SUPPORTED"


@pytest.mark.parametrize("args, text", [
    (["--front", "http://0.0.0.0:1"], "without TLS only on loopback"),
    (["--front", "https://127.0.0.1:1"], "needs --tls-cert and --tls-key"),
    (["--front", "unix:///x"], "is not http or https"),
    (["--front-domain", "x"], "needs --front"),
    (["--front", "http://127.0.0.1:1", "--front-domain", "a b"], "is not NAME or NAME:PORT"),
])
def test_a_front_that_cannot_be_is_told_at_once(args, text):
    with Service(args=args, expect_ready=False) as s:
        assert text in s.ready


def test_time_ends_what_does_not_go_on(patient):
    late, slow = patient
    assert late.answer().status == 408
    answer = slow.answer()
    assert answer.status == 504 and b"did not answer in time" in answer.read()


def test_those_who_say_nothing_make_room(service, box):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(("127.0.0.1", service.front_port))) for _ in range(600)]
        assert visit(service, box.url, "/hello")[0] == 200
        silent[0].settimeout(TIMEOUT)
        assert silent[0].recv(1) == b""  # the oldest went first


def test_urls_and_tokens_outlive_the_daemon(service, box):
    request = pb.CreateSandboxRequest(request_id=str(uuid.uuid4()), sandbox=pb.Sandbox(spec=pb.SandboxSpec(
        containers=[pb.Container(name="main", image="python:3.11")],
        services=[public(endpoint=endpoint(pb.ENDPOINT_AUTH_SHARE_TOKEN))])))
    before = service.stub.CreateSandbox(request, timeout=TIMEOUT)
    os.kill(service.daemon_pid(), signal.SIGKILL)
    service.wait_log("front url=", 2)
    assert visit(service, box.url, "/hello") == (200, b"hello ")
    assert visit(service, url_of(before))[0] == 401
    assert visit(service, url_of(before), X_Sandbox_Share_Token=before.endpoint_share_token)[0] == 502
    assert service.stub.CreateSandbox(request, timeout=TIMEOUT, wait_for_ready=True).endpoint_share_token == before.endpoint_share_token
