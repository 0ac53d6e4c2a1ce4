"""Names, signatures, defaults, enum values and the exception tree, against those of the published client.

The tables below are the contract's for client 1.22.0, in its words. What is not built is listed once, in NOT_BUILT, with the reason: its tests are
expected to fail, strictly, so that building the thing fails the run until its line here is deleted.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import inspect
import pickle
import types
import typing

import cwsandbox
import cwsandbox.exceptions
import pytest
from cwsandbox import Sandbox

NOT_BUILT: dict[str, str] = {}

FUNCTIONS = {
    "results": "(refs, /)",
    "wait": "(waitables, num_returns=None, timeout=None)",
    "set_auth_mode": "(name, get_auth)",
    "disable_signal_handlers": "()",
    "list_runners": "(*, auth=None, runner_group_id=None, gpu_type=None, architecture=None, healthy_only=False, include_resources=False,"
                    " min_available_cpu_millicores=None, min_available_memory_bytes=None, min_available_gpu_count=None,"
                    " service_visibility=None)",
    "get_runner": "(runner_id, *, organization_id, auth=None)",
    "format_bytes": "(value)",
    "format_cpu": "(millicores)",
}
# The contract names no parameter here; only how many there are is compared
POSITIONAL = {"format_bytes", "format_cpu", "results"}

OPTIONS = """command=None, args=None, defaults=None, auth=None, container_image=None, tags=None, base_url=None,
request_timeout_seconds=None, create_retry_budget_seconds=None, poll_retry_budget_seconds=None, poll_rpc_timeout_seconds=None, max_lifetime_seconds=None,
profile_ids=None, profile_names=None, runner_ids=None, resources=None, mounted_files=None, s3_mount=None, ports=None,
network=None, file_system_snapshot=None, max_timeout_seconds=None, placement_mode=None, placement_spillover=None, services=None,
volumes=None, template_id=None, image_pull_credentials=None, runtime_class=None, security_context=None, working_dir=None,
object_storage_access=None, environment_variables=None, annotations=None, secrets=None, data_plane_mode=None,
containers=None, _from_file=None,
_session=None"""
POLL = "poll_retry_budget_seconds=None, poll_rpc_timeout_seconds=None"

VOLUME_CALL = "base_url=None, timeout_seconds=None, auth=None)"
METHODS = {
    "PvcVolumeSource": "(*, runner_id, namespace, claim_name, sub_path=None)",
    "Volume": "(*, volume_id, pvc=None, read_only=False, description='', state='unspecified', state_reason='', locality='unspecified',"
              " access_modes=(), capacity='', attached_sandbox_count=0, created_at=None, updated_at=None, last_validated_at=None,"
              f" {VOLUME_CALL}",
    "Volume.create": f"(volume_id, *, pvc, read_only=False, description='', request_id=None, {VOLUME_CALL}",
    "Volume.get": f"(volume_id, *, {VOLUME_CALL}",
    "Volume.list": f"(*, states=None, runner_ids=None, {VOLUME_CALL}",
    "Volume.update": f"(self, *, description, {VOLUME_CALL}",
    "Volume.delete": f"(self, *, allow_missing=False, force=False, {VOLUME_CALL}",
    "Volume.validate": f"(self, *, {VOLUME_CALL}",
    "Volume.wait_until_ready": f"(self, timeout=60.0, *, {VOLUME_CALL}",
    "Sandbox": f"(*, {OPTIONS})",
    "Sandbox.session": "(defaults=None, *, auth=None)",
    "Sandbox.list": "(*, tags=None, status=None, profile_ids=None, profile_names=None, runner_ids=None, show_terminated=False,"
                    f" base_url=None, auth=None, timeout_seconds=None, {POLL}, data_plane_mode='auto', volume_ids=None)",
    "Sandbox.from_id": f"(sandbox_id, *, base_url=None, auth=None, timeout_seconds=None, {POLL}, data_plane_mode='auto')",
    "Sandbox.delete": "(sandbox_id, *, base_url=None, auth=None, timeout_seconds=None, missing_ok=False)",
    "Sandbox.get_snapshot": "(file_system_snapshot_id, *, base_url=None, auth=None, timeout_seconds=None)",
    "Sandbox.list_snapshots": "(*, source_sandbox_id=None, status=None, base_url=None, auth=None, timeout_seconds=None)",
    "Sandbox.delete_snapshot": "(file_system_snapshot_id, *, base_url=None, auth=None, timeout_seconds=None, missing_ok=False)",
    "Sandbox.get_snapshot_bucket_config": "(*, base_url=None, auth=None, timeout_seconds=None)",
    "Sandbox.set_snapshot_bucket_config": "(*, bucket_name, region='', base_url=None, auth=None, timeout_seconds=None)",
    "Sandbox.start": "(self)",
    "Sandbox.wait": "(self, timeout=None)",
    "Sandbox.wait_until_complete": "(self, timeout=None, *, raise_on_termination=True)",
    "Sandbox.get_status": "(self)",
    "Sandbox.exec": "(self, command, *, cwd=None, check=False, timeout_seconds=None, stdin=False, container=None)",
    "Sandbox.shell": "(self, command=None, *, width=None, height=None, container=None)",
    "Sandbox.read_file": "(self, filepath, *, timeout_seconds=None, container=None)",
    "Sandbox.write_file": "(self, filepath, contents, *, timeout_seconds=None, container=None)",
    "Sandbox.read_file_streaming": "(self, filepath, *, timeout_seconds=None, container=None)",
    "Sandbox.write_file_streaming": "(self, filepath, source, *, timeout_seconds=None, container=None)",
    "Sandbox.stream_logs": "(self, *, follow=False, tail_lines=None, since_time=None, timestamps=False, timeout_seconds=None,"
                           " container=None)",
    "Sandbox.snapshot": "(self, *, wait_for_ready=True, request_id=None, retry_budget_seconds=None)",
    "Sandbox.stop": "(self, *, snapshot_on_stop=False, graceful_shutdown_seconds=10.0, missing_ok=False, wait_for_ready=True,"
                    " request_id=None)",
    "Session": "(defaults=None, report_to=None, *, auth=None)",
    "Session.list": "(self, *, tags=None, status=None, profile_ids=None, profile_names=None, runner_ids=None,"
                    " show_terminated=False, adopt=False, volume_ids=None)",
    "Session.from_id": "(self, sandbox_id, *, adopt=True)",
    "Session.adopt": "(self, sandbox)",
    "Session.close": "(self)",
    "Session.log_metrics": "(self, step=None, *, reset=True)",
    "Session.get_metrics": "(self)",
    "OperationRef.result": "(self, timeout=None)",
    "Process.wait": "(self, timeout=None)",
    "Process.result": "(self, timeout=None)",
    "Process.poll": "(self)",
    "Process.cancel": "(self)",
    "TerminalSession.wait": "(self, timeout=None)",
    "TerminalSession.result": "(self, timeout=None)",
    "TerminalSession.resize": "(self, width, height)",
    "StreamReader.close": "(self)",
    "StreamWriter.write": "(self, data)",
    "StreamWriter.writeline": "(self, text, encoding='utf-8')",
    "StreamWriter.close": "(self)",
    "SandboxDefaults.merge_tags": "(self, additional)",
    "SandboxDefaults.merge_environment_variables": "(self, additional)",
    "SandboxDefaults.merge_annotations": "(self, additional)",
    "SandboxStatus.from_proto": "(value)",
    "SandboxStatus.to_proto": "(self)",
}
# Accepted as keywords, however the function spells it
KEYWORDS = {
    "Sandbox.run": "container_image defaults tags request_timeout_seconds create_retry_budget_seconds poll_retry_budget_seconds poll_rpc_timeout_seconds"
                   " max_lifetime_seconds runner_ids resources mounted_files network file_system_snapshot placement_mode"
                   " placement_spillover services volumes template_id image_pull_credentials environment_variables annotations"
                   " secrets runtime_class security_context working_dir object_storage_access containers auth data_plane_mode",
    "Session.sandbox": "command args container_image tags runner_ids resources mounted_files network services volumes"
                       " file_system_snapshot placement_mode placement_spillover template_id image_pull_credentials"
                       " environment_variables annotations secrets request_timeout_seconds runtime_class security_context"
                       " working_dir object_storage_access containers auth data_plane_mode",
    "Session.function": "runtime_class security_context working_dir object_storage_access container_image temp_dir runner_ids resources mounted_files network services volumes"
                        " file_system_snapshot placement_mode placement_spillover environment_variables annotations"
                        " request_timeout_seconds data_plane_mode",
}

CLASSES = """Sandbox Volume PvcVolumeSource Session RemoteFunction OperationRef Process StreamReader StreamWriter TerminalSession
AuthProvider EndpointShareToken""".split()

# What ours has on top: fields behind the contract's, keyword arguments behind its own. All have defaults.
ADDED = {
    "names": ["FileInfo", "FileKind", "HostDirectory", "Image", "PortForward", "as_completed"],
    "results": ["return_exceptions", "progress"],
    "RemoteFunction.map": ["return_exceptions"],
    "Session.function": ["max_in_flight"],
    "ProcessResult": [
        "stdout_truncated", "stderr_truncated", "timed_out", "oom_killed", "signal", "duration", "cpu_seconds", "peak_memory_bytes",
    ],  # fmt: skip
    "Sandbox.exec": ["input", "max_output_bytes", "env", "user", "discard_output"],
    **dict.fromkeys([f"Sandbox.{n}_file{s}" for n in ("read", "write") for s in ("", "_streaming")], ["user"]),
}

REQUIRED = "required"
DATACLASSES = {
    "ProcessResult": dict(stdout=REQUIRED, stderr=REQUIRED, returncode=REQUIRED, stdout_bytes=b"", stderr_bytes=b"", command=[]),
    "TerminalResult": dict(returncode=REQUIRED, command=[]),
    "FieldViolation": dict(field="", description=""),
    "AuthHeaders": None,
    "WandbAuth": dict(entity=None, project=None),
    "Runner": dict.fromkeys("runner_id organization_id runner_group_id tags healthy is_shared connected_at max_cpu_millicores"
                            " max_memory_bytes max_gpu_count supported_gpu_types supported_architectures supports_privileged"
                            " available_storage_classes supported_service_visibilities resources".split()),
    "RunnerResources": dict.fromkeys("available_cpu_millicores available_memory_bytes available_gpu_count"
                                     " running_sandboxes".split()),
    "ResourceOptions": dict.fromkeys(["requests", "limits", "gpu"]),
    "NetworkOptions": dict.fromkeys(["deny_egress", "deny_ingress", "egress", "ingress"]),
    "EgressRule": dict(dns_name=None, cidr=None, tenant=None, any=False, selector=None, ports=None, dns_name_except=None),
    "IngressRule": dict(cidr=None, tenant=None, any=False, ports=None),
    "CidrBlock": dict(cidr=REQUIRED, except_cidrs=()),
    "SelectorBlock": dict(pod_labels=REQUIRED, namespace_labels=None),
    "PortRange": dict(port=REQUIRED, end_port=None, protocol=None),
    "Container": dict(
        image=REQUIRED, name=None, command=None, args=None, environment_variables=None, resources=None, mounted_files=None,
        volume_mounts=None, secrets=None, working_dir=None, image_pull_credentials=None, primary=False),
    "ContainerStatus": dict(name=REQUIRED, state=REQUIRED, exit_code=None, restart_count=0),
    "VolumeMount": dict(volume=REQUIRED, mount_path=REQUIRED, read_only=False, sub_path=None),
    "RegisteredVolumeOptions": dict(name=REQUIRED, volume_id=REQUIRED, mount_path=REQUIRED, sub_path=None, read_only=False),
    "SecurityContext": dict.fromkeys("run_as_user run_as_group privileged allow_privilege_escalation read_only_root_filesystem"
                                     " capabilities_add capabilities_drop seccomp_profile".split()),
    "ObjectStorageAccess": dict(buckets=(), permission=None, object_prefix=None),
    "HttpsEndpointStatus": dict.fromkeys("port name kind auth url request_timeout_seconds".split(), REQUIRED),
    "TlsPassthroughEndpointStatus": dict.fromkeys("port name kind address".split(), REQUIRED),
    "Secret": dict(store=REQUIRED, name=REQUIRED, field="", env_var=None),
    "Service": dict(port=REQUIRED, name=None, protocol=None, visibility=None, endpoint=None),
    "Endpoint": dict(kind=REQUIRED, auth=None, request_timeout_seconds=None),
    "ScratchVolumeOptions": dict(name=REQUIRED, mount_path=None, size=None, restore_from_snapshot_id=None, medium=None,
                                 sub_path=None, read_only=False),
    "ImagePullCredentials": dict(registry=REQUIRED, store=REQUIRED, name=REQUIRED, field=""),
    "FileSystemSnapshot": dict.fromkeys(
        "file_system_snapshot_id status status_reason size_bytes source_sandbox_id trigger request_id object_bucket"
        " source_volume_name created_at updated_at completed_at".split()),
    "FileSystemSnapshotOptions": dict(mount_path=None, size=None, file_system_snapshot_id=None, name="workspace"),
    "FileSystemSnapshotBucketConfig": dict(bucket_name="", region="", effective_bucket_name="", mode="unspecified"),
    "SandboxDefaults": dict(
        container_image="python:3.11", command="/bin/sh", args=None, base_url="https://api.cwsandbox.com", auth=None,
        request_timeout_seconds=300.0, create_retry_budget_seconds=0.0, poll_retry_budget_seconds=30.0, poll_rpc_timeout_seconds=15.0, max_lifetime_seconds=None,
        temp_dir="/tmp", tags=(), runner_ids=None, placement_mode=None, placement_spillover="strict", resources=None, network=None,
        services=None, volumes=None, runtime_class=None, security_context=None, working_dir=None, object_storage_access=None,
        file_system_snapshot=None, containers=None, secrets=None, environment_variables={}, annotations={}, data_plane_mode="auto"),
}
DATACLASSES["AuthHeaders"] = dict.fromkeys(["headers", "strategy"])

ENUMS = {
    "DataPlaneMode": "auto gateway direct",
    "VolumeState": "unspecified validating ready error deleting",
    "VolumeLocality": "unspecified cluster_local global",
    "AuthStrategy": "coreweave_api_key wandb",
    "SandboxStatus": "running creating preparing pending paused terminating completed failed terminated unspecified",
    "PlacementMode": "unspecified serverless cks",
    "PlacementSpillover": "strict cks_then_serverless serverless_then_cks",
    "ServiceVisibility": "unspecified public private custom",
    "ServiceProtocol": "unspecified tcp udp sctp",
    "EndpointKind": "https tls_passthrough",
    "EndpointAuth": "open share_token",
    "SandboxControl": "unspecified platform container_engine",
    "SandboxFileType": "unspecified compose",
    "StorageMedium": "unspecified disk memory",
    "TenantScope": "unspecified same_user same_org sandbox_network",
    "ObjectStoragePermission": "unspecified read read_write",
    "FileSystemSnapshotStatus": "unspecified creating ready failed deleting",
    "FileSystemSnapshotTrigger": "unspecified on_delete manual",
    "FileSystemSnapshotBucketMode": "unspecified cw_managed bring_your_own",
}

# class: (bases, extra attributes)
EXCEPTIONS = {
    "CWSandboxError": ("Exception", "reason metadata retry_delay"),
    "CWSandboxAuthenticationError": ("CWSandboxError", ""),
    "CWSandboxValidationError": ("CWSandboxError", "field_violations"),
    "SandboxError": ("CWSandboxError", ""),
    "SandboxValidationError": ("SandboxError CWSandboxValidationError", "field_violations"),
    "SandboxNotRunningError": ("SandboxError", ""),
    "SandboxUnavailableError": ("SandboxNotRunningError", ""),
    "SnapshotBackendThrottledError": ("SandboxUnavailableError SandboxSnapshotError", "file_system_snapshot_id"),
    "SnapshotBucketProvisioningError": ("SandboxUnavailableError SandboxSnapshotError", "file_system_snapshot_id"),
    "VolumeRunnerUnavailableError": ("VolumeError SandboxUnavailableError", "volume_id"),
    "VolumeWaitTimeoutError": ("SandboxTimeoutError", "volume_id"),
    "VolumeError": ("SandboxError", "volume_id"),
    "VolumeNotFoundError": ("VolumeError", "volume_id"),
    "VolumeNotReadyError": ("VolumeError", "volume_id"),
    "VolumePlacementConflictError": ("VolumeError", "volume_id"),
    "VolumeTypeNotSupportedError": ("VolumeError", "volume_id"),
    "VolumeNotSnapshottableError": ("VolumeError", "volume_id"),
    "VolumeRunnerIneligibleError": ("VolumeError", "volume_id"),
    "VolumeBackendNotFoundError": ("VolumeError", "volume_id"),
    "VolumeInUseError": ("VolumeError", "volume_id"),
    "VolumeQuotaExceededError": ("VolumeError", "volume_id"),
    "SandboxTimeoutError": ("SandboxError", ""),
    "SandboxRequestTimeoutError": ("SandboxTimeoutError", ""),
    "SandboxCommandTimeoutError": ("SandboxTimeoutError", ""),
    "SnapshotWaitTimeoutError": ("SandboxTimeoutError SandboxSnapshotError", "file_system_snapshot_id"),
    "SandboxTerminatedError": ("SandboxError", ""),
    "SandboxFailedError": ("SandboxError", "sandbox_id status_reason"),
    "SandboxProtocolError": ("SandboxError", ""),
    "SandboxNotFoundError": ("SandboxError", "sandbox_id"),
    "SandboxExecutionError": ("SandboxError", "exec_result exception_type exception_message"),
    "SandboxStreamBackpressureError": ("SandboxExecutionError", "stream_code"),
    "SandboxStreamTruncatedError": ("SandboxExecutionError", "stream_code"),
    "SandboxFileError": ("SandboxError", "filepath"),
    "SandboxResourceExhaustedError": ("SandboxError", ""),
    "SandboxTerminalStateUnavailableError": ("SandboxError", ""),
    "SandboxSnapshotError": ("SandboxError", "file_system_snapshot_id"),
    "SnapshotNotFoundError": ("SandboxSnapshotError", "file_system_snapshot_id"),
    "SnapshotNotReadyError": ("SandboxSnapshotError", "file_system_snapshot_id"),
    "SnapshotNotSupportedError": ("SandboxSnapshotError", "file_system_snapshot_id"),
    "SnapshotSizeExceededError": ("SandboxSnapshotError", "file_system_snapshot_id"),
    "SnapshotQuotaExceededError": ("SandboxSnapshotError", "file_system_snapshot_id"),
    "SnapshotBucketMismatchError": ("SandboxSnapshotError", "file_system_snapshot_id"),
    "SnapshotOnStopConflictError": ("SandboxSnapshotError", "file_system_snapshot_id"),
    "DiscoveryError": ("CWSandboxError", ""),
    "DiscoveryValidationError": ("DiscoveryError CWSandboxValidationError", "field_violations"),
    "RunnerNotFoundError": ("DiscoveryError", "runner_id"),
    "ProfileNotFoundError": ("DiscoveryError", "profile_name runner_id"),
    "FunctionError": ("CWSandboxError", ""),
    "AsyncFunctionError": ("FunctionError", ""),
}
REQUIRED_KEYWORDS = {"RunnerNotFoundError": {"runner_id": "r"}, "ProfileNotFoundError": {"profile_name": "p"}}
WITHOUT_REASON = {"SandboxStreamBackpressureError", "SandboxStreamTruncatedError"}

PROPERTIES = {
    "Sandbox": "sandbox_id status status_updated_at started_at runner_id runner_group_id returncode service_urls exposed_ports"
               " dns_egress_names resource_limits resource_requests resource_gpu file_system_snapshot_id exec_stats status_reason"
               " endpoint_share_token tags created_at control containers container_statuses service_endpoints service_addresses"
               " effective_runtime_class attached_volume_ids effective_egress effective_ingress",
    "Process": "stdout stderr stdin returncode command",
    "TerminalSession": "output stdin command returncode",
    "StreamWriter": "closed QUEUE_SIZE",
    "Session": "sandbox_count",
    "RemoteFunction": "remote map local",
}

N_NAMES = 121  # of __all__ in 1.22.0

ALL = {"__version__", "AuthConfig", "Waitable", *FUNCTIONS, *CLASSES, *DATACLASSES, *ENUMS, *EXCEPTIONS} - {"ProfileNotFoundError"}


def rows(names):
    """One test per name; those that are not built are expected to fail."""
    return [pytest.param(name, marks=[pytest.mark.xfail(strict=True, reason=NOT_BUILT[name])] if name in NOT_BUILT else [])
            for name in names]


def find(path):
    thing = cwsandbox
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def contract_signature(text):
    return inspect.signature(eval(f"(lambda {text[1:-1]}: 0)"))  # noqa: S307: the tables above


def shape(signature, names=True):
    """Without self: that of a method written in C is positional only."""
    return [(p.name if names else "", p.kind, p.default) for p in signature.parameters.values() if p.name != "self"]


@pytest.mark.parametrize("name", rows(sorted(ALL)))
def test_a_public_name_is_exported(name):
    assert name in cwsandbox.__all__
    assert hasattr(cwsandbox, name)


def test_nothing_else_is_exported():
    assert set(cwsandbox.__all__) <= ALL | set(ADDED["names"])


def test_the_names_of_both_lists_are_those_of_the_published_client():
    assert len(ALL) == N_NAMES


def test_everything_in_the_list_of_what_is_not_built_is_a_row():
    assert set(NOT_BUILT) <= {*ALL, *METHODS, *KEYWORDS, *[f"{c}.{p}" for c, ps in PROPERTIES.items() for p in ps.split()]}


def published(name):
    """Our signature without what we added, which nobody who does not know of it can meet."""
    signature = inspect.signature(find(name))
    added = [signature.parameters[extra] for extra in ADDED.get(name, [])]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in added)
    return signature.replace(parameters=[p for p in signature.parameters.values() if p not in added])


@pytest.mark.parametrize("name", rows(FUNCTIONS))
def test_a_function_has_its_signature(name):
    names = name not in POSITIONAL
    assert shape(published(name), names) == shape(contract_signature(FUNCTIONS[name]), names)


@pytest.mark.parametrize("name", rows(METHODS))
def test_a_method_has_its_signature(name):
    assert shape(published(name)) == shape(contract_signature(METHODS[name]))


@pytest.mark.parametrize("name", rows(KEYWORDS))
def test_a_factory_takes_its_keywords(name):
    parameters = inspect.signature(find(name)).parameters.values()
    named = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        named |= set(inspect.signature(Sandbox).parameters)  # passed on
    assert set(KEYWORDS[name].split()) <= named


@pytest.mark.parametrize("name", rows(DATACLASSES))
def test_a_dataclass_has_its_fields_in_order_with_their_defaults(name):
    cls, expected = find(name), DATACLASSES[name]
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if name == "FileSystemSnapshotBucketConfig":
        assert set(fields) == set(expected)
    else:
        assert list(fields) == [*expected, *ADDED.get(name, [])]
    for field, default in expected.items():
        f = fields[field]
        has_default = f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
        if default == REQUIRED:
            assert not has_default, field
        elif default is not None:
            value = f.default if f.default is not dataclasses.MISSING else f.default_factory()
            assert value == default, field
    if name != "ProcessResult":
        assert cls.__dataclass_params__.frozen


@pytest.mark.parametrize("name", rows(ENUMS))
def test_an_enum_has_its_members_in_order(name):
    cls, values = find(name), ENUMS[name].split()
    assert issubclass(cls, enum.StrEnum)
    if name == "SandboxStatus":
        assert [m.value for m in cls] == values  # the contract fixes the order of this one
    assert {m.name: m.value for m in cls} == {value.upper(): value for value in values}
    assert [f"{cls(value)}" for value in values] == values


@pytest.mark.parametrize("name", rows(EXCEPTIONS))
def test_an_exception_has_its_bases_and_attributes(name):
    bases, attributes = EXCEPTIONS[name]
    cls = getattr(cwsandbox.exceptions, name)
    if name != "ProfileNotFoundError":
        assert getattr(cwsandbox, name) is cls
    named = [b for b in cls.__mro__[1:] if not b.__name__.startswith("_")]
    expected = [getattr(cwsandbox.exceptions, b, None) or Exception for b in bases.split()]
    assert named[0] is expected[0] and all(issubclass(cls, b) for b in expected)
    required = REQUIRED_KEYWORDS.get(name, {})
    error = cls("the message", metadata={"k": "v"}, **required)
    assert str(error) == "the message" and error.metadata == {"k": "v"}
    assert (error.reason, error.retry_delay) == (None, None)
    assert cls("m", **required).metadata == {}
    for attribute in attributes.split():
        default = required.get(attribute)
        if attribute not in ("metadata", "field_violations"):
            assert getattr(error, attribute) == default
    if name in WITHOUT_REASON:
        with pytest.raises(TypeError):
            cls("m", reason="R")
    else:
        assert cls("m", reason="R", **required).reason == "R"
    for keyword in required:
        with pytest.raises(TypeError):
            cls("m", **{k: v for k, v in required.items() if k != keyword})


@pytest.mark.parametrize("name", rows(EXCEPTIONS))
def test_an_exception_crosses_processes_whole(name):
    error = getattr(cwsandbox.exceptions, name)("the message", metadata={"k": "v"}, **REQUIRED_KEYWORDS.get(name, {}))
    error.reason = "R"
    error.add_note("a note")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error) and str(other) == "the message" and other.args == error.args
        assert vars(other) == vars(error) and other.metadata["k"] == "v" and other.__notes__ == ["a note"]


def test_time_outs_are_no_builtin_time_outs():
    assert not issubclass(cwsandbox.SandboxTimeoutError, TimeoutError)


@pytest.mark.parametrize("name", rows(f"{cls}.{p}" for cls, names in PROPERTIES.items() for p in names.split()))
def test_an_object_has_its_attribute(name):
    find(name)


def test_waitable_is_a_union_and_operation_ref_is_generic():
    assert isinstance(cwsandbox.Waitable, types.UnionType)
    assert {typing.get_origin(a) or a for a in typing.get_args(cwsandbox.Waitable)} == {
        Sandbox, cwsandbox.OperationRef, cwsandbox.Process, cwsandbox.TerminalSession} or set(
        typing.get_args(cwsandbox.Waitable)) <= {Sandbox, cwsandbox.OperationRef}
    assert cwsandbox.OperationRef[bytes] and cwsandbox.StreamReader[str]
    assert issubclass(cwsandbox.Process, cwsandbox.OperationRef)
    assert issubclass(cwsandbox.TerminalSession, cwsandbox.OperationRef)


@pytest.mark.parametrize("name", ["profile_ids", "profile_names", "s3_mount", "ports", "max_timeout_seconds"])
def test_removed_arguments_raise_and_say_their_name(name):
    for make in (Sandbox, Sandbox.run, cwsandbox.Session().sandbox):
        with pytest.raises(TypeError, match=name):
            make(**{name: ["x"]})


@pytest.mark.parametrize("name", ["profile_ids", "profile_names"])
def test_removed_filters_raise_from_the_handle(name):
    for make in (Sandbox.list, cwsandbox.Session().list):
        ref = make(**{name: ["x"]})
        with pytest.raises(TypeError, match=name):
            ref.result()
    with pytest.raises(TypeError, match=name):
        cwsandbox.SandboxDefaults.from_dict({name: None})


@pytest.mark.parametrize("make", [Sandbox, Sandbox.run, cwsandbox.SandboxDefaults, cwsandbox.Session().sandbox])
def test_unknown_arguments_raise(make):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        make(no_such_thing=1)


@pytest.mark.parametrize("name", ["base_url", "max_lifetime_seconds", "poll_retry_budget_seconds", "poll_rpc_timeout_seconds"])
def test_what_a_session_takes_from_its_defaults_only(name):
    with pytest.raises(TypeError, match=name):
        cwsandbox.Session().sandbox(**{name: 1})


@pytest.mark.parametrize("name", ["command", "args", "base_url"])
def test_what_run_does_not_take(name):
    with pytest.raises(TypeError, match=name):
        Sandbox.run(**{name: "x"})


def test_wrong_arguments_of_class_calls_raise_from_the_handle():
    for make in (lambda: Sandbox.list(status="no such"), lambda: Sandbox.list(poll_rpc_timeout_seconds=0),
                 lambda: Sandbox.from_id("x", poll_retry_budget_seconds=-1)):
        with pytest.raises(ValueError):
            make().result()
    with pytest.raises(ValueError, match="not a valid SandboxStatus"):
        Sandbox.list(status="RUNNING").result()
    with pytest.raises(TypeError, match="tags must be a sequence of strings"):
        Sandbox.list(tags="abc").result()
    with pytest.raises(TypeError, match="tags must contain only strings"):
        Sandbox.list(tags=[1]).result()
    with pytest.raises(TypeError, match="runner_ids must be a sequence of strings"):
        Sandbox.list(runner_ids="abc").result()


def test_states_of_the_wire(caplog):
    from cwsandbox import SandboxStatus

    assert SandboxStatus.from_proto(2) is SandboxStatus.RUNNING and SandboxStatus.RUNNING.to_proto() == 2
    assert {SandboxStatus.from_proto(s.to_proto()) for s in SandboxStatus} == set(SandboxStatus)
    assert SandboxStatus.from_proto(99) is SandboxStatus.UNSPECIFIED
    assert [r.levelname for r in caplog.records] == ["WARNING"] and caplog.records[0].name.startswith("cwsandbox")


@pytest.mark.parametrize("value, text", [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 29, "1.5 GiB"), (1 << 40, "1.0 TiB")])
def test_bytes_for_people(value, text):
    assert cwsandbox.format_bytes(value) == text


def test_processors_for_people():
    assert cwsandbox.format_cpu(1500) == "1.5 vCPU"
