"""Registered volumes: what outlives a sandbox, and is mounted in one by its id."""

from __future__ import annotations

from enum import StrEnum

from . import _core
from ._lib import make_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    import datetime
    from collections.abc import Callable, Sequence
    from typing import Any

    from ._auth import AuthConfig
    from ._core import OperationRef


class VolumeState(StrEnum):
    """Whether a volume can be used."""

    UNSPECIFIED = "unspecified"
    VALIDATING = "validating"
    READY = "ready"
    ERROR = "error"
    DELETING = "deleting"


class VolumeLocality(StrEnum):
    """From where a volume can be reached."""

    UNSPECIFIED = "unspecified"
    CLUSTER_LOCAL = "cluster_local"
    GLOBAL = "global"


# By number of the wire's enums.
STATES = tuple(VolumeState)
LOCALITIES = tuple(VolumeLocality)


def _clean_sub_path(sub_path: str | None) -> str | None:
    if not sub_path:
        return None
    if sub_path.startswith("/") or any(part in ("", ".", "..") for part in sub_path.split("/")):
        raise ValueError(f"sub_path must be relative, without empty, '.' and '..' parts, not {sub_path!r}")
    return sub_path


class PvcVolumeSource:
    """A volume claim of a cluster, or the directory sub_path of it. ValueError: a part is empty or sub_path is not clean."""

    runner_id: str
    namespace: str
    claim_name: str
    sub_path: str | None

    def __init__(self, *, runner_id: str, namespace: str, claim_name: str, sub_path: str | None = None) -> None:
        for name, value in (("runner_id", runner_id), ("namespace", namespace), ("claim_name", claim_name)):
            if not value:
                raise ValueError(f"PvcVolumeSource.{name} cannot be empty")
        self.runner_id, self.namespace, self.claim_name = runner_id, namespace, claim_name
        self.sub_path = _clean_sub_path(sub_path)

    def __repr__(self) -> str:
        return (
            f"PvcVolumeSource(runner_id={self.runner_id!r}, namespace={self.namespace!r}, claim_name={self.claim_name!r},"
            f" sub_path={self.sub_path!r})"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PvcVolumeSource) and vars(self) == vars(other)


class Volume:
    """A registered volume as the service described it last. Made by create(), get() and list().

    The calls return handles; those of an object copy the answer into it and resolve to it. What may pass is retried for 30 s.
    timeout_seconds: of a call (300; None and 0: that of the object). Wrong arguments raise from the handle.
    """

    volume_id: str
    pvc: PvcVolumeSource | None
    read_only: bool
    description: str
    state: VolumeState
    state_reason: str
    locality: VolumeLocality
    access_modes: tuple[str, ...]
    capacity: str
    attached_sandbox_count: int
    created_at: datetime.datetime | None
    updated_at: datetime.datetime | None
    last_validated_at: datetime.datetime | None

    def __init__(
        self,
        *,
        volume_id: str,
        pvc: PvcVolumeSource | None = None,
        read_only: bool = False,
        description: str = "",
        state: VolumeState = VolumeState.UNSPECIFIED,
        state_reason: str = "",
        locality: VolumeLocality = VolumeLocality.UNSPECIFIED,
        access_modes: tuple[str, ...] = (),
        capacity: str = "",
        attached_sandbox_count: int = 0,
        created_at: datetime.datetime | None = None,
        updated_at: datetime.datetime | None = None,
        last_validated_at: datetime.datetime | None = None,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> None:
        self.volume_id, self.pvc, self.read_only, self.description = volume_id, pvc, read_only, description
        self.state, self.state_reason, self.locality = state, state_reason, locality
        self.access_modes, self.capacity, self.attached_sandbox_count = access_modes, capacity, attached_sandbox_count
        self.created_at, self.updated_at, self.last_validated_at = created_at, updated_at, last_validated_at
        self._base_url, self._timeout, self._auth = base_url, timeout_seconds, auth

    def __repr__(self) -> str:
        more = ""
        if self.locality != VolumeLocality.UNSPECIFIED:
            more += f", locality={str(self.locality)!r}"
        if self.state_reason:
            more += f", state_reason={self.state_reason!r}"
        return f"Volume(volume_id={self.volume_id!r}, state={str(self.state)!r}{more})"

    # ---- of the service

    @classmethod
    def create(
        cls,
        volume_id: str,
        *,
        pvc: PvcVolumeSource,
        read_only: bool = False,
        description: str = "",
        request_id: str | None = None,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Register a claim under an id. The volume is VALIDATING then; see wait_until_ready(). request_id makes it repeatable."""
        call = lambda target, timeout: _core.volume_create(  # noqa: E731
            target,
            volume_id,
            (pvc.runner_id, pvc.namespace, pvc.claim_name, pvc.sub_path),
            read_only,
            description,
            request_id,
            timeout,
        )
        return cls._ask(call, _one, base_url, timeout_seconds, auth)

    @classmethod
    def get(
        cls,
        volume_id: str,
        *,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """The volume with this id. VolumeNotFoundError: there is none."""
        call = lambda target, timeout: _core.volume_get(target, volume_id, timeout)  # noqa: E731
        return cls._ask(call, _one, base_url, timeout_seconds, auth)

    @classmethod
    def list(
        cls,
        *,
        states: Sequence[VolumeState | str] | None = None,
        runner_ids: Sequence[str] | None = None,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[builtins.list[Volume]]:
        """All volumes, or those in some states, on some runners. ValueError: there is no such state."""

        def call(target, timeout):
            from ._options import string_tuple

            wanted = tuple(STATES.index(VolumeState(state)) for state in string_tuple(states or (), "states"))
            return _core.volume_list(target, wanted, string_tuple(runner_ids or (), "runner_ids"), timeout)

        return cls._ask(call, _all, base_url, timeout_seconds, auth)

    @classmethod
    def _ask(cls, call: Callable, shape: Callable, base_url, timeout_seconds, auth) -> OperationRef[Any]:
        """What the three above have in common: the answer becomes objects that remember how they were asked for."""
        timeout = timeout_seconds or None

        def finish(records, error):
            if error is not None:
                raise error
            return shape([cls(**_values(r), base_url=base_url, timeout_seconds=timeout, auth=auth) for r in records])

        try:
            _check_timeout(timeout_seconds)
            return _core.derive(call(make_target(base_url, auth), timeout), finish)
        except Exception as exc:
            return _core.failed(exc)

    # ---- of this object

    def update(
        self,
        *,
        description: str,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Change the description."""
        call = lambda target, timeout: _core.volume_update(target, self.volume_id, description, timeout)  # noqa: E731
        return self._change(call, base_url, timeout_seconds, auth)

    def delete(
        self,
        *,
        allow_missing: bool = False,
        force: bool = False,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Forget the volume; the claim stays. VolumeInUseError: sandboxes use it, unless force. VolumeNotFoundError, unless allow_missing."""
        call = lambda target, timeout: _core.volume_delete(  # noqa: E731
            target, self.volume_id, allow_missing, force, timeout
        )
        return self._change(call, base_url, timeout_seconds, auth)

    def validate(
        self, *, base_url: str | None = None, timeout_seconds: float | None = None, auth: AuthConfig | None = None
    ) -> OperationRef[Volume]:
        """Let the service look at the claim again."""
        call = lambda target, timeout: _core.volume_validate(target, self.volume_id, timeout)  # noqa: E731
        return self._change(call, base_url, timeout_seconds, auth)

    def wait_until_ready(
        self,
        timeout: float = 60.0,
        *,
        base_url: str | None = None,
        timeout_seconds: float | None = None,
        auth: AuthConfig | None = None,
    ) -> OperationRef[Volume]:
        """Done when it is READY, within timeout. timeout_seconds: of one question (15).

        VolumeError: it has an error, or is being deleted. VolumeWaitTimeoutError: not READY in time.
        """

        def call(target, _):
            if not timeout > 0:
                raise ValueError(f"timeout must be positive, not {timeout!r}")
            return _core.volume_wait(target, self.volume_id, timeout, timeout_seconds or self._timeout or None)

        return self._change(call, base_url, timeout_seconds, auth)

    def _change(self, call: Callable, base_url, timeout_seconds, auth) -> OperationRef[Volume]:
        def finish(records, error):
            if error is not None:
                raise error
            for record in records:  # none: it was missing, and may be
                vars(self).update(_values(record))
            return self

        try:
            _check_timeout(timeout_seconds)
            target = make_target(base_url or self._base_url, self._auth if auth is None else auth)
            return _core.derive(call(target, timeout_seconds or self._timeout or None), finish)
        except Exception as exc:
            return _core.failed(exc)


_all = list


def _one(volumes):
    return volumes[0]


def _check_timeout(seconds: float | None) -> None:
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"timeout_seconds must not be negative, not {seconds!r}")


def _values(record: dict[str, Any]) -> dict[str, Any]:
    """The attributes, from what the extension returns."""
    from ._snapshots import by_number, time_of

    record["state"] = by_number(STATES, record["state"])
    record["locality"] = by_number(LOCALITIES, record["locality"])
    for name in ("created_at", "updated_at", "last_validated_at"):
        record[name] = time_of(record[name])
    if record["pvc"] is not None:
        pvc = PvcVolumeSource.__new__(PvcVolumeSource)  # what the service says is not checked
        vars(pvc).update(record["pvc"], sub_path=record["pvc"]["sub_path"] or None)
        record["pvc"] = pvc
    return record
