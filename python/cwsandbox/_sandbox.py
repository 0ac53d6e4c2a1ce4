"""Sandbox: the keyword arguments, the defaults, the context managers. The operations themselves are in the extension."""

from __future__ import annotations

from . import _cleanup, _core
from ._config import Config, refuse, string_list
from ._lib import make_target
from ._sandbox_files import WithFiles
from ._sandbox_snapshots import WithSnapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from typing import Any, Unpack

    from ._arguments import RunArguments, TemplateArguments
    from ._auth import AuthConfig
    from ._core import OperationRef, StreamReader
    from ._data_plane import DataPlaneMode
    from ._defaults import SandboxDefaults
    from ._containers import Container
    from ._file import SandboxControl, SandboxFileType
    from ._image import Image
    from ._isolation import ObjectStorageAccess, SecurityContext
    from ._network import NetworkOptions
    from ._options import PlacementMode, PlacementSpillover, ResourceOptions
    from ._secrets import ImagePullCredentials, Secret
    from ._services import Service
    from ._session import Session
    from ._volumes import FileSystemSnapshotOptions, HostDirectory, RegisteredVolumeOptions, ScratchVolumeOptions

# What says something about the one container, when there is no list of them
_OF_ONE_CONTAINER = (
    "container_image", "command", "args", "resources", "mounted_files", "secrets", "image_pull_credentials",
    "environment_variables", "security_context", "working_dir",
)  # fmt: skip
_TERMINAL = ("completed", "failed", "terminated")


class Sandbox(WithFiles, WithSnapshots):
    """A sandbox: an isolated machine for commands and files.

    ``Sandbox.run()`` starts one and returns it; ``Sandbox(...)`` describes one that starts with its first operation, ``start()``, or a
    ``with`` / ``async with`` block, which also stops it at the end. Nothing stops a sandbox by itself when the object goes away
    (a ResourceWarning says so); its lifetime on the service ends it.

    Arguments, all by keyword (times are seconds; None = from defaults, then the service's choice):
        command, args: the main process. None: none, the sandbox runs until it is stopped.
        container_image: name of an image, or an Image, which is built in the first operation where the service has it not. None: the service's default image.
        defaults: SandboxDefaults or a mapping, merged with the other arguments.
        auth: AuthStrategy, AuthHeaders or an AuthProvider, resolved when the sandbox is first used; None: that of defaults, then
            set_auth_mode(), then CWSANDBOX_API_KEY.
        tags: list of str to find the sandbox by; added to those of defaults.
        base_url: service; None: CWSANDBOX_BASE_URL, else the hosted service when there is an auth or CWSANDBOX_API_KEY, else this
            machine.
        request_timeout_seconds: limit of a request, and the default limit of waits and commands (300).
        create_retry_budget_seconds: how long a create is repeated while the service says that there is no room at the moment (0:
            not at all). It is the same request each time; with placement_spillover each place has the whole budget.
        poll_retry_budget_seconds, poll_rpc_timeout_seconds: how waiting treats a service that does not answer (30, 15).
        max_lifetime_seconds: the service ends the sandbox after it.
        runner_ids: machines it may run on.
        placement_mode: PlacementMode or its value.
        placement_spillover: PlacementSpillover or its value: where to try next when the first place has no room.
        resources: ResourceOptions, or a dict: {"cpu": "1", "memory": "512Mi"}, or one with requests, limits and gpu.
        network: NetworkOptions or a dict.
        services: ports that others may reach, Service or dict each.
        volumes: ScratchVolumeOptions, RegisteredVolumeOptions, HostDirectory or a dict each; one with volume_id is registered.
        file_system_snapshot: FileSystemSnapshotOptions or a dict: one more scratch volume, for snapshots.
        secrets: Secret or dict each; added to those of defaults.
        image_pull_credentials: ImagePullCredentials or a dict.
        template_id: create it from a template. The other arguments override the template; of defaults only the tags, the
            times and base_url count. What concerns the container needs container_image, or containers.
        runtime_class: how it is isolated, by the service's name for it. working_dir: of the main process, and of commands.
        security_context: SecurityContext or a dict. object_storage_access: ObjectStorageAccess or a dict.
        containers: Container or dict each, when there are several or for what only they have; then nothing else may describe the
            container. Of several, one has primary=True.
        mounted_files: list of {"mount_path": str, "file_content": bytes | str}, present and read-only from the start.
        environment_variables, annotations: dict of str.
        data_plane_mode: DataPlaneMode or its value: how commands, terminals, logs and files reach the sandbox. AUTO goes straight where
            the service offers that and takes at most a second to find out; with DIRECT they raise SandboxUnavailableError where it does not.

    TypeError, ValueError: an argument is wrong. Nothing is sent before the first operation.
    """

    _session: Session | None = None
    _stopping = False
    _spill_logged = False
    _calls: builtins.list[int] | None = None  # function calls by outcome, when it serves those

    def __init__(
        self,
        *,
        command: str | None = None,
        args: Sequence[str] | None = None,
        defaults: SandboxDefaults | Mapping[str, Any] | None = None,
        auth: AuthConfig | None = None,
        container_image: str | Image | None = None,
        tags: Sequence[str] | None = None,
        base_url: str | None = None,
        request_timeout_seconds: float | None = None,
        create_retry_budget_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        max_lifetime_seconds: float | None = None,
        profile_ids: None = None,
        profile_names: None = None,
        runner_ids: Sequence[str] | None = None,
        resources: ResourceOptions | Mapping[str, Any] | None = None,
        mounted_files: Sequence[Mapping[str, Any]] | Mapping[str, bytes | str] | None = None,
        s3_mount: None = None,
        ports: None = None,
        network: NetworkOptions | Mapping[str, Any] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | Mapping[str, Any] | None = None,
        max_timeout_seconds: None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        services: Sequence[Service | Mapping[str, Any]] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | HostDirectory | Mapping[str, Any]] | None = None,
        template_id: str | None = None,
        image_pull_credentials: ImagePullCredentials | Mapping[str, Any] | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | Mapping[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | Mapping[str, Any] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        secrets: Sequence[Secret | Mapping[str, Any]] | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        containers: Sequence[Container | Mapping[str, Any]] | None = None,
        _from_file: dict[str, Any] | None = None,
        _session: Session | None = None,
    ) -> None:
        given = locals()
        refuse(given)
        config = Config(defaults, template_id, _from_file)
        config.set_containers(containers, {name: given[name] for name in _OF_ONE_CONTAINER})
        config.image = container_image or config.image
        config.base_url = base_url or config.base_url
        config.auth = config.auth if auth is None else auth
        config.set_data_plane(data_plane_mode)
        config.set_main_process(command, args)
        config.set_times(
            request_timeout_seconds, poll_retry_budget_seconds, poll_rpc_timeout_seconds, max_lifetime_seconds
        )
        config.set_create_retry(create_retry_budget_seconds)
        config.set_labels(tags, environment_variables, annotations)
        config.set_placement(runner_ids, placement_mode, placement_spillover)
        config.set_limits(resources, network)
        config.set_services(services)
        config.set_volumes(volumes, file_system_snapshot)
        config.set_secrets(secrets, image_pull_credentials)
        config.set_isolation(runtime_class, security_context, working_dir, object_storage_access)
        config.files = mounted_files
        self._set_request_timeout(config.request_timeout)
        self._config = config
        if _session is not None:
            self._session = _session
        _cleanup.owned()

    def _open(self) -> None:
        """Called once by the extension, before the first operation."""
        config = self._config
        if config is None:
            raise TypeError("Sandbox.__init__() was not called")
        config.build_images()
        target = make_target(config.base_url, config.auth)
        self._attach(target, config.options(target.url))
        self._take_data_plane(config.data_plane)

    def _take_data_plane(self, mode: DataPlaneMode | str) -> None:
        """Before the first operation. AUTO, what it begins with, costs nothing."""
        if mode != "auto":
            from ._data_plane import mode_number

            self._set_data_plane(mode_number(mode))

    # ---- factories

    @classmethod
    def run(
        cls,
        *args: str,
        container_image: str | Image | None = None,
        defaults: SandboxDefaults | Mapping[str, Any] | None = None,
        **kwargs: Unpack[RunArguments],
    ) -> Sandbox:
        """Start a sandbox and return it when the service has accepted it (blocks; wait() for RUNNING).

        args: command and arguments of the main process; none: the sandbox runs until it is stopped.
        The other arguments are those of Sandbox() without command, args and base_url.
        """
        for name in ("command", "args", "base_url"):
            if name in kwargs:
                raise TypeError(f"Sandbox.run() got an unexpected keyword argument {name!r}")
        if args and kwargs.get("containers") is not None:
            raise TypeError("Sandbox.run(): containers and a command are mutually exclusive")
        command, rest = (args[0], list(args[1:])) if args else (None, None)
        return cls._run(cls(command=command, args=rest, container_image=container_image, defaults=defaults, **kwargs))

    @staticmethod
    def _run(sandbox: Sandbox) -> Sandbox:
        try:
            sandbox.start().result()
        except Exception:
            raise
        except BaseException:
            # Ctrl-C: nobody will hold this sandbox, so do not leave it behind
            sandbox._stop(0, True)
            raise
        return sandbox

    @classmethod
    def run_from_template(
        cls,
        template_id: str,
        /,
        *args: str,
        command: str | None = None,
        defaults: SandboxDefaults | Mapping[str, Any] | None = None,
        **kwargs: Unpack[TemplateArguments],
    ) -> Sandbox:
        """Start a sandbox from a template and return it when the service has accepted it (blocks).

        args: arguments of the main process (never the command). The others are those of Sandbox(); see template_id there.
        ValueError: template_id is empty.
        """
        if not template_id:
            raise ValueError("template_id cannot be empty")
        for name in ("args", "base_url", "template_id"):
            if name in kwargs:
                raise TypeError(f"Sandbox.run_from_template() got an unexpected keyword argument {name!r}")
        given = list(args) if args else None
        return cls._run(cls(template_id=template_id, command=command, args=given, defaults=defaults, **kwargs))

    @classmethod
    def run_from_file(
        cls,
        contents: str | Path | bytes,
        /,
        *,
        primary_service: str | None = None,
        file_type: SandboxFileType | str = "compose",
        control: SandboxControl | str = "unspecified",
        image_pull_credentials: Sequence[ImagePullCredentials | Mapping[str, Any]] | None = None,
        image_overrides: Mapping[str, str] | None = None,
        default_resources: ResourceOptions | Mapping[str, Any] | None = None,
        defaults: SandboxDefaults | Mapping[str, Any] | None = None,
        auth: AuthConfig | None = None,
        request_timeout_seconds: float | None = None,
        create_retry_budget_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        max_lifetime_seconds: float | None = None,
        tags: Sequence[str] | None = None,
        runner_ids: Sequence[str] | None = None,
        network: NetworkOptions | Mapping[str, Any] | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        object_storage_access: ObjectStorageAccess | Mapping[str, Any] | None = None,
        annotations: Mapping[str, str] | None = None,
        request_id: str | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        **kwargs: Any,
    ) -> Sandbox:
        """Start a sandbox from a Compose file and return it when the service has accepted it (blocks).

        contents: path of the file, or its bytes (256 KiB at most), which are sent as they are.
        primary_service: the service that the sandbox is about; required unless control is CONTAINER_ENGINE.
        control: SandboxControl: who runs the services. image_overrides: service -> image.
        default_resources: of each service that has none. image_pull_credentials: one for each registry.
        request_id: makes the call repeatable. The others are those of Sandbox(). OSError: the file cannot be read.
        """
        from ._file import file_wire, refuse_others

        refuse_others(kwargs)
        file = file_wire(
            contents, primary_service, file_type, control, image_pull_credentials, image_overrides, default_resources, request_id
        )
        sandbox = cls(
            defaults=defaults,
            auth=auth,
            request_timeout_seconds=request_timeout_seconds,
            create_retry_budget_seconds=create_retry_budget_seconds,
            poll_retry_budget_seconds=poll_retry_budget_seconds,
            poll_rpc_timeout_seconds=poll_rpc_timeout_seconds,
            max_lifetime_seconds=max_lifetime_seconds,
            tags=tags,
            runner_ids=runner_ids,
            network=network,
            placement_mode=placement_mode,
            placement_spillover=placement_spillover,
            object_storage_access=object_storage_access,
            annotations=annotations,
            data_plane_mode=data_plane_mode,
            _from_file=file,
        )
        return cls._run(sandbox)

    @classmethod
    def session(
        cls, defaults: SandboxDefaults | Mapping[str, Any] | None = None, *, auth: AuthConfig | None = None
    ) -> Session:
        """A Session: sandboxes with common defaults (and credentials) that are stopped together."""
        from ._session import Session

        return Session(defaults, auth=auth)

    @classmethod
    def list(
        cls,
        *,
        tags: Sequence[str] | None = None,
        status: str | None = None,
        profile_ids: None = None,
        profile_names: None = None,
        runner_ids: Sequence[str] | None = None,
        show_terminated: bool = False,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str = "auto",
        volume_ids: Sequence[str] | None = None,
    ) -> OperationRef[builtins.list[Sandbox]]:
        """Handle for the sandboxes of this account that match: all the tags, a status, some runners, some registered volumes.

        Ended ones are left out unless show_terminated or status asks for them. Wrong arguments raise from the handle.
        """
        try:
            refuse({"profile_ids": profile_ids, "profile_names": profile_names})
            _check_poll_pair(poll_retry_budget_seconds, poll_rpc_timeout_seconds)
            _check_data_plane(data_plane_mode)
            ref = _core.list_sandboxes(
                cls,
                make_target(base_url, auth),
                string_list(tags, "tags"),
                string_list(runner_ids, "runner_ids"),
                status_number(status),
                show_terminated,
                timeout_seconds,
                string_list(volume_ids, "volume_ids"),
            )
        except Exception as exc:
            return _core.failed(exc)
        return _timed(ref, data_plane_mode, timeout_seconds, poll_retry_budget_seconds, poll_rpc_timeout_seconds)

    @classmethod
    def from_id(
        cls,
        sandbox_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str = "auto",
    ) -> OperationRef[Sandbox]:
        """Handle for the sandbox with this id, running or ended. SandboxNotFoundError when there is none."""
        try:
            _check_poll_pair(poll_retry_budget_seconds, poll_rpc_timeout_seconds)
            _check_data_plane(data_plane_mode)
            ref = _core.from_id(cls, make_target(base_url, auth), sandbox_id, timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)
        return _timed(ref, data_plane_mode, timeout_seconds, poll_retry_budget_seconds, poll_rpc_timeout_seconds)

    @classmethod
    def delete(
        cls,
        sandbox_id: str,
        *,
        base_url: str | None = None,
        auth: AuthConfig | None = None,
        timeout_seconds: float | None = None,
        missing_ok: bool = False,
    ) -> OperationRef[None]:
        """End the sandbox with this id at once. SandboxNotFoundError when there is none, unless missing_ok."""
        try:
            return _core.delete(make_target(base_url, auth), sandbox_id, missing_ok, timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)

    # ---- operations that need more than the extension does

    def start(self) -> OperationRef[None]:
        """Create the sandbox. The handle is done when the service accepted it (sandbox_id is known), not when it runs.

        Calling it again returns the same start. A placement spillover is logged as a warning; when another operation started it,
        by stop().
        """
        ref = super().start()
        if self._config is None or self._config.spillover == "strict":
            return ref
        return _core.derive(ref, self._started)

    def _started(self, value, error):
        """finish function of start(), with placement_spillover."""
        self._tell_spilled()
        if error is not None:
            raise error
        return value

    def _tell_spilled(self) -> None:
        """Logged at start(), or at stop() when another operation started it: the library's thread runs no Python."""
        if not self._spilled or self._spill_logged:
            return
        import logging

        self._spill_logged = True
        logging.getLogger(__name__).warning(
            "the first placement had no room: sandbox %s went to the other one (%s)", self.sandbox_id, self._config.spillover
        )

    def stop(
        self,
        *,
        snapshot_on_stop: bool = False,
        graceful_shutdown_seconds: float = 10.0,
        missing_ok: bool = False,
        wait_for_ready: bool = True,
        request_id: str | None = None,
    ) -> OperationRef[None]:
        """End the sandbox: SIGTERM to the main process, SIGKILL after graceful_shutdown_seconds. Done when it has ended.

        Never started: nothing is sent, and it can no longer be started. Already ended: nothing to do.
        missing_ok: a sandbox the service no longer knows is fine; else SandboxNotFoundError.
        snapshot_on_stop: keep the files of all scratch volumes first; file_system_snapshot_id is the first snapshot.
        wait_for_ready: wait until the snapshots are READY. request_id: makes the snapshot repeatable.
        SandboxSnapshotError: there is no known scratch volume, or it failed. SnapshotOnStopConflictError: the sandbox ends or
        ended without a snapshot.
        """
        self._stopping = True
        self._tell_spilled()
        if not snapshot_on_stop:
            return self._stop(graceful_shutdown_seconds, missing_ok)
        return self._stop(graceful_shutdown_seconds, missing_ok, True, wait_for_ready, request_id)

    def stream_logs(
        self,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
        timeout_seconds: float | None = None,
        container: str | None = None,
    ) -> StreamReader[str]:
        """The output of the main process, line by line. Errors, also of the arguments, are raised by the iteration.

        follow: go on until the process ends. tail_lines: only the last so many. since_time: only newer lines; needs a
        time zone. timestamps: a time before each line. timeout_seconds: of the call, without follow.
        container: name of another container than the primary one.
        """
        since_ns = None
        if since_time is not None:
            if not hasattr(since_time, "tzinfo"):
                return _core.failed_reader(TypeError(f"since_time must be a datetime, not {type(since_time).__name__}"))
            if since_time.tzinfo is None:
                return _core.failed_reader(ValueError("since_time must have a time zone"))
            since_ns = max(int(since_time.timestamp() * 1_000_000), 0) * 1000
        return self._logs(follow, tail_lines, since_ns, timestamps, timeout_seconds, container)

    # ---- context managers

    def __enter__(self) -> Sandbox:
        if self.sandbox_id is None:
            self._run(self)
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        ref = self._leave()
        if ref is None:
            return
        try:
            ref.result()
        except Exception as error:
            self._stop_failed(exc, error)

    async def __aenter__(self) -> Sandbox:
        # The guide promises RUNNING inside `async with`; if that fails nobody else will stop the sandbox.
        try:
            await self._running()
        except BaseException:
            self.stop(missing_ok=True)
            raise
        return self

    async def __aexit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        ref = self._leave()
        if ref is None:
            return
        try:
            await ref
        except Exception as error:
            self._stop_failed(exc, error)

    def _leave(self) -> OperationRef[None] | None:
        if self.sandbox_id is None:
            return None
        if self.status in _TERMINAL:
            if self._session is not None:
                self._session._forget(self)
            return None
        return self.stop()

    def _stop_failed(self, body_error: BaseException | None, error: Exception) -> None:
        """Raise the error of a stop, unless the body of the with statement raised: that one matters more."""
        if body_error is None:
            raise error
        import logging

        logging.getLogger(__name__).warning("could not stop sandbox %s: %s", self.sandbox_id, error)

    def __repr__(self) -> str:
        status = self.status
        return f"<{type(self).__name__} id={self.sandbox_id} status={status if status is not None else 'not_started'}>"

    def _ended_by_us(self) -> bool:
        return self._stopping and self.status in ("terminating", *_TERMINAL, None)


def status_number(status: str | None) -> int:
    """The wire's number of a status name; None: 0, any. ValueError: no such status."""
    if status is None:
        return 0
    from ._status import SandboxStatus

    return SandboxStatus(status).to_proto()


def _check_poll_pair(budget: float | None, rpc: float | None) -> None:
    if budget is None and rpc is None:
        return
    from ._defaults import check_poll

    check_poll(30.0 if budget is None else budget, 15.0 if rpc is None else rpc)


def _check_data_plane(mode: DataPlaneMode | str) -> None:
    if mode != "auto":
        from ._data_plane import to_data_plane_mode

        to_data_plane_mode(mode)


def _timed(ref: OperationRef, plane: DataPlaneMode | str, *times: float | None) -> OperationRef:
    """The same handle; what it finds takes over the way and the times that were given."""
    if times == (None, None, None) and plane == "auto":
        return ref

    def finish(value, error):
        if error is not None:
            raise error
        for sandbox in value if isinstance(value, list) else [value]:
            if times != (None, None, None):
                sandbox._set_times(*times)
            sandbox._take_data_plane(plane)
        return value

    return _core.derive(ref, finish)
