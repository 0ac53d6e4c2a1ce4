"""One embedded service for all pages, in a runtime directory of its own; the programs and the package are those of CWS_STAGE."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import struct
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
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
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(os.path.join(RUNTIME_DIR, "cwsandbox", "service.sock"))
        except OSError:
            return None
        return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


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
    watched = os.pidfd_open(pid)
    os.kill(pid, signal.SIGTERM)
    stopped = select.select([watched], [], [], 20)[0]
    os.close(watched)
    shutil.rmtree(RUNTIME_DIR, ignore_errors=True)
    assert stopped, "the service did not stop on SIGTERM"
    assert not running, f"sandboxes that a page left running: {running}"
