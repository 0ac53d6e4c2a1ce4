"""The arguments of one sandbox: merged with its defaults, checked, and turned into wire options when it opens."""

from __future__ import annotations

from . import _core
from ._wire import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ._auth import AuthConfig
    from ._data_plane import DataPlaneMode
    from ._containers import Container
    from ._defaults import SandboxDefaults
    from ._isolation import ObjectStorageAccess, SecurityContext
    from ._network import NetworkOptions
    from ._options import PlacementMode, PlacementSpillover, ResourceOptions
    from ._secrets import ImagePullCredentials, Secret
    from ._services import Service
    from ._volumes import FileSystemSnapshotOptions, ScratchVolumeOptions

_LIFETIME_MAX = 2**31 - 1  # an int32 on the wire
_PROFILES = "profile_ids/profile_names were removed in cwsandbox 1.x; use placement_mode and runner_ids"
_REMOVED = {
    "profile_ids": _PROFILES,
    "profile_names": _PROFILES,
    "s3_mount": "s3_mount was removed in cwsandbox 1.x; use object_storage_access",
    "ports": "ports was removed in cwsandbox 1.x; use services",
    "max_timeout_seconds": "max_timeout_seconds was removed in cwsandbox 1.x; use request_timeout_seconds",
}


def refuse(values: Mapping[str, object]) -> None:
    """TypeError for names that left the API."""
    for name, text in _REMOVED.items():
        if values.get(name) is not None:
            raise TypeError(text)


def string_list(value: object, name: str) -> list[str]:
    """A sequence of str (None: none) as a list; TypeError for a lone string."""
    if value is None:
        return []
    from ._options import string_tuple

    return list(string_tuple(value, name))


def _is_hosted(url: str) -> bool:
    # Most targets are a Unix socket: no need to load the module with the rules.
    if not url.startswith("https:"):
        return False
    from ._defaults import is_hosted

    return is_hosted(url)


class Config:
    """See the head of this file. None: not chosen by anybody."""

    image: str | None = None
    command: str | None = None
    args: list[str] | None = None
    base_url: str | None = None
    auth: AuthConfig | None = None
    data_plane: DataPlaneMode | str = "auto"
    files: Any = None
    lifetime: float | None = None
    mode: PlacementMode | str | None = None
    network: NetworkOptions | Mapping | None = None
    resources: ResourceOptions | Mapping | None = None
    spillover: PlacementSpillover | str = "strict"
    services: Sequence[Service | Mapping] | None = None
    volumes: Sequence[ScratchVolumeOptions | Mapping] | None = None
    snapshot: FileSystemSnapshotOptions | Mapping | None = None
    secrets: Sequence[Secret | Mapping] = ()
    pull: ImagePullCredentials | None = None
    template_id: str | None = None
    runtime_class: str | None = None
    working_dir: str | None = None
    security_context: SecurityContext | Mapping | None = None
    object_storage: ObjectStorageAccess | Mapping | None = None
    containers: tuple[Container, ...] | None = None
    from_file: dict[str, Any] | None = None  # what a create from a file alone has
    request_timeout: float = 300.0  # as in the published client; so is the next one
    poll: tuple[float, float] = (30.0, 15.0)
    create_budget: float = 0.0

    def __init__(
        self,
        defaults: SandboxDefaults | Mapping | None,
        template_id: str | None = None,
        from_file: dict[str, Any] | None = None,
    ) -> None:
        self.template_id = template_id or None
        self.from_file = from_file
        self.annotations: dict[str, str] = {}
        self.env: dict[str, str] = {}
        self.runner_ids: list[str] = []
        self.tags: list[str] = []
        if defaults is not None:
            self._take_defaults(defaults)

    def _take_defaults(self, defaults: SandboxDefaults | Mapping) -> None:
        """Documented values that nobody chose stay None: see the head of _defaults.py."""
        import os

        from ._defaults import is_documented, to_defaults

        d = to_defaults(defaults)
        # An explicit argument beats the environment, which beats the defaults
        if not is_documented(d.base_url) and not os.environ.get("CWSANDBOX_BASE_URL"):
            self.base_url = d.base_url or None
        self.auth, self.data_plane = d.auth, d.data_plane_mode
        self.request_timeout = d.request_timeout_seconds
        self.poll = (d.poll_retry_budget_seconds, d.poll_rpc_timeout_seconds)
        self.create_budget = d.create_retry_budget_seconds
        self.tags = list(d.tags)
        if self.template_id is not None:
            return  # what the template says counts more than defaults
        self.annotations, self.runner_ids = dict(d.annotations), list(d.runner_ids or ())
        self.network, self.mode, self.lifetime = d.network, d.placement_mode, d.max_lifetime_seconds
        self.object_storage = d.object_storage_access
        if self.from_file is not None:
            return  # the file says what the containers are
        self.image = None if is_documented(d.container_image) else d.container_image or None
        self.command = None if is_documented(d.command) else d.command or None
        self.args = None if is_documented(d.args) else list(d.args)
        self.env, self.resources, self.spillover = dict(d.environment_variables), d.resources, d.placement_spillover
        self.runtime_class, self.working_dir = d.runtime_class, d.working_dir
        self.security_context, self.containers = d.security_context, d.containers
        self.services, self.volumes, self.snapshot = d.services, d.volumes, d.file_system_snapshot
        self.secrets = d.secrets or ()

    # ---- what the caller gave, over the defaults

    def set_data_plane(self, mode: DataPlaneMode | str | None) -> None:
        if mode is not None:
            from ._data_plane import to_data_plane_mode

            self.data_plane = to_data_plane_mode(mode)

    def set_containers(self, containers: Any, given: Mapping[str, object]) -> None:
        """Before all others. given: the arguments that describe one container."""
        containers = self.containers if containers is None else containers
        if containers is None:
            return
        from ._containers import to_containers

        names = [name for name, value in given.items() if value is not None]
        if names:
            raise TypeError(f"containers and {', '.join(names)} are mutually exclusive")
        self.containers = to_containers(containers)
        # What defaults say about the one container is not about these
        self.image = self.command = self.args = self.resources = self.security_context = self.working_dir = None
        self.env, self.secrets = {}, ()

    def set_isolation(self, runtime_class: str | None, security: Any, working_dir: str | None, storage: Any) -> None:
        self.runtime_class = self.runtime_class if runtime_class is None else runtime_class
        self.working_dir = self.working_dir if working_dir is None else working_dir
        security = self.security_context if security is None else security
        storage = self.object_storage if storage is None else storage
        if not self.working_dir and security is None and storage is None:
            return
        from . import _isolation

        self.working_dir = _isolation.check_working_dir(self.working_dir)
        self.security_context = _isolation.to_security_context(security)
        self.object_storage = _isolation.to_object_storage_access(storage)

    def set_main_process(self, command: str | None, args: Sequence[str] | None) -> None:
        if command:  # a command of one's own does not inherit the arguments of another one
            self.command, self.args = command, []
        if args is not None:
            self.args = string_list(args, "args")

    def set_times(
        self, request: float | None, poll_budget: float | None, poll_rpc: float | None, lifetime: float | None
    ) -> None:
        if request is not None:
            self.request_timeout = request
        if lifetime is not None:
            self.lifetime = lifetime
        if self.lifetime is not None and not isinstance(self.lifetime, (int, float)):
            raise TypeError(f"max_lifetime_seconds must be a number, not {type(self.lifetime).__name__}")
        if self.lifetime is not None and not 0 <= self.lifetime <= _LIFETIME_MAX:  # nor not-a-number
            raise ValueError(f"max_lifetime_seconds must be between 0 and {_LIFETIME_MAX}, not {self.lifetime!r}")
        if poll_budget is None and poll_rpc is None:
            return
        from ._defaults import check_poll

        budget = self.poll[0] if poll_budget is None else poll_budget
        rpc = self.poll[1] if poll_rpc is None else poll_rpc
        check_poll(budget, rpc)
        self.poll = (budget, rpc)

    def set_create_retry(self, budget: float | None) -> None:
        if budget is None:
            return
        from ._defaults import check_budget

        check_budget("create_retry_budget_seconds", budget)
        self.create_budget = budget

    def set_labels(self, tags: object, env: Mapping[str, str] | None, annotations: Mapping[str, str] | None) -> None:
        self.tags += string_list(tags, "tags")
        self.env.update(env or {})
        self.annotations.update(annotations or {})

    def set_placement(
        self, runner_ids: object, mode: PlacementMode | str | None, spillover: PlacementSpillover | str | None
    ) -> None:
        if runner_ids is not None:
            self.runner_ids = string_list(runner_ids, "runner_ids")
        self.mode = self.mode if mode is None else mode
        self.spillover = self.spillover if spillover is None else spillover
        if self.mode is None and self.spillover == "strict":
            return
        from ._options import PlacementMode, PlacementSpillover, to_enum

        self.mode = None if self.mode is None else to_enum(PlacementMode, self.mode)
        self.spillover = to_enum(PlacementSpillover, self.spillover)
        self._check_spillover()

    def _check_spillover(self) -> None:
        """ValueError for what cannot be combined."""
        if self.spillover == "strict":
            return
        if self.template_id is not None or self.from_file is not None:
            kind = "template sandboxes" if self.from_file is None else "sandboxes from files"
            raise ValueError(f"placement_spillover must be STRICT for {kind}")
        first = "cks" if self.spillover == "cks_then_serverless" else "serverless"
        if self.mode not in (None, "unspecified", first):
            raise ValueError(f"placement_spillover {self.spillover} cannot be combined with placement_mode {self.mode}")
        if first == "serverless" and self.runner_ids:
            raise ValueError(f"placement_spillover {self.spillover} cannot be combined with runner_ids")

    def set_limits(self, resources: Any, network: Any) -> None:
        resources = self.resources if resources is None else resources
        network = self.network if network is None else network
        if resources is None and network is None:
            return
        from ._network import to_network
        from ._options import to_resources

        self.resources, self.network = to_resources(resources), to_network(network)

    def set_services(self, services: Any) -> None:
        services = self.services if services is None else services
        if services is not None:
            from ._services import to_services

            self.services = to_services(services)

    def set_volumes(self, volumes: Any, snapshot: Any) -> None:
        volumes = self.volumes if volumes is None else volumes
        snapshot = self.snapshot if snapshot is None else snapshot
        if volumes is None and snapshot is None:
            return
        from ._volumes import to_file_system_snapshot, to_volumes

        self.volumes, self.snapshot = to_volumes(volumes), to_file_system_snapshot(snapshot)

    def set_secrets(self, secrets: Any, pull: Any) -> None:
        if pull is not None:
            from ._secrets import to_pull_credentials

            self.pull = to_pull_credentials(pull)
        if secrets or self.secrets:
            from ._secrets import merge_secrets, to_secrets

            self.secrets = merge_secrets((*to_secrets(self.secrets), *to_secrets(secrets)))

    # ---- the wire form

    def options(self, url: str) -> _core.Options:
        """Raises what is only wrong on the wire: KeyError of mounted_files, ValueError of placement."""
        if self.containers is not None or self.from_file is not None:
            image, main_process = None, None
        elif self.template_id is None:
            image, main_process = self._image_and_command(url)
        else:
            image, main_process = self._template_image_and_command()
        spec, container = self._records()
        return _core.Options(
            image=image,
            command=main_process,
            env=self.env or None,
            tags=self.tags or None,
            annotations=self.annotations or None,
            runner_ids=self.runner_ids or None,
            files=None if self.files is None else files(self.files),
            resources=self._resources(),
            # Whole seconds on the wire, where 0 is the service's default, which nobody means by half a second
            max_lifetime=None if self.lifetime is None else int(self.lifetime) or int(self.lifetime > 0),
            gpu=self._gpu(),
            spec=spec,
            container=container,
            from_file=self.from_file,
            secrets=[(s.store, s.name, s.field, s.env_var) for s in self.secrets] or None,  # type: ignore[union-attr]
            host_directories=self._host_directories() or None,
            pull_credentials=self._pull(),
            template=self.template_id,
            spillover=self._spillover_number(),
            mode=self._mode_number(),
            request_timeout=self.request_timeout,
            poll=self.poll,
            create_retry=self.create_budget or None,
        )

    def build_images(self) -> None:
        """What is an Image becomes the name of one that the service has. Blocks where it has to be built."""
        images = [self.image, *(c.image for c in self.containers or ())]
        if all(image is None or isinstance(image, str) for image in images):
            return
        from dataclasses import replace

        from ._image import reference_of

        if self.image is not None:
            self.image = reference_of(self.image, self.base_url, self.auth)
        if self.containers is not None:
            self.containers = [replace(c, image=reference_of(c.image, self.base_url, self.auth)) for c in self.containers]

    def _image_and_command(self, url: str) -> tuple[str | None, tuple[str, list[str]] | None]:
        hosted = _is_hosted(url)
        image, command, args = self.image, self.command, self.args
        if hosted or (command is None and args is not None):
            from . import _defaults

            if image is None and hosted:
                image = str(_defaults.DEFAULT_IMAGE)
            if command is None:
                command = str(_defaults.DEFAULT_COMMAND)
                args = list(_defaults.DEFAULT_ARGS) if args is None else args
        return image, None if command is None else (command, args or [])

    def _template_image_and_command(self) -> tuple[str | None, tuple[str, list[str]] | None]:
        """Only what was asked for, and only as a template takes it."""
        parts = (
            *(self.command, self.args, self.env, self.files, self.volumes, self.snapshot, self.secrets, self.resources),
            *(self.pull, self.security_context, self.working_dir),
        )
        if self.image is None and self.containers is None and any(parts):
            raise TypeError(
                "template overrides of command, args, environment_variables, mounted_files, volumes, "
                "file_system_snapshot, secrets, resources, image_pull_credentials, security_context and working_dir "
                "require container_image"
            )
        return self.image, (self.command or "", self.args or []) if self.command or self.args else None

    def _resources(self) -> tuple | None:
        if self.resources is None:
            return None
        requests, limits = self.resources.requests or {}, self.resources.limits or {}  # type: ignore[union-attr]
        return requests.get("cpu"), requests.get("memory"), limits.get("cpu"), limits.get("memory")

    def _gpu(self) -> tuple[int, str | None, int] | None:
        gpu = None if self.resources is None else self.resources.gpu  # type: ignore[union-attr]
        if gpu is None:
            return None
        memory_gb = gpu.get("memory_gb", 0)
        # A oneof on the wire: the memory, when both are there.
        return gpu.get("count", 0), None if memory_gb else gpu.get("type"), memory_gb

    def _host_directories(self) -> list[tuple[str, str]]:
        if not self.volumes:
            return []
        from ._volumes import host_directories

        return host_directories(self.volumes)

    def _records(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """(SandboxSpec, Container): what the wire has and the extension has no argument for."""
        spec: dict[str, Any] = {}
        container: dict[str, Any] = {}
        mounts: list[dict] = []
        if self.volumes or self.snapshot is not None:
            from ._volumes import volumes_wire

            more = () if self.snapshot is None else (self.snapshot.to_scratch_volume(),)  # type: ignore[union-attr]
            spec["volumes"], mounts = volumes_wire((*(self.volumes or ()), *more))
        if self.network is not None:
            from ._network import network_wire

            spec["network"] = network_wire(self.network)  # type: ignore[arg-type]
        if self.services:
            from ._services import service_wire

            spec["services"] = [service_wire(service) for service in self.services]  # type: ignore[arg-type]
        if self.runtime_class:
            spec["runtime_class"] = self.runtime_class
        if self.object_storage is not None:
            from ._isolation import object_storage_wire

            spec["object_storage_access"] = object_storage_wire(self.object_storage)  # type: ignore[arg-type]
        if self.security_context is not None:
            from ._isolation import security_context_wire

            container["security_context"] = security_context_wire(self.security_context)  # type: ignore[arg-type]
        if self.working_dir:
            container["working_dir"] = self.working_dir
        if self.containers is not None:
            from ._containers import containers_wire

            spec["containers"] = containers_wire(self.containers, mounts)
        elif mounts:
            container["volume_mounts"] = mounts
        return spec or None, container or None

    def _pull(self) -> tuple[str, str, str, str] | None:
        p = self.pull
        return None if p is None else (p.registry, p.store, p.name, p.field)

    def _spillover_number(self) -> int | None:
        if self.spillover == "strict":
            return None
        from ._options import SPILLOVERS

        return SPILLOVERS.index(self.spillover)  # type: ignore[arg-type]

    def _mode_number(self) -> int:
        if self.mode is None and not self.runner_ids:
            return 0
        from ._options import MODE_NUMBERS, PlacementMode

        mode = PlacementMode.UNSPECIFIED if self.mode is None else PlacementMode(str(self.mode).lower())
        if self.runner_ids and mode == PlacementMode.SERVERLESS:
            raise ValueError("runner_ids cannot be used with placement mode serverless")
        if self.runner_ids and mode == PlacementMode.UNSPECIFIED and self.template_id is None:
            mode = PlacementMode.CKS
        return MODE_NUMBERS[mode]
