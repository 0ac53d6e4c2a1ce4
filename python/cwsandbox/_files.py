"""What list_dir() and stat_file() tell of a file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum


class FileKind(StrEnum):
    """What a name in a sandbox stands for."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    FIFO = "fifo"
    SOCKET = "socket"
    CHARACTER_DEVICE = "character_device"
    BLOCK_DEVICE = "block_device"


_KINDS = tuple(FileKind)  # the library's numbers are the places
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class FileInfo:
    """A file of a sandbox, as it was when it was asked for. A link is told as a link."""

    name: str  # of list_dir(): within the directory; bytes that are no UTF-8 are as in os.listdir()
    kind: FileKind
    mode: int  # permission bits
    uid: int
    gid: int
    size: int
    modified_at: datetime
    target: str | None = None  # of a link


def to_info(row: tuple) -> FileInfo:
    name, kind, mode, uid, gid, size, seconds, nanoseconds, target = row
    try:
        modified_at = _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError:  # a time that a file system can have and datetime cannot
        modified_at = datetime.max.replace(tzinfo=timezone.utc) if seconds > 0 else datetime.min.replace(tzinfo=timezone.utc)
    return FileInfo(name, _KINDS[kind], mode, uid, gid, size, modified_at, target)


def infos(value: list[tuple], error: BaseException | None) -> list[FileInfo]:
    if error is not None:
        raise error
    return sorted(map(to_info, value), key=lambda info: info.name)


def info(value: list[tuple], error: BaseException | None) -> FileInfo:
    return infos(value, error)[0]
