"""Snapshots of file systems: their description, and where they are kept."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class FileSystemSnapshotStatus(StrEnum):
    """How far a snapshot is."""

    UNSPECIFIED = "unspecified"
    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"


class FileSystemSnapshotTrigger(StrEnum):
    """Why a snapshot was taken."""

    UNSPECIFIED = "unspecified"
    ON_DELETE = "on_delete"
    MANUAL = "manual"


class FileSystemSnapshotBucketMode(StrEnum):
    """Whose bucket it is."""

    UNSPECIFIED = "unspecified"
    CW_MANAGED = "cw_managed"
    BRING_YOUR_OWN = "bring_your_own"


_T = FileSystemSnapshotTrigger
# By number of the wire's enums.
STATUSES = tuple(FileSystemSnapshotStatus)
TRIGGERS = (_T.UNSPECIFIED, _T.MANUAL, _T.ON_DELETE)
BUCKET_MODES = tuple(FileSystemSnapshotBucketMode)

E = TypeVar("E", bound=StrEnum)


@dataclass(frozen=True, kw_only=True)
class FileSystemSnapshot:
    """A snapshot as the service describes it. Times are in UTC, or None when they are not known."""

    file_system_snapshot_id: str
    status: FileSystemSnapshotStatus
    status_reason: str = ""
    size_bytes: int = 0
    source_sandbox_id: str = ""
    trigger: FileSystemSnapshotTrigger = FileSystemSnapshotTrigger.UNSPECIFIED
    request_id: str = ""
    object_bucket: str = ""
    source_volume_name: str = ""
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None
    completed_at: datetime.datetime | None = None

    def __repr__(self) -> str:
        more = "".join(
            f" {label}={value!r}"
            for label, value in (
                ("size_bytes", self.size_bytes),
                ("source_sandbox_id", self.source_sandbox_id),
                ("status_reason", self.status_reason),
            )
            if value
        )
        return f"<FileSystemSnapshot id={self.file_system_snapshot_id} status={self.status}{more}>"


@dataclass(frozen=True, kw_only=True)
class FileSystemSnapshotBucketConfig:
    """Where snapshots are kept. bucket_name: one's own, "" for the service's; effective_bucket_name: the one in use."""

    mode: FileSystemSnapshotBucketMode = FileSystemSnapshotBucketMode.UNSPECIFIED
    bucket_name: str = ""
    region: str = ""
    effective_bucket_name: str = ""


def by_number(table: tuple[E, ...], number: int) -> E:
    """The member with this number of the wire; unknown ones are UNSPECIFIED, with a logged warning."""
    if 0 <= number < len(table):
        return table[number]
    import logging

    logging.getLogger(__name__).warning("unknown %s %d, taken as UNSPECIFIED", type(table[0]).__name__, number)
    return table[0]


def time_of(nanoseconds: int) -> datetime.datetime | None:
    """A wall-clock time in UTC; 0: None."""
    if not nanoseconds:
        return None
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(microsecond=rest // 1000)


def snapshot_of(record: dict[str, Any]) -> FileSystemSnapshot:
    """From what the extension returns."""
    record["status"] = by_number(STATUSES, record["status"])
    record["trigger"] = by_number(TRIGGERS, record["trigger"])
    for name in ("created_at", "updated_at", "completed_at"):
        record[name] = time_of(record[name])
    return FileSystemSnapshot(**record)


# ---- finish functions of handles


def finish_id(value, error):
    """Bytes of the id -> str."""
    if error is not None:
        raise error
    return value.decode()


def finish_one(value, error):
    """A list of one record -> FileSystemSnapshot."""
    if error is not None:
        raise error
    return snapshot_of(value[0])


def finish_list(value, error):
    """Records -> [FileSystemSnapshot]."""
    if error is not None:
        raise error
    return [snapshot_of(record) for record in value]


def finish_bucket(value, error):
    """A record -> FileSystemSnapshotBucketConfig."""
    if error is not None:
        raise error
    value["mode"] = by_number(BUCKET_MODES, value["mode"])
    return FileSystemSnapshotBucketConfig(**value)


def status_number(status) -> int:
    """The wire's number of a snapshot status or its name; None: 0, any. ValueError: no such status."""
    return 0 if status is None else STATUSES.index(FileSystemSnapshotStatus(status))
