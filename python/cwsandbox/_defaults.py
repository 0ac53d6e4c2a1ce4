"""SandboxDefaults: what sandboxes have in common.

The defaults of the defaults. Four fields have documented values (image, command, args, URL) that make sense for the hosted service
only: another service has a default image of its own, needs no keep-alive command, and has its own address. So these values are
marked as *documented*: they look, compare and print like the plain values, but are sent only to the hosted service
(``*.cwsandbox.com``). A value that somebody wrote down, also an equal one, is a plain value and is sent to every service.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace

from ._data_plane import DataPlaneMode, to_data_plane_mode
from ._network import NetworkOptions, to_network
from ._options import (
    PlacementMode,
    PlacementSpillover,
    ResourceOptions,
    string_tuple,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ._auth import AuthConfig
    from ._containers import Container
    from ._isolation import ObjectStorageAccess, SecurityContext
    from ._secrets import Secret
    from ._services import Service
    from ._volumes import FileSystemSnapshotOptions, HostDirectory, RegisteredVolumeOptions, ScratchVolumeOptions


class DocumentedStr(str):
    """A documented value nobody chose; see the head of this file."""

    __slots__ = ()


class DocumentedTuple(tuple):
    """The same for args."""

    __slots__ = ()


HOSTED_URL = DocumentedStr("https://api.cwsandbox.com")
DEFAULT_IMAGE = DocumentedStr("python:3.11")
DEFAULT_COMMAND = DocumentedStr("/bin/sh")
# Pid 1 must react to SIGTERM at once; a foreground sleep would not.
DEFAULT_ARGS = DocumentedTuple(("-c", 'trap "exit 0" TERM INT; sleep infinity & wait'))


def is_documented(value) -> bool:
    """True for a documented default that nobody chose."""
    return isinstance(value, (DocumentedStr, DocumentedTuple))


def is_hosted(url: str) -> bool:
    """True when the URL is the hosted service's."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].partition(":")[0]
    return scheme == "https" and (host == "cwsandbox.com" or host.endswith(".cwsandbox.com"))


def check_budget(name: str, seconds: float) -> None:
    """ValueError unless it is finite and >= 0."""
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{name} must be finite and not negative, not {seconds!r}")


def check_poll(retry_budget: float, rpc_timeout: float) -> None:
    """ValueError unless the budget is finite and >= 0 and the time-out is finite and > 0."""
    check_budget("poll_retry_budget_seconds", retry_budget)
    if not math.isfinite(rpc_timeout) or rpc_timeout <= 0:
        raise ValueError(f"poll_rpc_timeout_seconds must be finite and positive, not {rpc_timeout!r}")


@dataclass(frozen=True)
class SandboxDefaults:
    """Values for every sandbox of a session, or for one. Frozen; with_overrides() makes a changed copy.

    The fields mean what the arguments of Sandbox() mean (times are seconds), and besides:
        container_image, command, args, base_url: the values shown are the hosted service's and sent to that one only; any other
            service chooses for itself, unless a value was written down here.
        temp_dir: where a fresh call of a function keeps its two files.

    ValueError, TypeError: a value is wrong.
    """

    container_image: str = DEFAULT_IMAGE
    command: str = DEFAULT_COMMAND
    args: tuple[str, ...] = DEFAULT_ARGS
    base_url: str = HOSTED_URL
    auth: AuthConfig | None = field(default=None, repr=False)
    request_timeout_seconds: float = 300.0
    create_retry_budget_seconds: float = 0.0
    poll_retry_budget_seconds: float = 30.0
    poll_rpc_timeout_seconds: float = 15.0
    max_lifetime_seconds: float | None = None
    temp_dir: str = "/tmp"
    tags: tuple[str, ...] = ()
    runner_ids: tuple[str, ...] | None = None
    placement_mode: PlacementMode | str | None = None
    placement_spillover: PlacementSpillover | str = PlacementSpillover.STRICT
    resources: ResourceOptions | dict[str, Any] | None = None
    network: NetworkOptions | None = None
    services: tuple[Service, ...] | None = None
    volumes: tuple[ScratchVolumeOptions | RegisteredVolumeOptions | HostDirectory, ...] | None = None
    runtime_class: str | None = None
    security_context: SecurityContext | dict[str, Any] | None = None
    working_dir: str | None = None
    object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None
    file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None
    containers: tuple[Container, ...] | None = None
    secrets: tuple[Secret, ...] | None = None
    environment_variables: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    data_plane_mode: DataPlaneMode | str = DataPlaneMode.AUTO

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            container_image: str = ...,
            command: str = ...,
            args: Sequence[str] = ...,
            base_url: str = ...,
            auth: AuthConfig | None = None,
            request_timeout_seconds: float = 300.0,
            create_retry_budget_seconds: float = 0.0,
            poll_retry_budget_seconds: float = 30.0,
            poll_rpc_timeout_seconds: float = 15.0,
            max_lifetime_seconds: float | None = None,
            temp_dir: str = "/tmp",
            tags: Sequence[str] = (),
            runner_ids: Sequence[str] | None = None,
            placement_mode: PlacementMode | str | None = None,
            placement_spillover: PlacementSpillover | str = ...,
            resources: ResourceOptions | Mapping[str, Any] | None = None,
            network: NetworkOptions | Mapping[str, Any] | None = None,
            services: Sequence[Service | Mapping[str, Any]] | None = None,
            volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | HostDirectory | Mapping[str, Any]] | None = None,
            runtime_class: str | None = None,
            security_context: SecurityContext | Mapping[str, Any] | None = None,
            working_dir: str | None = None,
            object_storage_access: ObjectStorageAccess | Mapping[str, Any] | None = None,
            file_system_snapshot: FileSystemSnapshotOptions | Mapping[str, Any] | None = None,
            containers: Sequence[Container | Mapping[str, Any]] | None = None,
            secrets: Sequence[Secret | Mapping[str, Any]] | None = None,
            environment_variables: Mapping[str, str] = ...,
            annotations: Mapping[str, str] = ...,
            data_plane_mode: DataPlaneMode | str = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        check_budget("create_retry_budget_seconds", self.create_retry_budget_seconds)
        check_poll(self.poll_retry_budget_seconds, self.poll_rpc_timeout_seconds)
        object.__setattr__(self, "tags", string_tuple(self.tags, "tags"))
        if not isinstance(self.args, tuple):
            object.__setattr__(self, "args", string_tuple(self.args, "args"))
        if self.runner_ids is not None:
            object.__setattr__(self, "runner_ids", string_tuple(self.runner_ids, "runner_ids"))
        spillover = PlacementSpillover(str(self.placement_spillover).lower())
        object.__setattr__(self, "placement_spillover", spillover)
        object.__setattr__(self, "data_plane_mode", to_data_plane_mode(self.data_plane_mode))

    def merge_tags(self, additional: Sequence[str] | None) -> list[str]:
        """These tags, then the given ones; nothing is removed."""
        return [*self.tags, *(string_tuple(additional, "tags") if additional is not None else ())]

    def merge_environment_variables(self, additional: Mapping[str, str] | None) -> dict[str, str]:
        """These variables; the given ones win."""
        return {**self.environment_variables, **(additional or {})}

    def merge_annotations(self, additional: Mapping[str, str] | None) -> dict[str, str]:
        """These annotations; the given ones win."""
        return {**self.annotations, **(additional or {})}

    def with_overrides(self, **changes: Any) -> SandboxDefaults:
        """A copy with other values, checked again."""
        return replace(self, **changes)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any] | None) -> SandboxDefaults:
        """From a mapping such as a parsed configuration file. Unknown keys are ignored; None means the default."""
        if d is None:
            return cls()
        for name in ("profile_ids", "profile_names"):
            if name in d:
                raise TypeError(f"SandboxDefaults.from_dict() does not accept {name!r}; profiles were removed in cwsandbox 1.x")
        values = {}
        for f in fields(cls):
            value = d[f.name] if f.name in d else None
            if value is not None:
                values[f.name] = _coerce(f.name, value)
        return cls(**values)


def _coerce(name: str, value):
    if name == "network":
        return to_network(value)
    if name == "resources":
        return value if isinstance(value, ResourceOptions) or not hasattr(value, "keys") else _plain(value)
    if name in ("args", "tags", "runner_ids"):
        return string_tuple(value, name)
    if name in ("environment_variables", "annotations") and hasattr(value, "keys"):
        return dict(value)
    if name == "services":
        from ._services import to_services

        return to_services(value)
    if name == "secrets":
        from ._secrets import to_secrets

        return to_secrets(value)
    if name in ("security_context", "object_storage_access"):
        from . import _isolation

        return getattr(_isolation, f"to_{name}")(value)
    if name == "containers":
        from ._containers import Container

        return tuple(Container(**c) if hasattr(c, "keys") else c for c in value)
    if name in ("volumes", "file_system_snapshot"):
        return _coerce_volumes(name, value)
    return value


def _coerce_volumes(name: str, value):
    from ._volumes import from_mapping, to_file_system_snapshot, to_volumes

    if name == "file_system_snapshot":
        return to_file_system_snapshot(value)
    return tuple(from_mapping(v) if hasattr(v, "keys") else v for v in to_volumes(value) or ())


def _plain(mapping):
    """Nested mappings (OmegaConf and the like) as plain dicts."""
    return {key: _plain(mapping[key]) if hasattr(mapping[key], "keys") else mapping[key] for key in mapping}


def to_defaults(value) -> SandboxDefaults:
    """SandboxDefaults from itself, a mapping or None."""
    if isinstance(value, SandboxDefaults):
        return value
    if value is None or hasattr(value, "keys"):
        return SandboxDefaults.from_dict(value)
    raise TypeError(f"defaults must be SandboxDefaults or a mapping, not {type(value).__name__}")
