"""Volumes of a sandbox: scratch directories that can be snapshotted, registered volumes, and directories of the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum

from ._options import to_enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class StorageMedium(StrEnum):
    """Where a scratch volume keeps its files; MEMORY counts against the sandbox's memory."""

    UNSPECIFIED = "unspecified"
    DISK = "disk"
    MEMORY = "memory"


def check_mount_path(owner: object, path: str) -> None:
    """ValueError unless it is an absolute path below /."""
    if not path.startswith("/") or path == "/":
        raise ValueError(f"{type(owner).__name__}.mount_path must be an absolute path below /, not {path!r}")


def _check_given(owner: object, *names: str) -> None:
    for name in names:
        if not getattr(owner, name):
            raise ValueError(f"{type(owner).__name__}.{name} cannot be empty")


def _clear_empty(owner: object, *names: str) -> None:
    for name in names:
        object.__setattr__(owner, name, getattr(owner, name) or None)


def clean_sub_path(owner: object, path: str | None) -> None:
    """Set owner.sub_path; "" is None. ValueError: absolute, or with an empty, "." or ".." part."""
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{type(owner).__name__}.sub_path must be relative, without empty, '.' or '..' parts, not {path!r}")
    object.__setattr__(owner, "sub_path", path or None)


def _check_mount(owner: ScratchVolumeOptions | RegisteredVolumeOptions) -> None:
    clean_sub_path(owner, owner.sub_path)
    if not isinstance(owner.read_only, bool):
        raise TypeError(f"{type(owner).__name__}.read_only must be a bool, not {type(owner.read_only).__name__}")


@dataclass(frozen=True, kw_only=True)
class ScratchVolumeOptions:
    """An empty directory of its own at mount_path (None: not mounted), or one with the files of a snapshot.

    size: a quantity such as "10Gi"; None: the service's default. medium: StorageMedium or its value. sub_path: mount only this
    directory of it. ValueError, TypeError: wrong values.
    """

    name: str
    mount_path: str | None = None
    size: str | None = None
    restore_from_snapshot_id: str | None = None
    medium: StorageMedium | None = None
    sub_path: str | None = None
    read_only: bool = False

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            name: str,
            mount_path: str | None = None,
            size: str | None = None,
            restore_from_snapshot_id: str | None = None,
            medium: StorageMedium | str | None = None,
            sub_path: str | None = None,
            read_only: bool = False,
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_given(self, "name")
        if self.mount_path is not None:
            check_mount_path(self, self.mount_path)
        _clear_empty(self, "size", "restore_from_snapshot_id")
        if self.medium is not None:
            object.__setattr__(self, "medium", to_enum(StorageMedium, self.medium))
        _check_mount(self)


@dataclass(frozen=True, kw_only=True)
class RegisteredVolumeOptions:
    """A registered volume (volume_id) at an absolute path. sub_path: mount only this directory of it."""

    name: str
    volume_id: str
    mount_path: str
    sub_path: str | None = None
    read_only: bool = False

    def __post_init__(self) -> None:
        _check_given(self, "name", "volume_id", "mount_path")
        check_mount_path(self, self.mount_path)
        _check_mount(self)


@dataclass(frozen=True)
class HostDirectory:
    """A directory of the machine that the service runs on, read-only at mount_path; one of volumes=.

    Both paths are absolute, without empty, "." and ".." parts. One's own embedded service shows what its user may read; started
    as root, what every user of the machine may. Another service shows what its operator listed (`--host-directories`) and refuses
    the rest by name when the sandbox starts; services that are not cwsandbox's refuse all. ValueError: a wrong path.
    """

    path: str
    mount_path: str

    if TYPE_CHECKING:

        def __init__(self, path: str | os.PathLike[str], mount_path: str) -> None: ...

    def __post_init__(self) -> None:
        for name in ("path", "mount_path"):
            text = os.fspath(getattr(self, name))
            object.__setattr__(self, name, text.rstrip("/") or text[:1])
        if not self.path.startswith("/"):
            raise ValueError(f"HostDirectory.path must be an absolute path, not {self.path!r}")
        check_mount_path(self, self.mount_path)


@dataclass(frozen=True, kw_only=True)
class FileSystemSnapshotOptions:
    """One scratch volume for snapshot() and stop(snapshot_on_stop=True). file_system_snapshot_id: begin with those files."""

    mount_path: str | None = None
    size: str | None = None
    file_system_snapshot_id: str | None = None
    name: str = "workspace"

    def __post_init__(self) -> None:
        _check_given(self, "name")
        if self.mount_path is not None:
            check_mount_path(self, self.mount_path)
        _clear_empty(self, "size", "file_system_snapshot_id")

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


def from_mapping(value: Mapping) -> ScratchVolumeOptions | RegisteredVolumeOptions | Mapping:
    """What a mapping means: with volume_id a registered volume; one of those without a mount_path stays a mapping."""
    if "volume_id" not in value:
        return ScratchVolumeOptions(**value)
    if value.get("mount_path") is not None:
        return RegisteredVolumeOptions(**value)
    if set(value) - {"name", "volume_id", "mount_path"}:
        raise TypeError("a volume with volume_id and without mount_path has name and volume_id only")
    return value


def _source(volume) -> dict[str, object]:
    if isinstance(volume, RegisteredVolumeOptions):
        return {"name": volume.name, "volume_id": volume.volume_id}
    if not isinstance(volume, ScratchVolumeOptions):
        return {"name": volume["name"], "volume_id": volume["volume_id"]}
    medium = None if volume.medium is None else tuple(StorageMedium).index(volume.medium) or None
    scratch = {"size": volume.size, "medium": medium, "restore_from_snapshot_id": volume.restore_from_snapshot_id}
    return {"name": volume.name, "scratch": scratch}


def host_directories(values: Sequence) -> list[tuple[str, str]]:
    """(path, mount_path) of each among the volumes: the extension's, for the wire has no words for them."""
    return [(v.path, v.mount_path) for v in values if isinstance(v, HostDirectory)]


def volumes_wire(values: Sequence) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """(volumes, mounts) of the wire. TypeError: neither a volume nor a mapping."""
    volumes, mounts = [], []
    for value in values:
        volume = from_mapping(value) if hasattr(value, "keys") else value
        if not hasattr(volume, "keys") and not isinstance(volume, (ScratchVolumeOptions, RegisteredVolumeOptions, HostDirectory)):
            raise TypeError(
                "volumes must contain ScratchVolumeOptions, RegisteredVolumeOptions, HostDirectory or dict, "
                f"not {type(volume).__name__}"
            )
        if isinstance(volume, HostDirectory):
            continue
        volumes.append(_source(volume))
        path = None if hasattr(volume, "keys") else volume.mount_path
        if path is not None:
            mount = {"volume": volume.name, "mount_path": path, "sub_path": volume.sub_path}
            mounts.append(mount | {"read_only": volume.read_only or None})
    return volumes, mounts
