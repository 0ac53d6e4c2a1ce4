"""cwsandbox: run code in sandboxes.

    from cwsandbox import Sandbox

    with Sandbox.run() as sb:
        print(sb.exec(["echo", "hello"]).result().stdout)

Operations return handles at once: ``handle.result()`` blocks for the value, ``await handle`` awaits it. With nothing configured
the sandboxes run on this machine, in a service that is started on first use; CWSANDBOX_BASE_URL names another one.

Names are imported when they are first used, so that importing this package is cheap.
"""

from __future__ import annotations

from . import _cleanup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._core import __version__ as __version__
    from ._auth import (
        AuthConfig as AuthConfig,
        AuthHeaders as AuthHeaders,
        AuthProvider as AuthProvider,
        AuthStrategy as AuthStrategy,
        WandbAuth as WandbAuth,
        set_auth_mode as set_auth_mode,
    )
    from ._batch import Waitable as Waitable, as_completed as as_completed, results as results, wait as wait
    from ._core import (
        OperationRef as OperationRef,
        PortForward as PortForward,
        Process as Process,
        StreamReader as StreamReader,
        StreamWriter as StreamWriter,
        TerminalSession as TerminalSession,
    )
    from ._cleanup import disable_signal_handlers as disable_signal_handlers
    from ._data_plane import DataPlaneMode as DataPlaneMode
    from ._defaults import SandboxDefaults as SandboxDefaults
    from ._discovery import (
        Runner as Runner,
        RunnerResources as RunnerResources,
        get_runner as get_runner,
        list_runners as list_runners,
    )
    from ._files import FileInfo as FileInfo, FileKind as FileKind
    from ._format import format_bytes as format_bytes, format_cpu as format_cpu
    from ._function import RemoteFunction as RemoteFunction
    from ._network import (
        CidrBlock as CidrBlock,
        EgressRule as EgressRule,
        IngressRule as IngressRule,
        NetworkOptions as NetworkOptions,
        PortRange as PortRange,
        SelectorBlock as SelectorBlock,
        TenantScope as TenantScope,
    )
    from ._containers import (
        Container as Container,
        ContainerStatus as ContainerStatus,
        VolumeMount as VolumeMount,
    )
    from ._image import Image as Image
    from ._isolation import (
        ObjectStorageAccess as ObjectStorageAccess,
        ObjectStoragePermission as ObjectStoragePermission,
        SecurityContext as SecurityContext,
    )
    from ._endpoints import (
        EndpointShareToken as EndpointShareToken,
        HttpsEndpointStatus as HttpsEndpointStatus,
        TlsPassthroughEndpointStatus as TlsPassthroughEndpointStatus,
    )
    from ._file import (
        SandboxControl as SandboxControl,
        SandboxFileType as SandboxFileType,
    )
    from ._options import (
        PlacementMode as PlacementMode,
        PlacementSpillover as PlacementSpillover,
        ResourceOptions as ResourceOptions,
    )
    from ._sandbox import Sandbox as Sandbox
    from ._secrets import ImagePullCredentials as ImagePullCredentials, Secret as Secret
    from ._services import (
        Endpoint as Endpoint,
        EndpointAuth as EndpointAuth,
        EndpointKind as EndpointKind,
        Service as Service,
        ServiceProtocol as ServiceProtocol,
        ServiceVisibility as ServiceVisibility,
    )
    from ._session import Session as Session
    from ._snapshots import (
        FileSystemSnapshot as FileSystemSnapshot,
        FileSystemSnapshotBucketConfig as FileSystemSnapshotBucketConfig,
        FileSystemSnapshotBucketMode as FileSystemSnapshotBucketMode,
        FileSystemSnapshotStatus as FileSystemSnapshotStatus,
        FileSystemSnapshotTrigger as FileSystemSnapshotTrigger,
    )
    from ._status import SandboxStatus as SandboxStatus
    from ._types import (
        FieldViolation as FieldViolation,
        ProcessResult as ProcessResult,
        TerminalResult as TerminalResult,
    )
    from ._volume import (
        PvcVolumeSource as PvcVolumeSource,
        Volume as Volume,
        VolumeLocality as VolumeLocality,
        VolumeState as VolumeState,
    )
    from ._volumes import (
        FileSystemSnapshotOptions as FileSystemSnapshotOptions,
        HostDirectory as HostDirectory,
        RegisteredVolumeOptions as RegisteredVolumeOptions,
        ScratchVolumeOptions as ScratchVolumeOptions,
        StorageMedium as StorageMedium,
    )
    from .exceptions import *  # noqa: F403

# Written out for type checkers. tests/python/test_import.py compares it with _HOME.
__all__ = [
    "AsyncFunctionError",
    "AuthConfig",
    "AuthHeaders",
    "AuthProvider",
    "AuthStrategy",
    "CWSandboxAuthenticationError",
    "CWSandboxError",
    "CWSandboxValidationError",
    "CidrBlock",
    "Container",
    "ContainerStatus",
    "DataPlaneMode",
    "DiscoveryError",
    "DiscoveryValidationError",
    "EgressRule",
    "Endpoint",
    "EndpointAuth",
    "EndpointKind",
    "EndpointShareToken",
    "FieldViolation",
    "FileInfo",
    "FileKind",
    "FileSystemSnapshot",
    "FileSystemSnapshotBucketConfig",
    "FileSystemSnapshotBucketMode",
    "FileSystemSnapshotOptions",
    "FileSystemSnapshotStatus",
    "FileSystemSnapshotTrigger",
    "FunctionError",
    "HostDirectory",
    "HttpsEndpointStatus",
    "Image",
    "ImagePullCredentials",
    "IngressRule",
    "NetworkOptions",
    "ObjectStorageAccess",
    "ObjectStoragePermission",
    "OperationRef",
    "PlacementMode",
    "PlacementSpillover",
    "PortForward",
    "PortRange",
    "Process",
    "ProcessResult",
    "PvcVolumeSource",
    "RegisteredVolumeOptions",
    "RemoteFunction",
    "ResourceOptions",
    "Runner",
    "RunnerNotFoundError",
    "RunnerResources",
    "Sandbox",
    "SandboxCommandTimeoutError",
    "SandboxControl",
    "SandboxDefaults",
    "SandboxError",
    "SandboxExecutionError",
    "SandboxFailedError",
    "SandboxFileError",
    "SandboxFileType",
    "SandboxNotFoundError",
    "SandboxNotRunningError",
    "SandboxProtocolError",
    "SandboxRequestTimeoutError",
    "SandboxResourceExhaustedError",
    "SandboxSnapshotError",
    "SandboxStatus",
    "SandboxStreamBackpressureError",
    "SandboxStreamTruncatedError",
    "SandboxTerminalStateUnavailableError",
    "SandboxTerminatedError",
    "SandboxTimeoutError",
    "SandboxUnavailableError",
    "SandboxValidationError",
    "ScratchVolumeOptions",
    "Secret",
    "SecurityContext",
    "SelectorBlock",
    "Service",
    "ServiceProtocol",
    "ServiceVisibility",
    "Session",
    "SnapshotBackendThrottledError",
    "SnapshotBucketMismatchError",
    "SnapshotBucketProvisioningError",
    "SnapshotNotFoundError",
    "SnapshotNotReadyError",
    "SnapshotNotSupportedError",
    "SnapshotOnStopConflictError",
    "SnapshotQuotaExceededError",
    "SnapshotSizeExceededError",
    "SnapshotWaitTimeoutError",
    "StorageMedium",
    "StreamReader",
    "StreamWriter",
    "TenantScope",
    "TerminalResult",
    "TerminalSession",
    "TlsPassthroughEndpointStatus",
    "Volume",
    "VolumeBackendNotFoundError",
    "VolumeError",
    "VolumeInUseError",
    "VolumeLocality",
    "VolumeMount",
    "VolumeNotFoundError",
    "VolumeNotReadyError",
    "VolumeNotSnapshottableError",
    "VolumePlacementConflictError",
    "VolumeQuotaExceededError",
    "VolumeRunnerIneligibleError",
    "VolumeRunnerUnavailableError",
    "VolumeState",
    "VolumeTypeNotSupportedError",
    "VolumeWaitTimeoutError",
    "Waitable",
    "WandbAuth",
    "__version__",
    "as_completed",
    "disable_signal_handlers",
    "format_bytes",
    "format_cpu",
    "get_runner",
    "list_runners",
    "results",
    "set_auth_mode",
    "wait",
]

_HOME = {
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "exceptions"),
    "AuthConfig": "_auth",
    "AuthHeaders": "_auth",
    "AuthProvider": "_auth",
    "AuthStrategy": "_auth",
    "CidrBlock": "_network",
    "Container": "_containers",
    "ContainerStatus": "_containers",
    "DataPlaneMode": "_data_plane",
    "EgressRule": "_network",
    "Endpoint": "_services",
    "EndpointAuth": "_services",
    "EndpointKind": "_services",
    "EndpointShareToken": "_endpoints",
    "FieldViolation": "_types",
    "FileInfo": "_files",
    "FileKind": "_files",
    "FileSystemSnapshot": "_snapshots",
    "FileSystemSnapshotBucketConfig": "_snapshots",
    "FileSystemSnapshotBucketMode": "_snapshots",
    "FileSystemSnapshotOptions": "_volumes",
    "FileSystemSnapshotStatus": "_snapshots",
    "FileSystemSnapshotTrigger": "_snapshots",
    "HostDirectory": "_volumes",
    "HttpsEndpointStatus": "_endpoints",
    "Image": "_image",
    "ImagePullCredentials": "_secrets",
    "IngressRule": "_network",
    "NetworkOptions": "_network",
    "ObjectStorageAccess": "_isolation",
    "ObjectStoragePermission": "_isolation",
    "OperationRef": "_lib",
    "PlacementMode": "_options",
    "PlacementSpillover": "_options",
    "PortForward": "_lib",
    "PortRange": "_network",
    "Process": "_lib",
    "ProcessResult": "_types",
    "RegisteredVolumeOptions": "_volumes",
    "RemoteFunction": "_function",
    "ResourceOptions": "_options",
    "Runner": "_discovery",
    "RunnerResources": "_discovery",
    "Sandbox": "_sandbox",
    "SandboxControl": "_file",
    "SandboxDefaults": "_defaults",
    "SandboxFileType": "_file",
    "SandboxStatus": "_status",
    "ScratchVolumeOptions": "_volumes",
    "Secret": "_secrets",
    "SecurityContext": "_isolation",
    "SelectorBlock": "_network",
    "Service": "_services",
    "ServiceProtocol": "_services",
    "ServiceVisibility": "_services",
    "Session": "_session",
    "StorageMedium": "_volumes",
    "StreamReader": "_lib",
    "StreamWriter": "_lib",
    "TenantScope": "_network",
    "TerminalResult": "_types",
    "TerminalSession": "_lib",
    "TlsPassthroughEndpointStatus": "_endpoints",
    "VolumeMount": "_containers",
    "PvcVolumeSource": "_volume",
    "Volume": "_volume",
    "VolumeLocality": "_volume",
    "VolumeState": "_volume",
    "Waitable": "_batch",
    "WandbAuth": "_auth",
    "__version__": "_core",
    "disable_signal_handlers": "_cleanup",
    "as_completed": "_batch",
    "format_bytes": "_format",
    "format_cpu": "_format",
    "get_runner": "_discovery",
    "list_runners": "_discovery",
    "results": "_batch",
    "set_auth_mode": "_auth",
    "wait": "_batch",
}

if not TYPE_CHECKING:  # a checker would believe that any name exists

    def __getattr__(name: str):
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        from ._hints import attach

        value = getattr(import_module(f".{home}", __name__), name)
        attach(value)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

