"""Sandboxes from a file of services (Compose)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from . import _wire
from ._options import to_enum, to_resources
from ._secrets import ImagePullCredentials, to_pull_credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MAX_BYTES = 256 * 1024


class SandboxFileType(StrEnum):
    """What kind of file describes the sandbox."""

    UNSPECIFIED = "unspecified"
    COMPOSE = "compose"


class SandboxControl(StrEnum):
    """Who runs the containers of a sandbox."""

    UNSPECIFIED = "unspecified"
    PLATFORM = "platform"
    CONTAINER_ENGINE = "container_engine"


FILE_TYPES, CONTROLS = tuple(SandboxFileType), tuple(SandboxControl)  # the wire's numbers are the places
_OTHER_CREATES = frozenset(
    "command args container_image template_id mounted_files resources secrets environment_variables file_system_snapshot"
    " services volumes runtime_class security_context working_dir containers base_url".split()
)


def refuse_others(kwargs: Mapping[str, object]) -> None:
    """TypeError for every keyword that is left."""
    for name in kwargs:
        if name in _OTHER_CREATES:
            raise TypeError(f"run_from_file() does not accept {name}: the file says what its containers are")
        raise TypeError(f"run_from_file() got an unexpected keyword argument {name!r}")


def _member(cls, value: object, name: str):
    if not isinstance(value, str):
        raise TypeError(f"{name} must be {cls.__name__} or str, not {type(value).__name__}")
    return to_enum(cls, value)


def _credentials(values) -> list[dict[str, Any] | None]:
    if values is None:
        return []
    if isinstance(values, (str, bytes, ImagePullCredentials)) or hasattr(values, "keys"):
        raise TypeError("image_pull_credentials must be a list, one entry for each registry")
    for value in values:
        if not isinstance(value, ImagePullCredentials) and not hasattr(value, "keys"):
            raise TypeError(f"image_pull_credentials: entries must be ImagePullCredentials or dict, not {type(value).__name__}")
    return [_wire.pull_credentials(to_pull_credentials(value)) for value in values]


def _contents(contents: str | Path | bytes) -> bytes:
    if isinstance(contents, (bytes, bytearray)):
        data = bytes(contents)
    else:
        from pathlib import Path

        data = Path(contents).read_bytes()
    if len(data) > _MAX_BYTES:
        raise ValueError(f"the file has {len(data)} bytes, more than 256 KiB")
    return data


def file_wire(
    contents: str | Path | bytes,
    primary_service: str | None,
    file_type: SandboxFileType | str,
    control: SandboxControl | str,
    image_pull_credentials: Sequence[ImagePullCredentials | Mapping[str, Any]] | None,
    image_overrides: Mapping[str, str] | None,
    default_resources: Any,
    request_id: str | None,
) -> dict[str, Any]:
    """What a CreateSandboxFromFileRequest alone has, checked."""
    kind = _member(SandboxFileType, file_type, "file_type")
    who = _member(SandboxControl, control, "control")
    data = _contents(contents)
    if not primary_service and who != SandboxControl.CONTAINER_ENGINE:
        raise ValueError("primary_service is required unless control is CONTAINER_ENGINE")
    resources = to_resources(default_resources)
    if resources is not None and resources.gpu:
        raise ValueError("default_resources must not set GPU")
    return {
        "type": FILE_TYPES.index(kind),
        "contents": data,
        "primary_service": primary_service or None,
        "control": CONTROLS.index(who) or None,
        "image_pull_credentials": _credentials(image_pull_credentials),
        "image_overrides": _wire.pairs(image_overrides or {}),
        "default_resources": _wire.resources(resources),
        "request_id": request_id,
    }
