"""Discovery: the machines that sandboxes can run on."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from . import _core
from ._lib import make_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._auth import AuthConfig

_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


@dataclass(frozen=True, kw_only=True)
class RunnerResources:
    """What was free on a runner when it was asked."""

    available_cpu_millicores: int = 0
    available_memory_bytes: int = 0
    available_gpu_count: int = 0
    running_sandboxes: int = 0


@dataclass(frozen=True, kw_only=True)
class Runner:
    """A machine (or group of machines) that sandboxes can run on. resources: None unless they were asked for."""

    runner_id: str
    organization_id: str = ""
    runner_group_id: str = ""
    tags: tuple[str, ...] = ()
    healthy: bool = False
    is_shared: bool = False
    connected_at: datetime.datetime = _EPOCH
    max_cpu_millicores: int = 0
    max_memory_bytes: int = 0
    max_gpu_count: int = 0
    supported_gpu_types: tuple[str, ...] = ()
    supported_architectures: tuple[str, ...] = ()
    supports_privileged: bool = False
    available_storage_classes: tuple[str, ...] = ()
    supported_service_visibilities: tuple[str, ...] = ()
    resources: RunnerResources | None = None


def _runner_of(record: dict[str, Any]) -> Runner:
    from ._services import VISIBILITIES
    from ._snapshots import by_number, time_of

    record["connected_at"] = time_of(record["connected_at"]) or _EPOCH
    record["supported_service_visibilities"] = tuple(
        str(by_number(VISIBILITIES, number)) for number in record["supported_service_visibilities"]
    )
    if record["resources"] is not None:
        record["resources"] = RunnerResources(**record["resources"])
    return Runner(**record)


def _visibility_number(value) -> int:
    from ._options import to_enum
    from ._services import VISIBILITIES, ServiceVisibility

    if value is None:
        return 0
    return VISIBILITIES.index(to_enum(ServiceVisibility, str(value).lower().removeprefix("visibility_")))


def _has_room(runner: Runner, cpu: int | None, memory: int | None, gpus: int | None) -> bool:
    free = runner.resources
    return (
        free is not None
        and free.available_cpu_millicores >= (cpu or 0)
        and free.available_memory_bytes >= (memory or 0)
        and free.available_gpu_count >= (gpus or 0)
    )


def list_runners(
    *,
    auth: AuthConfig | None = None,
    runner_group_id: str | None = None,
    gpu_type: str | None = None,
    architecture: str | None = None,
    healthy_only: bool = False,
    include_resources: bool = False,
    min_available_cpu_millicores: int | None = None,
    min_available_memory_bytes: int | None = None,
    min_available_gpu_count: int | None = None,
    service_visibility: str | None = None,
) -> list[Runner]:
    """The runners that match all of it (blocks, 30 s at most).

    include_resources: ask what is free; the min_* arguments imply it and leave out runners with less.
    auth: credentials of this call; see Sandbox(). service_visibility: only runners whose services can have it. ValueError: there is no such visibility.
    Raises DiscoveryError, DiscoveryValidationError, CWSandboxAuthenticationError.
    """
    wants_room = (min_available_cpu_millicores, min_available_memory_bytes, min_available_gpu_count) != (None, None, None)
    records: Any = _core.list_runners(
        make_target(None, auth),
        runner_group_id,
        gpu_type,
        architecture,
        healthy_only,
        _visibility_number(service_visibility),
        include_resources or wants_room,
    ).result()
    runners = [_runner_of(record) for record in records]
    if not wants_room:
        return runners
    wanted = (min_available_cpu_millicores, min_available_memory_bytes, min_available_gpu_count)
    return [runner for runner in runners if _has_room(runner, *wanted)]


def get_runner(runner_id: str, *, organization_id: str, auth: AuthConfig | None = None) -> Runner:
    """The runner with this id, with its resources (blocks, 30 s at most). RunnerNotFoundError: there is none.

    ValueError: runner_id or organization_id is blank.
    """
    for name, value in (("runner_id", runner_id), ("organization_id", organization_id)):
        if not value or not value.strip():
            raise ValueError(f"{name} cannot be empty")
    (record,) = _core.get_runner(make_target(None, auth), runner_id, organization_id).result()  # type: ignore[misc]
    return _runner_of(record)
