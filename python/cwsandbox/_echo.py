"""What is read from the last answer about a sandbox: functions of its dict (None: nothing was heard yet)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from ._containers import Container, ContainerStatus
    from ._endpoints import HttpsEndpointStatus
    from ._file import SandboxControl
    from ._network import EgressRule, IngressRule

    Heard = Mapping[str, Any] | None


def _part(heard: Heard, part: str, name: str, absent: Any = ()) -> Any:
    return heard.get(part, {}).get(name, absent) if heard else absent


def tags(heard: Heard) -> tuple[str, ...]:
    return tuple(_part(heard, "spec", "tags"))


def created_at(heard: Heard) -> datetime | None:
    time = _part(heard, "status", "create_time", None)
    if time is None:
        return None
    from datetime import UTC, datetime, timedelta

    since = timedelta(seconds=time.get("seconds", 0), microseconds=time.get("nanos", 0) // 1000)
    return datetime.fromtimestamp(0, UTC) + since


def control(heard: Heard) -> SandboxControl | None:
    if heard is None:
        return None
    from ._file import CONTROLS, SandboxControl

    number = heard.get("control", 0)
    return CONTROLS[number] if number < len(CONTROLS) else SandboxControl.UNSPECIFIED


def containers(heard: Heard) -> tuple[Container, ...]:
    wire = _part(heard, "spec", "containers")
    if not wire:
        return ()
    from ._containers import containers_of

    return containers_of(wire)


def container_statuses(heard: Heard) -> tuple[ContainerStatus, ...]:
    wire = _part(heard, "status", "container_statuses")
    if not wire:
        return ()
    from ._containers import statuses_of

    return statuses_of(wire)


def service_endpoints(heard: Heard) -> tuple[HttpsEndpointStatus, ...]:
    wire = _part(heard, "status", "services")
    if not wire:
        return ()
    from ._endpoints import https_endpoints

    return https_endpoints(wire)


def effective_runtime_class(heard: Heard) -> str | None:
    return _part(heard, "status", "effective_runtime_class", None)


def attached_volume_ids(heard: Heard) -> tuple[str, ...]:
    return tuple(_part(heard, "status", "attached_volume_ids"))


def effective_egress(heard: Heard) -> tuple[EgressRule, ...]:
    wire = _part(heard, "status", "effective_egress")
    if not wire:
        return ()
    from ._network import EgressRule, rules_of

    return rules_of(EgressRule, wire)


def effective_ingress(heard: Heard) -> tuple[IngressRule, ...]:
    wire = _part(heard, "status", "effective_ingress")
    if not wire:
        return ()
    from ._network import IngressRule, rules_of

    return rules_of(IngressRule, wire)
