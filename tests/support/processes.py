"""Processes of this machine: who descends from whom, who listens on a socket, who has ended. Nothing here polls or sleeps."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from pathlib import Path


def process_table() -> dict[int, tuple[int, str]]:
    """pid -> (parent, start time) of every process that can be read and is no zombie."""
    table = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            table[int(name)] = (int(fields[1]), fields[19])
    return table


def family(root: int) -> set[tuple[int, str]]:
    """The process and all its descendants, as (pid, start time)."""
    table = process_table()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    found, todo = set(), [root]
    while todo:
        pid = todo.pop()
        if pid in table:
            found.add((pid, table[pid][1]))
        todo += children.get(pid, [])
    return found


def daemon_below(pid: int) -> int:
    """The daemon of the service whose main process is `pid`; 0: there is none just now."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[1:2] == [b"--inherited"]:
            return int(child)
    return 0


def still_there(processes: set[tuple[int, str]]) -> list[int]:
    """Those of (pid, start time) that run. A number used again by another process does not count."""
    table = process_table()
    return [pid for pid, start in processes if pid in table and table[pid][1] == start]


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_for_end(pid: int, seconds: float) -> bool:
    """Whether the process, anybody's child, ended in this time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def listener(path: str | os.PathLike[str]) -> int | None:
    """Pid of who listens on a Unix socket, from the kernel's word about the other end; None: nobody does."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.fspath(path))
        except OSError:
            return None
        return struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
