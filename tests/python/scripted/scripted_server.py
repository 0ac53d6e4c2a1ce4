"""A service whose every answer is written by the test: what a healthy service cannot show.

A ScriptedServer is a real gRPC server (grpcio) on loopback behind a relay. Without a script it behaves like a small healthy
service: Create accepts, Get says RUNNING, Delete accepts and Get says COMPLETED afterwards, StreamExec exits with 0. A test
replaces what it needs::

    server.on("GetSandbox", sandbox("creating"), Status("UNAVAILABLE", retry=0.2), sandbox("running"))

gives these answers in order; the last one is repeated. An answer is a message, a Status, an exception-free function of the Call, or
for streams a list of answers or a generator function of the Call. Every call is recorded in ``server.calls``.

The relay is how the server dies: ``server.cut()`` drops all connections after what was written has been passed on.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import defaultdict
from concurrent import futures

import grpc
import messages  # noqa: F401  makes the next imports work
from coreweave.sandbox.v1 import discovery_pb2, settings_pb2, volume_pb2
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

DOMAIN = "cwsandbox.com"
DETAILS = "grpc-status-details-bin"
ID = "sb-scripted"
SERVICE = "coreweave.sandbox.v1.SandboxService"

REQUESTS = {
    "CreateSandbox": pb.CreateSandboxRequest,
    "GetSandbox": pb.GetSandboxRequest,
    "ListSandboxes": pb.ListSandboxesRequest,
    "DeleteSandbox": pb.DeleteSandboxRequest,
    "StreamExec": pb.ExecStreamRequest,
    "StreamLogs": pb.StreamLogsRequest,
    "WriteFile": pb.WriteFileRequest,
    "ReadFile": pb.ReadFileRequest,
    "ConnectSandbox": pb.ConnectSandboxRequest,
    "CreateSandboxFromTemplate": pb.CreateSandboxFromTemplateRequest,
    "CreateSandboxFromFile": pb.CreateSandboxFromFileRequest,
    "CreateFileSystemSnapshot": pb.CreateFileSystemSnapshotRequest,
    "GetFileSystemSnapshot": pb.GetFileSystemSnapshotRequest,
    "ListFileSystemSnapshots": pb.ListFileSystemSnapshotsRequest,
    "DeleteFileSystemSnapshot": pb.DeleteFileSystemSnapshotRequest,
    "GetFileSystemSnapshotBucketConfig": settings_pb2.GetFileSystemSnapshotBucketConfigRequest,
    "UpdateFileSystemSnapshotBucketConfig": settings_pb2.UpdateFileSystemSnapshotBucketConfigRequest,
    **{f"{verb}Volume{s}": getattr(volume_pb2, f"{verb}Volume{s}Request")
       for verb, s in (("Create", ""), ("Get", ""), ("List", "s"), ("Update", ""), ("Delete", ""), ("Validate", ""))},
    "ListAvailableRunners": discovery_pb2.ListAvailableRunnersRequest,
    "GetAvailableRunner": discovery_pb2.GetAvailableRunnerRequest,
}
OTHER_SERVICES = {  # methods that are not of the SandboxService
    "GetFileSystemSnapshotBucketConfig": "coreweave.sandbox.v1.SettingsService",
    "UpdateFileSystemSnapshotBucketConfig": "coreweave.sandbox.v1.SettingsService",
    **dict.fromkeys(["CreateVolume", "GetVolume", "ListVolumes", "UpdateVolume", "DeleteVolume", "ValidateVolume"],
                    "coreweave.sandbox.v1.VolumeService"),
    "ListAvailableRunners": "coreweave.sandbox.v1.DiscoveryService",
    "GetAvailableRunner": "coreweave.sandbox.v1.DiscoveryService",
}


class Status:
    """The end of a call that failed: a code with details in the form of google.rpc.Status."""

    def __init__(self, code, text="", *, reason="", domain=DOMAIN, metadata=None, retry=None, violations=(), raw=None):
        self.code, self.text, self.raw = getattr(grpc.StatusCode, code), text, raw
        details = []
        if reason:
            details.append(error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata or {}))
        if retry is not None:
            delay = duration_pb2.Duration(seconds=int(retry), nanos=round(retry % 1 * 1_000_000_000))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if violations:
            items = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
            details.append(error_details_pb2.BadRequest(field_violations=items))
        self.details = details

    def trailers(self):
        if self.raw is not None:
            return tuple((DETAILS, raw) for raw in self.raw)
        return ((DETAILS, pack(self.code.value[0], self.text, self.details)),) if self.details else ()

    def __repr__(self):
        return f"Status({self.code.name}, {self.text!r})"


def pack(code, text, details) -> bytes:
    """google.rpc.Status with these details, as bytes."""
    packed = []
    for detail in details:
        item = any_pb2.Any()
        item.Pack(detail)
        packed.append(item)
    return status_pb2.Status(code=code, message=text, details=packed).SerializeToString()


def sandbox(state="running", sandbox_id=ID, exit_code=None, **status) -> pb.Sandbox:
    """What the service says about a sandbox. state: a name, or a number that no version knows."""
    number = pb.State.Value("STATE_" + state.upper()) if isinstance(state, str) else state
    message = pb.Sandbox(sandbox_id=sandbox_id, status=pb.SandboxStatus(state=number, **status))
    if exit_code is not None:
        message.status.exit_code = exit_code
    return message


def ready():
    return pb.ExecStreamResponse(ready=pb.ExecStreamReady())


def out(data, stream="STDOUT"):
    number = pb.ExecStreamOutput.Stream.Value(f"STREAM_{stream}") if isinstance(stream, str) else stream
    return pb.ExecStreamResponse(output=pb.ExecStreamOutput(stream=number, data=data))


def exit_(code=0):
    return pb.ExecStreamResponse(exit=pb.ExecStreamExit(exit_code=code))


def exec_error(code, message="it broke"):
    return pb.ExecStreamResponse(error=pb.ExecStreamError(message=message, code=code))


def log(data=b"", session="", offset=0, error=None):
    entry = pb.LogEntry(data=data, log_session_id=session, next_log_offset=offset)
    if error is not None:
        entry.error.code, entry.error.message = error, "in band"
    return entry


class Call:
    """One call as the server saw it."""

    def __init__(self, server, method, requests, context):
        self.server, self.method, self.context = server, method, context
        self.at = time.monotonic()
        self.metadata = dict(context.invocation_metadata())
        self.time_left = context.time_remaining()
        self.requests = []  # those read so far
        self._incoming = requests
        self.ended = threading.Event()  # the call is over, or the client gave it up
        if not context.add_callback(self.ended.set):
            self.ended.set()

    @property
    def request(self):
        return self.requests[0]

    def read(self):
        """The next request; None when the client has sent its last one."""
        try:
            request = next(self._incoming)
        except StopIteration:
            return None
        except Exception:  # the client went away: grpcio's own unnamed exception
            return None
        self.requests.append(request)
        return request

    def read_all(self):
        while self.read() is not None:
            pass
        return self.requests

    def fail(self, status):
        self.context.set_trailing_metadata(status.trailers())
        self.context.abort(status.code, status.text)

    def send_headers(self):
        self.context.send_initial_metadata(())

    def hold(self):
        """Say nothing until the client gives up."""
        self.ended.wait(60)


class ScriptedServer:
    """credentials: grpc.ServerCredentials, to serve https. service: whose methods are answered, beside the OTHER_SERVICES'."""

    def __init__(self, credentials=None, service=SERVICE):
        self.service = service
        self.calls: list[Call] = []
        self.news = threading.Condition()
        self.deleted = False
        self._scripts = defaultdict(list)
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(32),
            handlers=[_Handler(self)],
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                     ("grpc.so_reuseport", 0)],
        )
        self._relay = Relay(self._add_port(credentials))
        self._grpc.start()
        self.url = f"{'https' if credentials else 'http'}://127.0.0.1:{self._relay.port}"

    def _add_port(self, credentials):
        address = "127.0.0.1:0"
        return self._grpc.add_secure_port(address, credentials) if credentials else self._grpc.add_insecure_port(address)

    def close(self):
        self._relay.close()
        self._grpc.stop(0).wait()

    # ---- what the test says

    def on(self, method, *answers):
        """Give these answers in order to the calls of a method; the last one is repeated."""
        assert method in REQUESTS and answers
        self._scripts[method] = list(answers)

    def cut(self):
        """All connections break, after what was written so far has reached the client."""
        self._relay.cut()

    def refuse(self):
        """Connections are accepted and dropped at once from now on."""
        self._relay.refusing = True
        self._relay.cut()

    def accept(self):
        self._relay.refusing = False

    # ---- what the test asks

    def scripted(self, method) -> bool:
        with self.news:
            return bool(self._scripts[method])

    def of(self, method) -> list[Call]:
        with self.news:
            return [call for call in self.calls if call.method == method]

    def gaps(self, method) -> list[float]:
        """Seconds between the calls of a method."""
        times = [call.at for call in self.of(method)]
        return [b - a for a, b in zip(times, times[1:])]

    def wait_for(self, method, n=1, seconds=20) -> Call:
        """Block until the n-th call of a method has arrived."""
        with self.news:
            assert self.news.wait_for(lambda: sum(c.method == method for c in self.calls) >= n, seconds), f"no {method} {n}"
            return [call for call in self.calls if call.method == method][n - 1]

    # ---- answering

    def _record(self, call):
        with self.news:
            self.calls.append(call)
            self.news.notify_all()

    def _script(self, method):
        with self.news:
            script = self._scripts[method]
            if not script:
                return getattr(self, "_healthy_" + method)
            return script.pop(0) if len(script) > 1 else script[0]

    def answer_unary(self, method, request, context):
        call = Call(self, method, iter(()), context)
        call.requests.append(request)
        self._record(call)
        answer = self._script(method)
        if callable(answer):
            answer = answer(call)
        if isinstance(answer, Status):
            call.fail(answer)
        return answer

    def answer_stream(self, method, requests, context):
        call = Call(self, method, requests, context)
        call.read()
        self._record(call)
        answers = self._script(method)
        for answer in answers(call) if callable(answers) else answers:
            if callable(answer):
                answer = answer(call)
            if isinstance(answer, Status):
                call.fail(answer)
            if answer is not None:
                yield answer

    def _healthy_CreateSandbox(self, call):
        return sandbox("pending")

    _healthy_CreateSandboxFromTemplate = _healthy_CreateSandboxFromFile = _healthy_CreateSandbox

    def _healthy_GetSandbox(self, call):
        return sandbox("completed", exit_code=0) if self.deleted else sandbox("running")

    def _healthy_DeleteSandbox(self, call):
        self.deleted = True
        return pb.DeleteSandboxResponse(sandbox=sandbox("terminating"))

    def _healthy_ListSandboxes(self, call):
        return pb.ListSandboxesResponse(sandboxes=[sandbox("running")])

    def _healthy_StreamExec(self, call):
        return [ready(), exit_(0)]

    def _healthy_StreamLogs(self, call):
        return []

    def _healthy_WriteFile(self, call):
        return pb.WriteFileResponse()

    def _healthy_ReadFile(self, call):
        return pb.ReadFileResponse(content=b"content")


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, server):
        self._server = server

    def service(self, details):
        method = details.method.rpartition("/")[2]
        server = self._server
        if details.method != f"/{OTHER_SERVICES.get(method, server.service)}/{method}" or method not in REQUESTS:
            return None
        if method == "ConnectSandbox" and not server.scripted(method):
            return None  # a service without the direct data plane
        decode = REQUESTS[method].FromString
        encode = lambda message: message if isinstance(message, bytes) else message.SerializeToString()  # noqa: E731
        if method == "StreamExec":
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: server.answer_stream(method, requests, context), decode, encode)
        if method == "StreamLogs":
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: server.answer_stream(method, iter([request]), context), decode, encode)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: server.answer_unary(method, request, context), decode, encode)


class Relay:
    """Passes TCP connections on to the server; cut() is the cable being pulled. One thread, one poll loop."""

    def __init__(self, server_port):
        self.refusing = self.stalled = False
        self.n_refused = 0
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._peer = {}  # each socket of a pair -> the other one
        self._wake, self._woken = socket.socketpair()
        self._orders = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def pairs(self) -> list:
        """The connections that are open."""
        return list(self._peer)[::2]

    def cut(self):
        self._order("cut")

    def close(self):
        self._order("close")
        self._thread.join()

    def _order(self, what):
        done = threading.Event()
        self._orders.append((what, done))
        self._wake.send(b"x")
        assert done.wait(20)

    def _run(self):
        while True:
            readable, _, _ = select.select([self._listener, self._woken, *self._peer], [], [])
            if self._woken in readable:
                self._woken.recv(1)
                what, done = self._orders.pop(0)
                self._cut_all()
                if what == "close":
                    self._listener.close()
                    done.set()
                    return
                done.set()
                continue
            for s in readable:
                if s is self._listener:
                    self._accept()
                elif s in self._peer:
                    self._pass_on(s)

    def _accept(self):
        client, _ = self._listener.accept()
        if self.refusing:
            self.n_refused += 1
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self._server_port))
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer[client], self._peer[server] = server, client

    def _pass_on(self, s):
        try:
            data = s.recv(1 << 16)
            if data and self.stalled:
                return
            if data:
                self._peer[s].sendall(data)
                return
        except OSError:
            pass
        self._drop(s)

    def _drop(self, s):
        other = self._peer.pop(s)
        self._peer.pop(other)
        s.close()
        other.close()

    def _cut_all(self):
        while self._peer:
            s = next(iter(self._peer))
            for end in (s, self._peer[s]):
                # what was written is passed on, from both ends; then the line is dead
                with contextlib.suppress(OSError):
                    while data := end.recv(1 << 16, socket.MSG_DONTWAIT):
                        self._peer[end].sendall(data)
            self._drop(s)


def eventually(condition, seconds=20):
    """Wait until a property of the client that has no event of its own is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.002)
