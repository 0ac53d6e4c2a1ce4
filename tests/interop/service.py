"""A cwsandboxd of our own, and short words for its RPCs. Nothing here knows how the service works inside."""

import signal
import socket
import subprocess
import uuid
from pathlib import Path

import grpc
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc
from google.rpc import error_details_pb2, status_pb2

from conftest import BUILD
from support.daemon import USER_ID, Daemon, as_user_args, clean_env  # noqa: F401
from support.processes import daemon_below

KEY = "interop-key-1"
OTHER_KEY = "interop-key-2"
WANDB_KEY = "0123456789abcdef" * 2 + "01234567"  # as long as those of W&B
OPTIONS = [("grpc.max_receive_message_length", 200 << 20), ("grpc.max_send_message_length", 200 << 20)]
TIMEOUT = 60  # of every call: a test that hangs fails


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def programs() -> tuple[Path, Path, Path]:
    return (BUILD / "src/server/cwsandboxd", BUILD / "src/launch/cwsandbox-launch", BUILD / "src/init/cwsandbox-init")


class Service(Daemon):
    """Starts in __enter__; the text on --ready-fd is in `ready`."""

    def __init__(self, as_user=False, args=(), keys=True, expect_ready=True, wrapper=()):
        super().__init__(programs()[0], as_user, "cws-interop-")
        self.extra = list(args)
        self.wrapper = list(wrapper)  # a command that runs the service
        self.keys = keys
        self.expect_ready = expect_ready

    def __enter__(self):
        self.port = free_port()
        keys = self.dir / "keys"
        keys.write_text(f"# interop\nalice:{KEY}\nbob:{OTHER_KEY}\ncarol:{WANDB_KEY}\n")
        keys.chmod(0o600)
        self.give(keys)
        self.start()
        return self

    def start(self):
        """Also once more, after halt(): in the same directory, on the same addresses."""
        _, launch, init = programs()
        options = ["--listen", f"http://127.0.0.1:{self.port}", "--launch-path", str(launch), "--init-path", str(init),
                   "--log-level", "debug", "--image-alias", "python:*=host", "--image-pull", "never"]
        if self.keys:
            options += ["--api-keys", str(self.dir / "keys")]
        super().start([*options, *self.extra], self.wrapper)
        assert not self.expect_ready or self.ready == "ready", self.log()
        self.unix = f"unix:{self.socket}"
        self.tcp = f"127.0.0.1:{self.port}"
        self.channel = grpc.insecure_channel(self.unix, OPTIONS)
        self.stub = rpc.SandboxServiceStub(self.channel)

    def halt(self, signo=signal.SIGTERM):
        self.channel.close()
        self.process.send_signal(signo)
        assert self.process.wait(timeout=TIMEOUT) in (0, -signo)

    def restart(self, signo=signal.SIGTERM):
        self.halt(signo)
        self.start()

    def __exit__(self, *_):
        self.channel.close()
        code, log = self.end()
        assert "AddressSanitizer" not in log and "runtime error" not in log and "LeakSanitizer" not in log, log
        assert code in (0, 2, -signal.SIGKILL) or not self.expect_ready, log

    def stop(self, signo=signal.SIGTERM):
        """Asks it to stop; a test may ask twice."""
        self.ask_to_stop(signo)

    def wait_log(self, text, times=1):
        """Follows the log until `times` lines held `text`; the last of them."""
        command = ["timeout", str(TIMEOUT), "tail", "-n", "+1", "-F", "-s", "0.05", str(self.log_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
            for line in tail.stdout:
                times -= text in line
                if times == 0:
                    tail.kill()
                    return line
        raise AssertionError(f"no `{text}` in the log")

    def daemon_pid(self) -> int:
        """The one of the service's processes that talks to clients; the others start it and make sandboxes."""
        return daemon_below(self.process.pid)

    def memory_kib(self) -> int:
        return self._status_kib("VmRSS:")

    def memory_peak_kib(self) -> int:
        return self._status_kib("VmHWM:")

    def _status_kib(self, field: str) -> int:
        text = Path(f"/proc/{self.daemon_pid()}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith(field)))

    def create(self, command="", args=(), wait=True, stub=None, metadata=None, image="python:3.11", **spec) -> "Box":
        stub = stub or self.stub
        container = pb.Container(name="main", image=image, command=command, args=args,
                                 **{k: spec.pop(k) for k in list(spec) if k in pb.Container.DESCRIPTOR.fields_by_name})
        request = pb.CreateSandboxRequest(
            sandbox=pb.Sandbox(spec=pb.SandboxSpec(containers=[container], **spec)),
            request_id=str(uuid.uuid4()))
        box = stub.CreateSandbox(request, timeout=TIMEOUT, metadata=metadata)
        if wait and box.status.state in (pb.STATE_PENDING, pb.STATE_CREATING):
            box = stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=box.sandbox_id), timeout=TIMEOUT,
                                  metadata=[*(metadata or ()), ("x-cwsandbox-wait", "stable")])
        return Box(stub, box, metadata)


class Box:
    """One sandbox."""

    def __init__(self, stub, message, metadata=None):
        self.stub, self.message, self.id, self.metadata = stub, message, message.sandbox_id, metadata

    def get(self, wait=None):
        metadata = list(self.metadata or []) + ([("x-cwsandbox-wait", wait)] if wait else [])
        return self.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=self.id), timeout=TIMEOUT, metadata=metadata)

    def run(self, *command, **fields) -> pb.ExecResponse:
        return self.stub.Exec(pb.ExecRequest(sandbox_id=self.id, command=command, **fields), timeout=TIMEOUT,
                              metadata=self.metadata)

    def sh(self, script) -> str:
        r = self.run("/bin/sh", "-c", script)
        assert r.exit_code == 0, (r.exit_code, r.stdout, r.stderr)
        return r.stdout.decode()

    def stream(self, *command, requests=(), timeout=TIMEOUT, **init):
        """A StreamExec call: init, then what `requests` yields."""
        def messages():
            yield pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=self.id, command=command, **init))
            yield from requests
        return self.stub.StreamExec(messages(), timeout=timeout, metadata=self.metadata)

    def read(self, path) -> bytes:
        return self.stub.ReadFile(pb.ReadFileRequest(sandbox_id=self.id, path=path), timeout=TIMEOUT).content

    def write(self, path, content):
        self.stub.WriteFile(pb.WriteFileRequest(sandbox_id=self.id, path=path, content=content), timeout=TIMEOUT)

    def logs(self, **fields):
        return self.stub.StreamLogs(pb.StreamLogsRequest(sandbox_id=self.id, **fields), timeout=TIMEOUT)

    def delete(self, grace=0, **fields):
        return self.stub.DeleteSandbox(
            pb.DeleteSandboxRequest(sandbox_id=self.id, grace_period_seconds=grace, **fields), timeout=TIMEOUT,
            metadata=self.metadata)


def collect(call) -> tuple[bytes, bytes, int]:
    """A whole StreamExec: stdout, stderr, exit code; checks the order of the frames."""
    out, err, code, ready = b"", b"", None, False
    for frame in call:
        kind = frame.WhichOneof("message")
        assert code is None, "a frame behind the exit"
        if kind == "ready":
            assert not ready
            ready = True
        elif kind == "output":
            assert ready and frame.output.data
            if frame.output.stream == pb.ExecStreamOutput.STREAM_STDERR:
                err += frame.output.data
            else:
                out += frame.output.data
        else:
            assert kind == "exit", frame
            code = frame.exit.exit_code
    assert code is not None, "no exit frame"
    return out, err, code


class Failure:
    """What a failed call carries: code, text, reason, metadata, violations, delay."""

    def __init__(self, error: grpc.RpcError):
        self.code, self.text = error.code(), error.details()
        self.reason, self.domain, self.metadata, self.violations, self.retry_delay = None, None, {}, [], None
        for key, value in error.trailing_metadata() or ():
            if key != "grpc-status-details-bin":
                continue
            status = status_pb2.Status.FromString(value)
            assert status.code == self.code.value[0] and status.message == self.text
            for detail in status.details:
                info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    self.reason, self.domain, self.metadata = info.reason, info.domain, dict(info.metadata)
                elif detail.Unpack(bad):
                    self.violations = [v.field for v in bad.field_violations]
                elif detail.Unpack(retry):
                    self.retry_delay = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        assert self.domain in (None, "cwsandbox.com")


def failure(function, *args, **kwargs) -> Failure:
    """The failure of a call (unary, or a stream that is read to its end)."""
    try:
        result = function(*args, **kwargs)
        if hasattr(result, "__next__"):
            for _ in result:
                pass
    except grpc.RpcError as error:
        return Failure(error)
    raise AssertionError("the call succeeded")
