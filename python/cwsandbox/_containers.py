"""The containers of a sandbox, which share its network and its volumes."""

from __future__ import annotations

from dataclasses import dataclass

from . import _wire
from ._isolation import check_working_dir
from ._options import ResourceOptions, to_resources
from ._secrets import ImagePullCredentials, Secret, merge_secrets, to_pull_credentials, to_secrets
from ._status import SandboxStatus
from ._volumes import check_mount_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

_RESERVED = (
    "cw-object-store-agent", "cw-object-store-agent-restore", "cws-engine", "dns-egress", "dns-egress-probe",
)  # fmt: skip
_RESERVED_PREFIX = "cw-object-store-agent-restore-"
_ENDED = (SandboxStatus.COMPLETED, SandboxStatus.FAILED, SandboxStatus.TERMINATED)


@dataclass(frozen=True, kw_only=True)
class VolumeMount:
    """A volume of the sandbox at an absolute path of a container. sub_path: only this directory of it. ValueError: a bad path."""

    volume: str
    mount_path: str
    read_only: bool = False
    sub_path: str | None = None

    def __post_init__(self) -> None:
        if not self.volume:
            raise ValueError("VolumeMount.volume cannot be empty")
        check_mount_path(self, self.mount_path)
        object.__setattr__(self, "sub_path", self.sub_path or None)


@dataclass(frozen=True, kw_only=True)
class ContainerStatus:
    """How one container is. exit_code: of one that ended, else None."""

    name: str
    state: SandboxStatus
    exit_code: int | None = None
    restart_count: int = 0


def _tuple(value: object, name: str) -> tuple:
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a sequence, not {type(value).__name__}")
    return tuple(value)  # type: ignore[arg-type]


def _to_mount(value) -> VolumeMount:
    if isinstance(value, VolumeMount):
        return value
    if hasattr(value, "keys"):
        return VolumeMount(**value)
    raise TypeError(f"Container.volume_mounts must contain VolumeMount or dict, not {type(value).__name__}")


def check_name(name: str) -> None:
    """ValueError: no DNS-1123 label, or a name of the platform."""
    import re

    if not re.fullmatch("[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", name):
        raise ValueError(f"Container.name must be a DNS-1123 label of at most 63 characters, not {name!r}")
    if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
        raise ValueError(f"Container.name {name!r} is reserved")


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container. The fields mean what the arguments of Sandbox() mean; only image is required.

    name: a DNS-1123 label. args without command go to the image's own entry point. volume_mounts: VolumeMount or dict each.
    primary: True for the one that exec() and files are about, and whose end is the sandbox's.
    ValueError, TypeError: a value is wrong.
    """

    image: str
    name: str | None = None
    command: str | None = None
    args: tuple[str, ...] | None = None
    environment_variables: dict[str, str] | None = None
    resources: ResourceOptions | None = None
    mounted_files: tuple[dict[str, Any], ...] | None = None
    volume_mounts: tuple[VolumeMount, ...] | None = None
    secrets: tuple[Secret, ...] | None = None
    working_dir: str | None = None
    image_pull_credentials: ImagePullCredentials | None = None
    primary: bool = False

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            image: str,
            name: str | None = None,
            command: str | None = None,
            args: Sequence[str] | None = None,
            environment_variables: Mapping[str, str] | None = None,
            resources: ResourceOptions | Mapping[str, Any] | None = None,
            mounted_files: Sequence[Mapping[str, Any]] | None = None,
            volume_mounts: Sequence[VolumeMount | Mapping[str, Any]] | None = None,
            secrets: Sequence[Secret | Mapping[str, Any]] | None = None,
            working_dir: str | None = None,
            image_pull_credentials: ImagePullCredentials | Mapping[str, Any] | None = None,
            primary: bool = False,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not self.image:
            raise ValueError("Container.image cannot be empty")
        if self.name:
            check_name(self.name)
        self._set(
            name=self.name or None,
            command=self.command or None,
            args=None if self.args is None else _to_args(self.args),
            resources=to_resources(self.resources),
            working_dir=check_working_dir(self.working_dir, "Container.working_dir"),
            image_pull_credentials=to_pull_credentials(self.image_pull_credentials),
        )
        if self.environment_variables is not None:
            self._set(environment_variables=dict(self.environment_variables))
        if self.mounted_files is not None:
            files = _tuple(self.mounted_files, "Container.mounted_files")
            self._set(mounted_files=tuple(dict(f) if hasattr(f, "keys") else f for f in files))
        if self.volume_mounts is not None:
            mounts = _tuple(self.volume_mounts, "Container.volume_mounts")
            self._set(volume_mounts=tuple(_to_mount(mount) for mount in mounts))
        if self.secrets is not None:
            self._set(secrets=merge_secrets(to_secrets(self.secrets)))

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _to_args(value: object) -> tuple[str, ...]:
    args = _tuple(value, "Container.args")
    for i, arg in enumerate(args):
        if not isinstance(arg, str):
            raise TypeError(f"Container.args[{i}] must be a str, not {type(arg).__name__}")
    return args


def _to_container(value) -> Container:
    if isinstance(value, Container):
        return value
    if hasattr(value, "keys"):
        return Container(**value)
    raise TypeError(f"containers must contain Container or dict, not {type(value).__name__}")


def to_containers(values: Iterable[Container | Mapping[str, Any]]) -> tuple[Container, ...]:
    """The containers of one sandbox. ValueError: they do not go together."""
    containers = tuple(_to_container(value) for value in _tuple(values, "containers"))
    if not containers:
        raise ValueError("containers cannot be empty")
    if len(containers) == 1:
        return containers
    if sum(c.primary for c in containers) != 1:
        raise ValueError("of several containers exactly one primary=True is needed")
    if not all(c.name for c in containers):
        raise ValueError("of several containers every container must have a name")
    names: set[str | None] = set()
    for c in containers:
        if c.name in names:
            raise ValueError(f"duplicate container name {c.name!r}")
        names.add(c.name)
        if c.resources is None:
            raise ValueError(f"of several containers {c.name!r} requires resources")
        if c.resources.gpu and not c.primary:
            raise ValueError(f"container {c.name!r}: GPU is only allowed on the primary container")
    return containers


# ---- the wire


def mount_wire(mount: VolumeMount) -> dict[str, object]:
    """VolumeMount of the wire."""
    return {
        "volume": mount.volume,
        "mount_path": mount.mount_path,
        "read_only": mount.read_only or None,
        "sub_path": mount.sub_path,
    }


def _container_wire(c: Container, mounts: list[dict]) -> dict[str, object]:
    own = [mount_wire(mount) for mount in c.volume_mounts or ()]
    places = {(mount["volume"], mount["mount_path"]) for mount in own}
    implied = [mount for mount in mounts if (mount["volume"], mount["mount_path"]) not in places]
    files = _wire.files(c.mounted_files) if c.mounted_files else ()
    return {
        "name": c.name,
        "image": c.image or None,
        "command": c.command,
        "args": c.args,
        "environment_variables": _wire.pairs(c.environment_variables or {}),
        "resource_requirements": _wire.resources(c.resources),
        "files": [{"path": path, "content": content} for path, content in files],
        "volume_mounts": own + implied,
        "secret_stores": _wire.secret_stores(c.secrets or ()),
        "working_dir": c.working_dir,
        "image_pull_credentials": _wire.pull_credentials(c.image_pull_credentials),
        "primary": c.primary or None,
    }


def containers_wire(containers: tuple[Container, ...], mounts: list[dict]) -> list[dict[str, object]]:
    """Containers of the wire; the primary one gets the mounts of the volumes."""
    primary = next((c for c in containers if c.primary), containers[0])
    return [_container_wire(c, mounts if c is primary else []) for c in containers]


# ---- what the service says


def _resources_of(wire: Mapping[str, Any] | None) -> ResourceOptions | None:
    if not wire:
        return None
    sides = {name: {k: v for k, v in wire.get(name, {}).items() if k != "gpu"} for name in ("requests", "limits")}
    gpu = wire.get("limits", {}).get("gpu") or wire.get("requests", {}).get("gpu")
    return _unchecked(ResourceOptions, requests=sides["requests"] or None, limits=sides["limits"] or None, gpu=gpu or None)


def _unchecked(cls, **values):
    """An object of a frozen dataclass without its checks: what the service says is not ours to refuse."""
    self = object.__new__(cls)
    for name, value in values.items():
        object.__setattr__(self, name, value)
    return self


def _secrets_of(stores: Iterable[Mapping[str, Any]]) -> tuple[Secret, ...]:
    return tuple(
        _unchecked(Secret, store=store.get("store_name", ""), name=secret.get("path", ""),
                   field=secret.get("field", ""), env_var=secret.get("env_var", ""))
        for store in stores for secret in store.get("secrets", ())
    )  # fmt: skip


def _container_of(wire: Mapping[str, Any], primary: bool) -> Container:
    pull = wire.get("image_pull_credentials")
    source = pull.get("credentials", {}) if pull else {}
    return _unchecked(
        Container,
        image=wire.get("image", ""),
        name=wire.get("name"),
        command=wire.get("command"),
        args=tuple(wire["args"]) if "args" in wire else None,
        environment_variables=_wire.mapping(wire.get("environment_variables", ())) or None,
        resources=_resources_of(wire.get("resource_requirements")),
        mounted_files=tuple(
            {"mount_path": f.get("path", ""), "file_content": f.get("content", b"")} for f in wire.get("files", ())
        )
        or None,
        volume_mounts=tuple(
            _unchecked(VolumeMount, volume=m.get("volume", ""), mount_path=m.get("mount_path", ""),
                       read_only=m.get("read_only", False), sub_path=m.get("sub_path"))
            for m in wire.get("volume_mounts", ())
        )
        or None,
        secrets=_secrets_of(wire.get("secret_stores", ())) or None,
        working_dir=wire.get("working_dir"),
        image_pull_credentials=None
        if not pull
        else _unchecked(
            ImagePullCredentials,
            registry=pull.get("registry", ""), store=source.get("store_name", ""),
            name=source.get("path", ""), field=source.get("field", ""),
        ),
        primary=primary,
    )  # fmt: skip


def containers_of(wire: Sequence[Mapping[str, Any]]) -> tuple[Container, ...]:
    """The containers that the service tells; when it marks none, the first one is the primary."""
    marked = any(c.get("primary") for c in wire)
    return tuple(_container_of(c, bool(c.get("primary")) or (not marked and i == 0)) for i, c in enumerate(wire))


def statuses_of(wire: Iterable[Mapping[str, Any]]) -> tuple[ContainerStatus, ...]:
    """The states that the service tells."""
    rows = []
    for row in wire:
        state = SandboxStatus.from_proto(row.get("state", 0))
        rows.append(
            ContainerStatus(
                name=row.get("name", ""),
                state=state,
                exit_code=row.get("exit_code", 0) if state in _ENDED else None,
                restart_count=row.get("restart_count", 0),
            )
        )
    return tuple(rows)
