"""Session: sandboxes with common defaults that are stopped together."""

from __future__ import annotations

import os
import weakref

from . import _cleanup, _core
from ._config import refuse, string_list
from ._defaults import SandboxDefaults, is_documented, to_defaults
from ._lib import make_target
from ._metrics import WandbReporter, wanted
from ._options import string_tuple
from ._sandbox import Sandbox, status_number
from .exceptions import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, ParamSpec, TypeVar

    from ._auth import AuthConfig
    from ._core import OperationRef
    from ._image import Image
    from ._data_plane import DataPlaneMode
    from ._function import RemoteFunction
    from ._containers import Container
    from ._isolation import ObjectStorageAccess, SecurityContext
    from ._network import NetworkOptions
    from ._options import PlacementMode, PlacementSpillover, ResourceOptions
    from ._pool import Pool
    from ._secrets import ImagePullCredentials, Secret
    from ._services import Service
    from ._volumes import FileSystemSnapshotOptions, HostDirectory, RegisteredVolumeOptions, ScratchVolumeOptions

    P = ParamSpec("P")
    R = TypeVar("R")

_sessions: weakref.WeakSet[Session] = weakref.WeakSet()

# A child process must not stop the sandboxes of its parent when it exits.
os.register_at_fork(after_in_child=_sessions.clear)


def open_sessions() -> list[Session]:
    """The sessions of this process that are still open, for the clean-up at exit."""
    return [session for session in _sessions if not session._closed]


class Session:
    """Makes, finds and adopts sandboxes with common defaults; stops them all when it is closed.

    Use it as ``with Session(...) as session`` or ``async with``. Sessions that are open when the program ends are closed then.

    report_to: None: metrics go to the program's W&B run when it has one; []: no metrics; ["wandb"]: as None.
    auth: credentials of all that it does, instead of those of defaults; see Sandbox().
    """

    def __init__(
        self,
        defaults: SandboxDefaults | Mapping[str, Any] | None = None,
        report_to: builtins.list[str] | None = None,
        *,
        auth: AuthConfig | None = None,
    ) -> None:
        self._defaults = to_defaults(defaults)
        if auth is not None:
            self._defaults = self._defaults.with_overrides(auth=auth)
        self._reporter: WandbReporter | None = WandbReporter() if wanted(report_to) else None
        self._pools: builtins.list[Pool] = []  # of its functions; a pool removes itself
        self._registered: dict[int, Sandbox] = {}  # by id(): sandboxes are not hashable by value
        self._closed = False
        _sessions.add(self)

    @property
    def sandbox_count(self) -> int:
        """How many sandboxes this session would stop."""
        self._prune()
        return len(self._registered)

    def sandbox(
        self,
        *,
        command: str | None = None,
        args: Sequence[str] | None = None,
        container_image: str | Image | None = None,
        tags: Sequence[str] | None = None,
        runner_ids: Sequence[str] | None = None,
        resources: ResourceOptions | Mapping[str, Any] | None = None,
        mounted_files: Sequence[Mapping[str, Any]] | Mapping[str, bytes | str] | None = None,
        network: NetworkOptions | Mapping[str, Any] | None = None,
        services: Sequence[Service | Mapping[str, Any]] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | HostDirectory | Mapping[str, Any]] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | Mapping[str, Any] | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        template_id: str | None = None,
        image_pull_credentials: ImagePullCredentials | Mapping[str, Any] | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | Mapping[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | Mapping[str, Any] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        secrets: Sequence[Secret | Mapping[str, Any]] | None = None,
        request_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        auth: AuthConfig | None = None,
        containers: Sequence[Container | Mapping[str, Any]] | None = None,
    ) -> Sandbox:
        """A sandbox that is not started yet; the first operation starts it. Arguments as for Sandbox()."""
        return self._new_sandbox(self._defaults, {name: value for name, value in locals().items() if name != "self"})

    def _function_sandbox(self, arguments: Mapping[str, Any]) -> Sandbox:
        """The sandbox of a function, which has one container whatever the defaults say."""
        return self._new_sandbox(self._defaults.with_overrides(containers=None), arguments)

    def _new_sandbox(self, defaults: SandboxDefaults, arguments: Mapping[str, Any]) -> Sandbox:
        self._check_open()
        sandbox = Sandbox(defaults=defaults, _session=self, **arguments)
        self._registered[id(sandbox)] = sandbox
        if self._reporter is not None:
            self._reporter.created(sandbox)
        return sandbox

    def list(
        self,
        *,
        tags: Sequence[str] | None = None,
        status: str | None = None,
        profile_ids: None = None,
        profile_names: None = None,
        runner_ids: Sequence[str] | None = None,
        show_terminated: bool = False,
        adopt: bool = False,
        volume_ids: Sequence[str] | None = None,
    ) -> OperationRef[builtins.list[Sandbox]]:
        """Handle for the sandboxes that have the session's tags and the given ones. adopt: stop them with this session.

        volume_ids: only those that use any of these registered volumes.
        """
        try:
            refuse({"profile_ids": profile_ids, "profile_names": profile_names})
            runners = runner_ids if runner_ids is not None else self._defaults.runner_ids or ()
            ref = _core.list_sandboxes(
                Sandbox,
                self._target(),
                self._defaults.merge_tags(tags),
                list(string_tuple(runners, "runner_ids")),
                status_number(status),
                show_terminated,
                self._defaults.request_timeout_seconds,
                string_list(volume_ids, "volume_ids"),
            )
        except Exception as exc:
            return _core.failed(exc)
        return _core.derive(ref, self._adopting(adopt))

    def from_id(self, sandbox_id: str, *, adopt: bool = True) -> OperationRef[Sandbox]:
        """Handle for the sandbox with this id. adopt: stop it with this session. SandboxNotFoundError: there is none."""
        try:
            ref = _core.from_id(Sandbox, self._target(), sandbox_id, self._defaults.request_timeout_seconds)
        except Exception as exc:
            return _core.failed(exc)
        return _core.derive(ref, self._adopting(adopt))

    def adopt(self, sandbox: Sandbox) -> None:
        """Stop this sandbox with the session. SandboxError: closed session. ValueError: it has no id yet."""
        self._check_open()
        if sandbox.sandbox_id is None:
            raise ValueError("cannot adopt a sandbox without sandbox_id; start it first")
        self._register(sandbox)
        _cleanup.owned()

    def close(self) -> OperationRef[None]:
        """Stop all sandboxes of this session at once. Sandboxes that were not started cannot be started any more.

        SandboxError when some could not be stopped; its __cause__ is an ExceptionGroup. Closing again does nothing.
        """
        if self._closed:
            return _core.resolved(None)
        self._closed = True
        for pool in list(self._pools):
            pool.close()
        sandboxes = list(self._registered.values())
        self._registered.clear()
        return _core.gather([sandbox.stop() for sandbox in sandboxes], self._all_stopped(sandboxes))

    def function(
        self,
        *,
        container_image: str | Image | None = None,
        temp_dir: str | None = None,
        runner_ids: Sequence[str] | None = None,
        resources: ResourceOptions | Mapping[str, Any] | None = None,
        mounted_files: Sequence[Mapping[str, Any]] | Mapping[str, bytes | str] | None = None,
        network: NetworkOptions | Mapping[str, Any] | None = None,
        services: Sequence[Service | Mapping[str, Any]] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | HostDirectory | Mapping[str, Any]] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | Mapping[str, Any] | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | Mapping[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | Mapping[str, Any] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        request_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        fresh: bool = False,
        max_in_flight: int | None = None,
    ) -> Callable[[Callable[P, R]], RemoteFunction[P, R]]:
        """Decorator: calls of the function run in sandboxes with these arguments over the session's defaults.

        ``f.remote(*args)`` starts one call, ``f.map(items)`` many, ``f.local(*args)`` runs it here. A few sandboxes with a warm
        interpreter serve all calls; each call has a process of its own there. fresh: a new sandbox for each call.
        temp_dir: where a fresh call keeps its two files. request_timeout_seconds: limit of a call, from when it has its place.
        max_in_flight: how many calls run at a time; the others wait. None: as many as the sandboxes take, of fresh ones two for
        each CPU of this machine, 32 elsewhere. environment_variables: read at each call.
        """
        arguments = {name: value for name, value in locals().items() if name != "self"}
        arguments["temp_dir"] = temp_dir or self._defaults.temp_dir
        from ._function import RemoteFunction

        if network is not None:
            from ._network import to_network

            to_network(network)  # a wrong type is told before there is a function
        return lambda fn: RemoteFunction(fn, session=self, **arguments)

    def get_metrics(self) -> dict[str, float]:
        """What this session did so far, by names like "cwsandbox/executions"; {} with report_to=[]."""
        return {} if self._reporter is None else self._reporter.metrics()

    def log_metrics(self, step: int | None = None, *, reset: bool = True) -> bool:
        """Send the metrics to the W&B run of this program, and count from zero unless reset is False.

        False: there is no run, nothing happened, or the run refused (a warning says so).
        """
        return self._reporter is not None and self._reporter.log(step, reset=reset)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close().result()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Session sandboxes={self.sandbox_count} status={'closed' if self._closed else 'open'}>"

    # ---- the registry

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxError("session is closed")

    def _register(self, sandbox: Sandbox) -> None:
        sandbox._session = self
        self._registered[id(sandbox)] = sandbox
        if self._reporter is not None:
            self._reporter.adopted(sandbox)

    def _forget(self, sandbox: Sandbox) -> None:
        self._registered.pop(id(sandbox), None)
        if self._reporter is not None:
            self._reporter.forgotten(sandbox)

    def _prune(self) -> None:
        for sandbox in [sandbox for sandbox in self._registered.values() if sandbox._ended_by_us()]:
            self._forget(sandbox)

    def _url(self) -> str:
        """Where calls go; no credentials are asked for."""
        from ._lib import url_of

        url = self._defaults.base_url
        return url_of(None if is_documented(url) else url, self._defaults.auth)

    def _target(self) -> _core.Target:
        url = self._defaults.base_url
        return make_target(None if is_documented(url) else url, self._defaults.auth)

    def _adopting(self, adopt: bool):
        """finish function of list and from_id: takes over timeouts, registers."""
        if adopt:
            _cleanup.owned()

        def finish(value, error):
            if error is not None:
                raise error
            for sandbox in value if isinstance(value, list) else [value]:
                d = self._defaults
                sandbox._set_times(d.request_timeout_seconds, d.poll_retry_budget_seconds, d.poll_rpc_timeout_seconds)
                sandbox._take_data_plane(d.data_plane_mode)
                if adopt:
                    self._register(sandbox)
            return value

        return finish

    def _all_stopped(self, sandboxes: builtins.list[Sandbox]):
        """finish function of close(): flushes the metrics, tells what could not be stopped."""

        def finish(refs, error):
            if self._reporter is not None:
                for sandbox in sandboxes:
                    self._reporter.forgotten(sandbox)
                self._reporter.log()
            errors = []
            for ref in refs:
                try:
                    ref.result()
                except Exception as exc:
                    errors.append(exc)
            if errors:
                n = len(errors)
                raise SandboxError(f"Failed to stop {n} sandbox{'es' if n > 1 else ''}") from ExceptionGroup(
                    "sandboxes that could not be stopped", errors
                )

        return finish
