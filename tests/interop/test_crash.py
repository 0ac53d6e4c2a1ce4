"""SIGKILL of the daemon at random moments under load; every promise is checked afterwards.

CWS_CRASH_POINTS kills in all (`make check-crash`: 500), spread over CWS_CRASH_SERVICES services at a time, because a daemon
that dies young is started again with a growing delay. CWS_CRASH_SEED repeats the same moments.
"""

import os
import random
import signal
import threading
import time
import uuid

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from conftest import users
from service import Service
from test_files_logs import text

POINTS = int(os.environ.get("CWS_CRASH_POINTS", "6"))
SERVICES = int(os.environ.get("CWS_CRASH_SERVICES", "2"))
SEED = int(os.environ.get("CWS_CRASH_SEED", "0")) or random.randrange(1, 1 << 30)
WORKERS = 3
LINES = 150
PATIENCE = 60  # of one promise, restarts included

MAIN = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep 0.01; done; exit 17"
SAID = b"".join(b"line %d\n" % i for i in range(LINES))
TERMINAL = (pb.STATE_COMPLETED, pb.STATE_FAILED, pb.STATE_TERMINATED)


def settled(what, call):
    """What `call` says once a daemon answers: UNAVAILABLE is what a cut connection gives, and the only excuse."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > end:
                raise AssertionError(f"{what}: {error.code()} {error.details()}") from error
        time.sleep(0.01)


class Worker(threading.Thread):
    """One client: makes a sandbox, works in it, and compares what it was told with what it is told later."""

    def __init__(self, service, stop, seed):
        super().__init__()
        self.stub, self.stop, self.random = service.stub, stop, random.Random(seed)
        self.error, self.rounds = None, 0

    def run(self):
        try:
            while not self.stop.is_set():
                (self.main_process if self.random.random() < 0.6 else self.work)()
                self.rounds += 1
        except BaseException as error:  # noqa: BLE001 - reported by the test
            self.error = error
            self.stop.set()

    def create(self, command="", args=()):
        request = pb.CreateSandboxRequest(request_id=str(uuid.uuid4()), sandbox=pb.Sandbox(spec=pb.SandboxSpec(
            containers=[pb.Container(name="main", image="python:3.11", command=command, args=args)])))
        box = settled("create", lambda: self.stub.CreateSandbox(request, timeout=PATIENCE))
        again = settled("create again", lambda: self.stub.CreateSandbox(request, timeout=PATIENCE))
        assert again.sandbox_id == box.sandbox_id, "one request made two sandboxes"
        return box.sandbox_id

    def get(self, box):
        return settled("get", lambda: self.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=box), timeout=PATIENCE)).status

    def wait_terminal(self, box):
        end = time.monotonic() + PATIENCE
        while (status := self.get(box)).state not in TERMINAL:
            assert time.monotonic() < end, f"{box} stays {status.state}"
            time.sleep(0.02)
        return status

    def made_while_killed(self, status) -> bool:
        """One that was not made yet when its daemon died was not acknowledged as running: it may only say so."""
        return status.state == pb.STATE_FAILED and "while the sandbox was being made" in status.state_reason

    def main_process(self):
        box = self.create("/bin/sh", ["-c", MAIN])
        status = self.wait_terminal(box)
        if self.made_while_killed(status):
            return
        assert (status.state, status.exit_code) == (pb.STATE_COMPLETED, 17), f"{box}: {status}"
        log = settled("logs", lambda: text(self.stub.StreamLogs(pb.StreamLogsRequest(sandbox_id=box), timeout=PATIENCE)))
        assert log == SAID, f"{box}: the log has {len(log)} bytes of {len(SAID)}: {log[-200:]}"
        assert self.get(box) == status, "what was told once changed"

    def exec(self, box, *command):
        request = pb.ExecRequest(sandbox_id=box, command=command)
        return settled("exec", lambda: self.stub.Exec(request, timeout=PATIENCE))

    def work(self):
        box = self.create()
        status = self.get(box)
        if status.state != pb.STATE_RUNNING:
            status = self.wait_terminal(box)
            assert self.made_while_killed(status), f"{box}: {status}"
            return
        content = self.random.randbytes(self.random.choice((0, 100, 300_000)))
        settled("write", lambda: self.stub.WriteFile(
            pb.WriteFileRequest(sandbox_id=box, path="/root/f", content=content), timeout=PATIENCE))
        for code in (0, 5):
            result = self.exec(box, "/bin/sh", "-c", f"echo {code}; exit {code}")
            assert (result.exit_code, result.stdout) == (code, b"%d\n" % code), f"{box}: {result}"
        read = settled("read", lambda: self.stub.ReadFile(pb.ReadFileRequest(sandbox_id=box, path="/root/f"), timeout=PATIENCE))
        assert read.content == content, f"{box}: the file has {len(read.content)} bytes of {len(content)}"
        settled("delete", lambda: self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=box), timeout=PATIENCE))
        assert self.get(box).state in (pb.STATE_TERMINATING, pb.STATE_TERMINATED), "a deleted sandbox lives"
        assert self.wait_terminal(box).state == pb.STATE_TERMINATED


def kill_at_random(service, points, rng, stop):
    for _ in range(points):
        pid = 0
        while not (pid := service.daemon_pid()) and not stop.is_set():
            stop.wait(0.005)
        stop.wait(rng.expovariate(1 / 0.4))
        if stop.is_set():
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        while service.daemon_pid() == pid:
            stop.wait(0.005)


def crash(as_user, points, seed, errors):
    try:
        with Service(as_user=as_user) as service:
            stop = threading.Event()
            workers = [Worker(service, stop, seed * 100 + n) for n in range(WORKERS)]
            for w in workers:
                w.start()
            kill_at_random(service, points, random.Random(seed), stop)
            stop.set()
            for w in workers:
                w.join()
            for w in workers:
                if w.error:
                    errors.append(f"seed {seed}: {w.error!r}\n{service.log()[-6000:]}")
    except BaseException as error:  # noqa: BLE001
        errors.append(f"seed {seed}: {error!r}")


@pytest.mark.parametrize("who", users())
def test_every_promise_holds_over_kills_of_the_daemon(who):
    errors = []
    points = [POINTS // SERVICES + (n < POINTS % SERVICES) for n in range(SERVICES)]
    threads = [threading.Thread(target=crash, args=(who == "user", p, SEED + n, errors)) for n, p in enumerate(points)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, "\n".join(errors)
