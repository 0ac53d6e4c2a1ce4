"""How the main container runs, and which object storage a sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from ._options import string_tuple, to_enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_ID_MAX = 2**32 - 1  # the kernel's uid_t


class ObjectStoragePermission(StrEnum):
    """What may be done with the buckets."""

    UNSPECIFIED = "unspecified"
    READ = "read"
    READ_WRITE = "read_write"


@dataclass(frozen=True, kw_only=True)
class SecurityContext:
    """User, privileges, capabilities and seccomp profile of the container. None: the service's choice.

    seccomp_profile: "RuntimeDefault" or "Unconfined". ValueError: an id is no unsigned 32-bit number. TypeError: another type.
    """

    run_as_user: int | None = None
    run_as_group: int | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities_add: tuple[str, ...] | None = None
    capabilities_drop: tuple[str, ...] | None = None
    seccomp_profile: str | None = None

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            run_as_user: int | None = None,
            run_as_group: int | None = None,
            privileged: bool | None = None,
            allow_privilege_escalation: bool | None = None,
            read_only_root_filesystem: bool | None = None,
            capabilities_add: Sequence[str] | None = None,
            capabilities_drop: Sequence[str] | None = None,
            seccomp_profile: str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        for name in ("run_as_user", "run_as_group"):
            _check_id(name, getattr(self, name))
        for name in ("privileged", "allow_privilege_escalation", "read_only_root_filesystem"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool):
                raise TypeError(f"{name} must be a bool or None, not {type(value).__name__}")
        for name in ("capabilities_add", "capabilities_drop"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, string_tuple(value, name))
        object.__setattr__(self, "seccomp_profile", self.seccomp_profile or None)


def _check_id(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not 0 <= value <= _ID_MAX:
        raise ValueError(f"{name} must be an unsigned 32-bit number, not {value}")


@dataclass(frozen=True, kw_only=True)
class ObjectStorageAccess:
    """Buckets that every container gets temporary credentials for.

    permission: ObjectStoragePermission or its value. object_prefix: only objects whose name begins so.
    ValueError: no buckets, or an empty name. TypeError: not a sequence of str.
    """

    buckets: tuple[str, ...] = ()
    permission: ObjectStoragePermission | None = None
    object_prefix: str | None = None

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            buckets: Sequence[str] = (),
            permission: ObjectStoragePermission | str | None = None,
            object_prefix: str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if isinstance(self.buckets, (str, bytes)):
            raise TypeError("buckets must be a sequence of strings, not a bare string")
        buckets = tuple(self.buckets)
        if not all(isinstance(bucket, str) for bucket in buckets):
            raise TypeError("buckets must be strings")
        if not buckets:
            raise ValueError("buckets cannot be empty")
        if not all(buckets):
            raise ValueError("buckets: entries cannot be empty")
        object.__setattr__(self, "buckets", buckets)
        if self.permission is not None:
            object.__setattr__(self, "permission", to_enum(ObjectStoragePermission, self.permission))
        object.__setattr__(self, "object_prefix", self.object_prefix or None)


def _to(cls, name: str, value):
    if value is None or isinstance(value, cls):
        return value
    if hasattr(value, "keys"):
        return cls(**value)
    raise TypeError(f"{name} must be {cls.__name__} or a dict, not {type(value).__name__}")


def to_security_context(value: SecurityContext | Mapping[str, Any] | None) -> SecurityContext | None:
    """SecurityContext from itself, a mapping or None."""
    return _to(SecurityContext, "security_context", value)


def to_object_storage_access(value: ObjectStorageAccess | Mapping[str, Any] | None) -> ObjectStorageAccess | None:
    """ObjectStorageAccess from itself, a mapping or None."""
    return _to(ObjectStorageAccess, "object_storage_access", value)


def check_working_dir(value: str | None, name: str = "working_dir") -> str | None:
    """The directory; "" is None. ValueError: relative, or "/"."""
    if value and (not value.startswith("/") or value == "/"):
        raise ValueError(f"{name} must be an absolute path below /, not {value!r}")
    return value or None


def security_context_wire(context: SecurityContext) -> dict[str, object]:
    """The fields that are set."""
    return {f.name: getattr(context, f.name) for f in fields(context)}


def object_storage_wire(access: ObjectStorageAccess) -> dict[str, object]:
    """ObjectStorageAccess of the wire."""
    number = 0 if access.permission is None else tuple(ObjectStoragePermission).index(access.permission)
    return {"buckets": access.buckets, "permission": number or None, "object_prefix": access.object_prefix}
