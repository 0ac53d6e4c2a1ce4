"""Volumes of a sandbox: scratch directories that can be snapshotted, and existing volumes."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def _check(owner: object, mount_path: str, *names: str) -> None:
    for name in names:
        if not getattr(owner, name):
            raise ValueError(f"{type(owner).__name__}: {name} cannot be empty")
    if not mount_path.startswith("/") or mount_path == "/":
        raise ValueError(f"{type(owner).__name__}: mount_path must be an absolute path below /, not {mount_path!r}")


@dataclass(frozen=True, kw_only=True)
class ScratchVolumeOptions:
    """An empty directory of its own at mount_path, or one with the files of a snapshot.

    size: a quantity such as "10Gi"; None: the service's default.
    """

    name: str
    mount_path: str
    size: str | None = None
    restore_from_snapshot_id: str | None = None

    def __post_init__(self) -> None:
        _check(self, self.mount_path, "name", "mount_path")
        object.__setattr__(self, "size", self.size or None)
        object.__setattr__(self, "restore_from_snapshot_id", self.restore_from_snapshot_id or None)


@dataclass(frozen=True, kw_only=True)
class FileSystemSnapshotOptions:
    """One scratch volume for snapshot() and stop(snapshot_on_stop=True). file_system_snapshot_id: begin with those files."""

    mount_path: str
    size: str | None = None
    file_system_snapshot_id: str | None = None
    name: str = "workspace"

    def __post_init__(self) -> None:
        _check(self, self.mount_path, "name", "mount_path")
        object.__setattr__(self, "size", self.size or None)
        object.__setattr__(self, "file_system_snapshot_id", self.file_system_snapshot_id or None)

    def to_scratch_volume(self) -> ScratchVolumeOptions:
        """The same as a volume."""
        return ScratchVolumeOptions(
            name=self.name,
            mount_path=self.mount_path,
            size=self.size,
            restore_from_snapshot_id=self.file_system_snapshot_id,
        )


def to_file_system_snapshot(value) -> FileSystemSnapshotOptions | None:
    """FileSystemSnapshotOptions from itself, a mapping or None."""
    if value is None or isinstance(value, FileSystemSnapshotOptions):
        return value
    if hasattr(value, "keys"):
        return FileSystemSnapshotOptions(**value)
    raise TypeError(f"file_system_snapshot must be FileSystemSnapshotOptions or a dict, not {type(value).__name__}")


def to_volumes(values: Sequence | None) -> tuple | None:
    """A tuple of what a volume may be, unchecked: that is done when the sandbox starts. None stays."""
    if values is None:
        return None
    if isinstance(values, (str, bytes)) or hasattr(values, "keys"):
        raise TypeError(f"volumes must be a sequence, not {type(values).__name__}")
    return tuple(values)


def volume_tuple(value: ScratchVolumeOptions | Mapping) -> tuple:
    """The form that the extension takes. TypeError: neither a scratch volume nor a dict with a volume_id."""
    if isinstance(value, ScratchVolumeOptions):
        return value.name, value.mount_path, value.size, value.restore_from_snapshot_id
    if hasattr(value, "keys") and "volume_id" in value and not set(value) - {"name", "volume_id", "mount_path"}:
        return value["name"], value.get("mount_path"), value["volume_id"]
    raise TypeError("volumes must contain ScratchVolumeOptions or dicts with name, volume_id and mount_path")
