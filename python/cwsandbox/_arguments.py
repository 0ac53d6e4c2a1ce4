"""What Sandbox.run() and Sandbox.run_from_template() pass on to Sandbox(), for type checkers only: never imported at run time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ._auth import AuthConfig
from ._data_plane import DataPlaneMode
from ._options import PlacementMode, PlacementSpillover, ResourceOptions
from ._containers import Container
from ._image import Image
from ._isolation import ObjectStorageAccess, SecurityContext
from ._network import NetworkOptions
from ._secrets import ImagePullCredentials, Secret
from ._services import Service
from ._volumes import FileSystemSnapshotOptions, HostDirectory, RegisteredVolumeOptions, ScratchVolumeOptions


class _Common(TypedDict, total=False):
    auth: AuthConfig | None
    data_plane_mode: DataPlaneMode | str | None
    tags: Sequence[str] | None
    request_timeout_seconds: float | None
    create_retry_budget_seconds: float | None
    poll_retry_budget_seconds: float | None
    poll_rpc_timeout_seconds: float | None
    max_lifetime_seconds: float | None
    runner_ids: Sequence[str] | None
    resources: ResourceOptions | Mapping[str, Any] | None
    mounted_files: Sequence[Mapping[str, Any]] | Mapping[str, bytes | str] | None
    network: NetworkOptions | Mapping[str, Any] | None
    file_system_snapshot: FileSystemSnapshotOptions | Mapping[str, Any] | None
    placement_mode: PlacementMode | str | None
    placement_spillover: PlacementSpillover | str | None
    services: Sequence[Service | Mapping[str, Any]] | None
    volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | HostDirectory | Mapping[str, Any]] | None
    image_pull_credentials: ImagePullCredentials | Mapping[str, Any] | None
    runtime_class: str | None
    security_context: SecurityContext | Mapping[str, Any] | None
    working_dir: str | None
    object_storage_access: ObjectStorageAccess | Mapping[str, Any] | None
    containers: Sequence[Container | Mapping[str, Any]] | None
    environment_variables: Mapping[str, str] | None
    annotations: Mapping[str, str] | None
    secrets: Sequence[Secret | Mapping[str, Any]] | None


class RunArguments(_Common, total=False):
    template_id: str | None


class TemplateArguments(_Common, total=False):
    container_image: str | Image | None
