"""Fixtures: services of our own, as root and as an ordinary user, used through the SDK; nothing is left behind.

CWS_STAGE names the installed programs (default build/stage); PYTHONPATH must hold its python/. Each service listens on a Unix
socket of a temporary directory. As root both halves run; an ordinary user runs the second one.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
STAGE = Path(os.environ.get("CWS_STAGE", REPO / "build" / "stage"))
USER_ID = 54321  # owns nothing and has no entry in /etc/passwd
PIDS = 64
# A second wall around everything that the user's half does, in case the first one has a hole: the kernel counts all
# processes of this user. Nothing a test starts as that user can get past it.
BACKSTOP = 600
SECONDS = 60  # what any single wait may take before it is a failure

for _name in ("CWSANDBOX_BASE_URL", "CWSANDBOX_API_KEY", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
    os.environ.pop(_name, None)
sys.path.insert(0, str(Path(__file__).parent))


class Service:
    def __init__(self, as_user: bool, *args: str, wrapper: tuple[str, ...] = ()) -> None:
        self.as_user = as_user
        self.dir = Path(tempfile.mkdtemp(prefix="cws-security-"))
        self.url = f"unix://{self.dir}/s"
        drop = as_user and os.geteuid() == 0
        if drop:
            os.chown(self.dir, USER_ID, USER_ID)
        ready, ready_write = os.pipe()
        command = [*wrapper, "prlimit", f"--nproc={BACKSTOP}"] if drop else [*wrapper]
        command += [str(STAGE / "bin/cwsandboxd"), "--config", "/dev/null", "--listen", self.url, "--data-dir",
                    str(self.dir / "data"), "--pids-max", str(PIDS), "--warm-pool", "2", "--ready-fd", str(ready_write), *args]
        self.log_path = self.dir / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[ready_write],
                env={"PATH": os.environ["PATH"], "HOME": str(self.dir), "HOST_SECRET": "of the service's environment"},
                **({"user": USER_ID, "group": USER_ID, "extra_groups": []} if drop else {}))
        os.close(ready_write)
        with os.fdopen(ready) as f:
            text = f.read().strip()
        assert text == "ready", text + self.log_path.read_text()

    def sandbox(self, **kwargs):
        """A context manager: a sandbox on this service."""
        from cwsandbox import Sandbox

        return Sandbox(base_url=self.url, **kwargs)

    def sandboxes(self) -> list:
        from cwsandbox import Sandbox

        return Sandbox.list(base_url=self.url).result(SECONDS)

    def stop(self) -> None:
        """Ends the service and asserts that nothing of it outlives it."""
        ours = family(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        left = [pid for pid, start in ours if start_time(pid) == start]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        log = self.log_path.read_text(errors="replace")
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.dir) in line]
        shutil.rmtree(self.dir)
        assert not left, f"outlived the service: {left}"
        assert not mounts
        assert code == 0, log

    def alive(self) -> None:
        """The service and its machinery still do a whole job."""
        with self.sandbox() as sandbox:
            assert sandbox.exec(["echo", "alive"]).result(SECONDS).stdout == "alive\n"


def start_time(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def family(root: int) -> set[tuple[int, str]]:
    """The process and its descendants, as (pid, start time)."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        if (start := start_time(pid)) is not None:
            found.add((pid, start))
        todo += children.get(pid, [])
    return found


def wait_for_exit(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            return bool(select.select([fd], [], [], SECONDS)[0])
        finally:
            os.close(fd)
    return True


@pytest.fixture(scope="module", params=["root", "user"] if os.geteuid() == 0 else ["user"])
def service(request):
    s = Service(request.param == "user")
    yield s
    s.stop()


@pytest.fixture
def own_service(request):
    """own_service(as_user, *args): a service that a test may hurt."""
    started = []

    def start(as_user=False, *args, **kwargs):
        started.append(Service(as_user, *args, **kwargs))
        return started[-1]

    yield start
    for s in started:
        s.stop()


@pytest.fixture
def box(service):
    with service.sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def shared_box(service):
    """For tests that only look."""
    with service.sandbox() as sandbox:
        yield sandbox
