"""Fixtures: services of our own, as root and as an ordinary user, used through the SDK; nothing is left behind.

CWS_STAGE names the installed programs (default build/stage); PYTHONPATH must hold its python/. Each service listens on a Unix
socket of a temporary directory. As root both halves run; an ordinary user runs the second one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
STAGE = Path(os.environ.get("CWS_STAGE", REPO / "build" / "stage"))
PIDS = 64
# A second wall around everything that the user's half does, in case the first one has a hole: the kernel counts all
# processes of this user. Nothing a test starts as that user can get past it.
BACKSTOP = 600

for _name in ("CWSANDBOX_BASE_URL", "CWSANDBOX_API_KEY", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
    os.environ.pop(_name, None)
sys.path[:0] = [str(Path(__file__).parent), str(REPO / "tests")]

from support.daemon import SECONDS, USER_ID, Daemon  # noqa: E402, F401
from support.processes import daemon_below, family, kill_all, still_there, wait_for_end  # noqa: E402, F401


class Service(Daemon):
    def __init__(self, as_user: bool, *args: str, wrapper: tuple[str, ...] = ()) -> None:
        super().__init__(STAGE / "bin/cwsandboxd", as_user, "cws-security-")
        limit = ("prlimit", f"--nproc={BACKSTOP}") if as_user and os.geteuid() == 0 else ()
        self.start(["--pids-max", str(PIDS), "--warm-pool", "2", *args], (*wrapper, *limit),
                   {"PATH": os.environ["PATH"], "HOME": str(self.dir), "HOST_SECRET": "of the service's environment"})
        assert self.ready == "ready", self.ready + self.log()

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
        self.ask_to_stop()
        code, log = self.end()
        left = still_there(ours)
        kill_all(left)
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.dir) in line]
        assert not left, f"outlived the service: {left}"
        assert not mounts
        assert code == 0, log

    def alive(self) -> None:
        """The service and its machinery still do a whole job."""
        with self.sandbox() as sandbox:
            assert sandbox.exec(["echo", "alive"]).result(SECONDS).stdout == "alive\n"


def wait_for_exit(pid: int) -> bool:
    return wait_for_end(pid, SECONDS)


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
