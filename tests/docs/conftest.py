"""One embedded service for all pages, in a runtime directory of its own; the programs and the package are those of CWS_STAGE."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
from support.processes import listener, wait_for_end  # noqa: E402

STAGE = Path(os.environ.get("CWS_STAGE", ROOT / "build" / "stage")).resolve()
RUNTIME_DIR = tempfile.mkdtemp(prefix="cwsandbox-docs-")

for _name in ("CWSANDBOX_BASE_URL", "CWSANDBOX_API_KEY", "CWSANDBOX_SERVICE_PATH", "WANDB_API_KEY"):
    os.environ.pop(_name, None)
os.environ.update({
    "XDG_RUNTIME_DIR": RUNTIME_DIR,
    "CWSANDBOX_DATA_DIR": os.path.join(RUNTIME_DIR, "data"),
    "CWSANDBOX_IDLE_SECONDS": "120",
    # What an installation gives a shell
    "PATH": f"{STAGE / 'bin'}:{os.environ['PATH']}",
    "PYTHONPATH": str(STAGE / "python"),
    "PKG_CONFIG_PATH": str(STAGE / "lib" / "pkgconfig"),
    "LD_LIBRARY_PATH": str(STAGE / "lib"),
})  # fmt: skip


def service_pid() -> int | None:
    """Pid of the embedded service, from the kernel's word about the other end of its socket."""
    return listener(os.path.join(RUNTIME_DIR, "cwsandbox", "service.sock"))


def pytest_unconfigure() -> None:
    """Also when tests were only collected."""
    shutil.rmtree(RUNTIME_DIR, ignore_errors=True)


@pytest.fixture(scope="session")
def service():
    """The service; at the end it must have no sandbox, and stop when told to."""
    from cwsandbox import Sandbox

    Sandbox.list().result()
    yield
    running = [sandbox.sandbox_id for sandbox in Sandbox.list().result()]
    pid = service_pid()
    assert pid is not None, "the service died"
    os.kill(pid, signal.SIGTERM)
    stopped = wait_for_end(pid, 20)
    shutil.rmtree(RUNTIME_DIR, ignore_errors=True)
    assert stopped, "the service did not stop on SIGTERM"
    assert not running, f"sandboxes that a page left running: {running}"
