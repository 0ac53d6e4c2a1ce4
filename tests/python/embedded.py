"""The embedded service of a test session: its directory, its pid, its processes. Importing this sets the environment, so it
comes before cwsandbox. Shared by conftest.py and the tests (a conftest of a deeper directory hides this one's names).
"""

from __future__ import annotations

import os
import select
import socket
import struct
import tempfile

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
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(SOCKET)
        except OSError:
            return None
        return struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def process_table() -> dict[int, tuple[int, str]]:
    """pid -> (parent, start time) of every process that can be read."""
    table = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            table[int(name)] = (int(fields[1]), fields[19])
    return table


def family(root: int) -> set[tuple[int, str]]:
    """The process and all its descendants, as (pid, start time)."""
    table = process_table()
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        if pid in table:
            found.add((pid, table[pid][1]))
            todo += [child for child, (parent, _) in table.items() if parent == pid]
    return found


def wait_for_end(pid: int, seconds: float) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)
