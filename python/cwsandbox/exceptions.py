"""Exceptions of cwsandbox.

All derive from CWSandboxError. Its attributes hold what the service sent: ``reason`` ("CWSANDBOX_..." or None), ``metadata`` (dict of
str) and ``retry_delay`` (timedelta or None). ``__cause__`` is the error this one was made from.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta
    from typing import Any

    from ._types import FieldViolation, ProcessResult


class CWSandboxError(Exception):
    """Base of all errors of this package."""

    def __init__(
        self,
        message: str = "",
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.metadata: dict[str, str] = dict(metadata) if metadata else {}
        self.retry_delay = retry_delay

    def __reduce__(self) -> tuple[Any, ...]:
        # For pickle and copy: BaseException's own way would call classes without the keywords that they require
        from copyreg import __newobj__

        return __newobj__, (type(self), *self.args), self.__dict__


class CWSandboxAuthenticationError(CWSandboxError):
    """The credentials are missing, wrong, or not allowed to do this."""


class CWSandboxValidationError(CWSandboxError):
    """The service refused the values of a request; see field_violations."""

    def __init__(self, message: str = "", *, field_violations: Iterable[FieldViolation] = (), **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.field_violations: tuple[FieldViolation, ...] = tuple(field_violations)


class SandboxError(CWSandboxError):
    """An operation on a sandbox failed."""


class SandboxValidationError(SandboxError, CWSandboxValidationError):
    """The service refused the description of a sandbox."""


class SandboxNotRunningError(SandboxError):
    """The sandbox was not started, was stopped, or is ending."""


class SandboxUnavailableError(SandboxNotRunningError):
    """The service or the machine of the sandbox cannot be reached now; trying again may work."""


class SandboxTimeoutError(SandboxError):
    """Something took longer than its time-out. Not a builtin TimeoutError: that one comes from result(timeout).

    exec_result is all that is known of a command that was killed, its output until then included, with timed_out=True; its
    returncode is -1 where the service does not say how it ended. None: it was no command, or not begun. stdout, stderr,
    stdout_bytes and stderr_bytes are those of exec_result.
    """

    exec_result: ProcessResult | None = None

    @property
    def stdout(self) -> str | None:
        """What the command wrote until then."""
        return self.exec_result.stdout if self.exec_result else None

    @property
    def stderr(self) -> str | None:
        """What the command wrote to its standard error until then."""
        return self.exec_result.stderr if self.exec_result else None

    @property
    def stdout_bytes(self) -> bytes | None:
        """stdout, undecoded."""
        return self.exec_result.stdout_bytes if self.exec_result else None

    @property
    def stderr_bytes(self) -> bytes | None:
        """stderr, undecoded."""
        return self.exec_result.stderr_bytes if self.exec_result else None


class SandboxRequestTimeoutError(SandboxTimeoutError):
    """A request to the service took too long."""


class SandboxCommandTimeoutError(SandboxTimeoutError):
    """A command ran longer than its time-out and was killed."""


class SandboxTerminatedError(SandboxError):
    """The sandbox was ended from outside."""


class SandboxFailedError(SandboxError):
    """The sandbox failed, or failed to start. status_reason: the service's words on why, or None."""

    def __init__(
        self, message: str = "", *, sandbox_id: str | None = None, status_reason: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(message, **kwargs)
        self.sandbox_id = sandbox_id
        self.status_reason = status_reason


class SandboxProtocolError(SandboxError):
    """The service answered with something that is no valid message."""


class SandboxNotFoundError(SandboxError):
    """There is no such sandbox."""

    def __init__(self, message: str = "", *, sandbox_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.sandbox_id = sandbox_id


class SandboxExecutionError(SandboxError):
    """A command failed. With check=True, exec_result is its ProcessResult."""

    def __init__(
        self,
        message: str = "",
        *,
        exec_result: ProcessResult | None = None,
        exception_type: str | None = None,
        exception_message: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(message, **kwargs)
        self.exec_result = exec_result
        self.exception_type = exception_type
        self.exception_message = exception_message


class _StreamError(SandboxExecutionError):
    """An error that a stream reported in band: it has a code of its own instead of a reason."""

    def __init__(
        self,
        message: str = "",
        *,
        stream_code: str | None = None,
        exec_result: ProcessResult | None = None,
        exception_type: str | None = None,
        exception_message: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: timedelta | None = None,
    ) -> None:
        super().__init__(
            message,
            exec_result=exec_result,
            exception_type=exception_type,
            exception_message=exception_message,
            metadata=metadata,
            retry_delay=retry_delay,
        )
        self.stream_code = stream_code


class SandboxStreamBackpressureError(_StreamError):
    """The service gave up on a stream that was read too slowly."""


class SandboxStreamTruncatedError(_StreamError):
    """Part of a stream was lost."""


class SandboxFileError(SandboxError):
    """Reading or writing a file failed; filepath names it."""

    def __init__(self, message: str = "", *, filepath: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.filepath = filepath


class SandboxResourceExhaustedError(SandboxError):
    """A quota or a limit of the service was reached."""


class SandboxTerminalStateUnavailableError(SandboxError):
    """The sandbox ended, but the service no longer knows how."""


class SandboxSnapshotError(SandboxError):
    """A snapshot operation failed."""

    def __init__(self, message: str = "", *, file_system_snapshot_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.file_system_snapshot_id = file_system_snapshot_id


class SnapshotNotFoundError(SandboxSnapshotError):
    """There is no such snapshot."""


class SnapshotNotReadyError(SandboxSnapshotError):
    """The snapshot cannot be used yet."""


class SnapshotNotSupportedError(SandboxSnapshotError):
    """This service or runner has no snapshots."""


class SnapshotSizeExceededError(SandboxSnapshotError):
    """The volume is too large for a snapshot."""


class SnapshotQuotaExceededError(SandboxSnapshotError):
    """There are too many snapshots."""


class SnapshotBucketMismatchError(SandboxSnapshotError):
    """The snapshot is in another bucket than the one configured."""


class SnapshotOnStopConflictError(SandboxSnapshotError):
    """The sandbox is already being stopped without a snapshot."""


class SnapshotBackendThrottledError(SandboxUnavailableError, SandboxSnapshotError):
    """The snapshot store is busy; try again later."""


class SnapshotBucketProvisioningError(SandboxUnavailableError, SandboxSnapshotError):
    """The bucket for snapshots is being made; try again later. The sandbox goes on running."""


class SnapshotWaitTimeoutError(SandboxTimeoutError, SandboxSnapshotError):
    """A snapshot did not become ready in time."""


class VolumeError(SandboxError):
    """An operation on a registered volume failed; volume_id names it."""

    def __init__(self, message: str = "", *, volume_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.volume_id = volume_id


class VolumeNotFoundError(VolumeError):
    """There is no such volume."""


class VolumeNotReadyError(VolumeError):
    """The volume cannot be used yet."""


class VolumePlacementConflictError(VolumeError):
    """The volumes of a sandbox cannot be used together in one place."""


class VolumeTypeNotSupportedError(VolumeError):
    """This service has no volumes of this type."""


class VolumeNotSnapshottableError(VolumeError):
    """The volume cannot be snapshotted."""


class VolumeRunnerIneligibleError(VolumeError):
    """The runner of the volume cannot take the sandbox."""


class VolumeBackendNotFoundError(VolumeError):
    """What the volume stands for does not exist."""


class VolumeInUseError(VolumeError):
    """Sandboxes use the volume."""


class VolumeQuotaExceededError(VolumeError):
    """There are too many volumes."""


class VolumeRunnerUnavailableError(VolumeError, SandboxUnavailableError):
    """The runner of the volume cannot be reached now; trying again may work."""


class VolumeWaitTimeoutError(SandboxTimeoutError):
    """A volume did not become ready in time."""

    def __init__(self, message: str = "", *, volume_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.volume_id = volume_id


class DiscoveryError(CWSandboxError):
    """Asking for runners failed."""


class DiscoveryValidationError(DiscoveryError, CWSandboxValidationError):
    """The service refused the values of a discovery request."""


class RunnerNotFoundError(DiscoveryError):
    """There is no such runner."""

    def __init__(self, message: str = "", *, runner_id: str, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.runner_id = runner_id


class ProfileNotFoundError(DiscoveryError):
    """There is no such profile. Profiles left the service; the name stays for old programs."""

    def __init__(self, message: str = "", *, profile_name: str, runner_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.profile_name = profile_name
        self.runner_id = runner_id


class FunctionError(CWSandboxError):
    """A function could not be run in a sandbox."""


class AsyncFunctionError(FunctionError):
    """Async functions cannot be run in a sandbox."""


if not TYPE_CHECKING:  # a checker would believe that any name exists

    def __getattr__(name: str):
        if name == "FieldViolation":  # a dataclass: not worth importing dataclasses for until there is one
            from ._types import FieldViolation

            return FieldViolation
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def _late_hints() -> None:
        from ._hints import attach

        for value in list(globals().values()):
            if isinstance(value, type) and issubclass(value, Exception):
                attach(value)

    _late_hints()
