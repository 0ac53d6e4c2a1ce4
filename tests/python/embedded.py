"""The embedded service of a test session: its directory, its pid, its processes. Importing this sets the environment, so it
comes before cwsandbox. Shared by conftest.py and the tests (a conftest of a deeper directory hides this one's names).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from support.processes import daemon_below, family, listener, process_table, wait_for_end  # noqa: E402, F401

# A given directory may already have its service: one that was started outside of a sanitizer, for example.
RUNTIME_DIR = os.environ.get("CWS_TEST_RUNTIME_DIR") or tempfile.mkdtemp(prefix="cwsandbox-pytest-")
os.environ["XDG_RUNTIME_DIR"] = RUNTIME_DIR
os.environ["CWSANDBOX_DATA_DIR"] = os.path.join(RUNTIME_DIR, "data")
os.environ["CWSANDBOX_IDLE_SECONDS"] = "120"
for _name in ("CWSANDBOX_BASE_URL", "CWSANDBOX_API_KEY", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"):
    os.environ.pop(_name, None)
if "CWS_STAGE" in os.environ:
    os.environ.pop("CWSANDBOX_SERVICE_PATH", None)

SOCKET = os.path.join(RUNTIME_DIR, "cwsandbox", "service.sock")


def service_pid() -> int | None:
    """Pid of the embedded service of this session, from the kernel's word about the other end of its socket."""
    return listener(SOCKET)


def daemon_pid() -> int:
    """Pid of the process that serves; it is a child of the service's main process."""
    return daemon_below(service_pid())
