"""SIGKILL at random moments under load: of the daemon, supervisor, engine, an init, a client; and upgrades. Every promise is
checked afterwards.

CWS_CRASH_POINTS kills in all (`make check-crash`: 500), spread over CWS_CRASH_SERVICES services at a time, because a daemon
that dies young is started again with a growing delay. CWS_CRASH_SEED repeats the same moments. docs/testing.md says what
each kind of kill promises.
"""

import collections
import concurrent.futures
import os
import random
import signal
import subprocess
import threading
import time
import uuid

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

from conftest import BUILD, users
from service import Service, clean_env
from support.processes import family, process_table, still_there
from test_files_logs import text
from test_lifecycle import sandbox_cgroups, wait_gone

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


class Gone(Exception):
    """The sandbox ended with its service, and said so."""


class Worker(threading.Thread):
    """One client: makes a sandbox, works in it, and compares what it was told with what it is told later."""

    def __init__(self, service, stop, seed):
        super().__init__()
        self.service, self.stop, self.random = service, stop, random.Random(seed)
        self.error, self.rounds, self.lives = None, 0, 0

    @property
    def stub(self):
        return self.service.stub  # another one when the service was started again

    def run(self):
        try:
            while not self.stop.is_set():
                self.lives = self.service.lives
                self.random.choices((self.main_process, self.work, self.lose_init, self.lose_client), (5, 4, 1, 1))[0]()
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

    def ended_with_service(self, box, status=None) -> bool:
        """A sandbox of a service whose supervisor or engine died has ended with it, and says so."""
        if self.service.lives == self.lives and self.lives % 2 == 0:
            return False
        status = status or self.wait_terminal(box)
        return status.state == pb.STATE_FAILED and "with it" in status.state_reason  # of whoever saw it first: daemon, or the next one

    def main_process(self):
        box = self.create("/bin/sh", ["-c", MAIN])
        status = self.wait_terminal(box)
        if self.made_while_killed(status) or self.ended_with_service(box, status):
            assert self.get(box) == status, "what was told once changed"
            return
        assert (status.state, status.exit_code) == (pb.STATE_COMPLETED, 17), f"{box}: {status}"
        log = settled("logs", lambda: text(self.stub.StreamLogs(pb.StreamLogsRequest(sandbox_id=box), timeout=PATIENCE)))
        assert log == SAID, f"{box}: the log has {len(log)} bytes of {len(SAID)}: {log[-200:]}"
        assert self.get(box) == status, "what was told once changed"

    def exec(self, box, *command):
        request = pb.ExecRequest(sandbox_id=box, command=command)
        return self.in_sandbox(box, "exec", lambda: self.stub.Exec(request, timeout=PATIENCE))

    def running(self, command="", args=()):
        """A sandbox that runs, or None: it was being made when somebody was killed."""
        box = self.create(command, args)
        status = self.get(box)
        if status.state == pb.STATE_RUNNING:
            return box
        status = self.wait_terminal(box)
        assert self.made_while_killed(status) or self.ended_with_service(box, status), f"{box}: {status}"
        return None

    def in_sandbox(self, box, what, call):
        """As settled(); the sandbox may have ended with the service, and then says so."""
        try:
            return settled(what, call)
        except AssertionError:
            if self.ended_with_service(box):
                raise Gone from None
            raise

    def lose_init(self):
        """The end of init is the end of that sandbox, with a reason; its processes are gone when it is told."""
        # Seen from outside: in the pid namespace of the sandbox, and the grandchild of this main process. Not by the namespace
        # alone: its number is another sandbox's soon after the service has died.
        main = self.service.process.pid
        box = self.running("/bin/sh", ["-c", "sleep 1000 & sleep 1000"])
        if not box:
            return
        try:
            namespace = self.exec(box, "/usr/bin/readlink", "/proc/self/ns/pid").stdout.decode().strip()
        except Gone:
            return
        table = process_table()
        processes = {(pid, start) for pid, (_, start) in table.items() if pid_namespace(pid) == namespace}
        inits = [pid for pid, _ in processes if table.get(table[pid][0], (0, ""))[0] == main]
        if not inits:
            assert self.ended_with_service(box), f"{box}: no grandchild of {main} in {namespace}"
            return
        kill(inits[0])
        status = self.wait_terminal(box)
        assert status.state == pb.STATE_FAILED and status.state_reason, f"{box}: {status}"
        assert not still_there(processes), f"{box}: processes of an ended sandbox"
        self.service.killed["init"] += 1

    def lose_client(self):
        """The end of a client is the end of its exec; the sandbox lives."""
        box = self.running()
        if not box:
            return
        mark = str(self.random.randrange(1000, 9999))
        client = subprocess.Popen(
            [BUILD / "src/cli/cwsandbox", "exec", box, "--", "/bin/sh", "-c", f"echo begun; sleep {mark}; true"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=clean_env(self.service.dir, CWSANDBOX_BASE_URL=self.service.url))
        began = client.stdout.readline()  # b"": its connection was cut first
        client.kill()
        client.wait()
        client.stdout.close()
        if began:
            self.service.killed["client"] += 1
        end = time.monotonic() + PATIENCE
        try:
            while self.exec(box, "/usr/bin/pgrep", "-f", f"[s]leep {mark}").exit_code == 0:
                assert time.monotonic() < end, f"{box}: the command outlives its client"
                time.sleep(0.02)
            assert self.exec(box, "/bin/true").exit_code == 0
        except Gone:
            return
        settled("delete", lambda: self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=box), timeout=PATIENCE))

    def work(self):
        box = self.running()
        try:
            if box:
                self.work_in(box)
        except Gone:
            pass

    def work_in(self, box):
        content = self.random.randbytes(self.random.choice((0, 100, 300_000)))
        self.in_sandbox(box, "write", lambda: self.stub.WriteFile(
            pb.WriteFileRequest(sandbox_id=box, path="/root/f", content=content), timeout=PATIENCE))
        for code in (0, 5):
            result = self.exec(box, "/bin/sh", "-c", f"echo {code}; exit {code}")
            assert (result.exit_code, result.stdout) == (code, b"%d\n" % code), f"{box}: {result}"
        read = self.in_sandbox(box, "read", lambda: self.stub.ReadFile(pb.ReadFileRequest(sandbox_id=box, path="/root/f"), timeout=PATIENCE))
        assert read.content == content, f"{box}: the file has {len(read.content)} bytes of {len(content)}"
        settled("delete", lambda: self.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=box), timeout=PATIENCE))
        status = self.get(box)
        if self.ended_with_service(box, status):
            return
        assert status.state in (pb.STATE_TERMINATING, pb.STATE_TERMINATED), f"a deleted sandbox lives: {status}"
        assert self.wait_terminal(box).state == pb.STATE_TERMINATED


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def pid_namespace(pid) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def engine_pid(service) -> int:
    main, daemon = service.process.pid, service.daemon_pid()
    return next((pid for pid, (parent, _) in process_table().items() if parent == main and pid != daemon), 0)


def mounts_below(directory) -> list[str]:
    with open("/proc/self/mounts") as mounts:
        return [line for line in mounts if str(directory) in line]


def end_service(service, pid):
    """Nothing of it is left: neither process, nor mount, nor (where the engine could still act) cgroup. Then another one."""
    processes = family(service.process.pid)
    service.lives += 1  # odd: it may end at any moment
    main = pid == service.process.pid
    kill(pid)
    service.process.wait(PATIENCE)
    wait_gone([p for p, _ in processes])
    assert mounts_below(service.dir) == []
    if main:
        assert sandbox_cgroups(service) == []
    service.start()
    service.lives += 1


def new_daemon(service, kind, pid):
    if kind == "upgrade":
        service.process.send_signal(signal.SIGUSR2)
    else:
        kill(pid)
    end = time.monotonic() + PATIENCE
    while service.daemon_pid() in (0, pid):
        assert time.monotonic() < end, f"no other daemon after {kind}"
        time.sleep(0.005)


def kill_at_random(service, points, rng, stop):
    """An end of everything is rare, for the others need something that lives."""
    for _ in range(points):
        stop.wait(rng.expovariate(1 / 0.4))
        if stop.is_set():
            return
        kind = rng.choices(("daemon", "upgrade", "supervisor", "engine"), (12, 6, 1, 1))[0]
        pid = {"supervisor": service.process.pid, "engine": engine_pid(service)}.get(kind) or service.daemon_pid()
        if kind in ("supervisor", "engine"):
            end_service(service, pid)
        elif pid:
            new_daemon(service, kind, pid)
        service.killed[kind] += 1


def crash(as_user, points, seed, errors, killed):
    try:
        with Service(as_user=as_user) as service:
            service.lives, service.killed = 0, killed
            stop = threading.Event()
            workers = [Worker(service, stop, seed * 100 + n) for n in range(WORKERS)]
            for w in workers:
                w.start()
            try:
                kill_at_random(service, points, random.Random(seed), stop)
            finally:
                stop.set()
                for w in workers:
                    w.join()
            for w in workers:
                if w.error:
                    errors.append(f"seed {seed}: {w.error!r}\n{service.log()[-6000:]}")
            processes = family(service.process.pid)
            service.halt()
            wait_gone([p for p, _ in processes])
            assert sandbox_cgroups(service) == [] and mounts_below(service.dir) == []
    except BaseException as error:  # noqa: BLE001
        errors.append(f"seed {seed}: {error!r}")


@pytest.mark.parametrize("who", users())
def test_every_promise_holds_over_kills(who):
    errors, killed = [], collections.Counter()
    points = [POINTS // SERVICES + (n < POINTS % SERVICES) for n in range(SERVICES)]
    threads = [threading.Thread(target=crash, args=(who == "user", p, SEED + n, errors, killed)) for n, p in enumerate(points)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(dict(killed))
    assert not errors, "\n".join(errors)


@pytest.mark.skipif(POINTS < 100, reason="a part of make check-crash: a minute of creates")
@pytest.mark.parametrize("who", users())
def test_a_restart_with_a_thousand_sandboxes(who, capsys):
    """No call fails that was not cut. How long the first answer takes is told; a busy machine decides about it."""
    with Service(as_user=who == "user") as service:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            boxes = list(pool.map(lambda n: service.create("/bin/sleep" if n % 2 else "", ["10000"] if n % 2 else []), range(1000)))
        first = service.daemon_pid()
        kill(first)
        began = time.monotonic()
        with grpc.insecure_channel(service.unix) as channel:  # nobody is refused; the old connection is cut
            box = rpc.SandboxServiceStub(channel).GetSandbox(pb.GetSandboxRequest(sandbox_id=boxes[-1].id), timeout=PATIENCE)
            took = time.monotonic() - began
        assert box.status.state == pb.STATE_RUNNING
        settled("get", boxes[0].get)
        assert all(box.get().status.state == pb.STATE_RUNNING for box in boxes)
        results = [box.run("/bin/echo", box.id).stdout for box in boxes]
        assert results == [b"%s\n" % box.id.encode() for box in boxes]
        with capsys.disabled():
            print(f"\nrestart with 1,000 sandboxes, {who}: {took:.2f} s from SIGKILL to the first answer")
