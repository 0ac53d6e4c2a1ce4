"""The options that have classes of their own: what they accept, and that this service names what it cannot do."""

from __future__ import annotations

import dataclasses
import os
import platform

import pytest

import cwsandbox
from cwsandbox import (
    EgressRule,
    Endpoint,
    FileSystemSnapshotOptions,
    FileSystemSnapshotStatus,
    ImagePullCredentials,
    NetworkOptions,
    PlacementSpillover,
    Sandbox,
    SandboxDefaults,
    ScratchVolumeOptions,
    Secret,
    Service,
    ServiceProtocol,
    ServiceVisibility,
)
from cwsandbox._snapshots import BUCKET_MODES, STATUSES, TRIGGERS, by_number


def refused(error, text, make, *args, **kwargs):
    with pytest.raises(error, match=text):
        make(*args, **kwargs)


def test_every_name_of_the_contract_is_there():
    names = """__version__ results wait set_auth_mode list_runners get_runner format_bytes format_cpu Waitable Sandbox Session
    RemoteFunction OperationRef Process StreamReader StreamWriter TerminalSession SandboxDefaults ProcessResult TerminalResult
    AuthHeaders Runner RunnerResources ResourceOptions NetworkOptions EgressRule Secret Service Endpoint ScratchVolumeOptions
    ImagePullCredentials FileSystemSnapshot FileSystemSnapshotOptions FileSystemSnapshotBucketConfig FieldViolation SandboxStatus
    PlacementMode PlacementSpillover ServiceProtocol ServiceVisibility EndpointKind EndpointAuth FileSystemSnapshotStatus
    FileSystemSnapshotTrigger FileSystemSnapshotBucketMode""".split()
    missing = [name for name in names if name not in cwsandbox.__all__ or not hasattr(cwsandbox, name)]
    assert not missing


def test_enum_values():
    for enum, values in (
        (cwsandbox.PlacementSpillover, ["strict", "cks_then_serverless", "serverless_then_cks"]),
        (ServiceVisibility, ["unspecified", "public", "private", "custom"]),
        (ServiceProtocol, ["unspecified", "tcp", "udp", "sctp"]),
        (cwsandbox.EndpointKind, ["https", "tls_passthrough"]),
        (cwsandbox.EndpointAuth, ["open", "share_token"]),
        (FileSystemSnapshotStatus, ["unspecified", "creating", "ready", "failed", "deleting"]),
        (cwsandbox.FileSystemSnapshotTrigger, ["unspecified", "on_delete", "manual"]),
        (cwsandbox.FileSystemSnapshotBucketMode, ["unspecified", "cw_managed", "bring_your_own"]),
    ):
        assert [str(member) for member in enum] == values


def test_egress_rules():
    assert EgressRule(dns_name=" API.Example.org ").dns_name == "api.example.org"
    for good in ("a", "*.example.com", "x-1.y", "a." * 126 + "b"):
        assert EgressRule(dns_name=good).dns_name == good
    refused(ValueError, "cannot be empty", EgressRule, dns_name=" ")
    refused(ValueError, "policy ceiling", EgressRule, dns_name="*")
    for bad in ("a_b", "-a", "a-", "a..b", "*.*.a", "a.*", ".a", "a.", "a" * 64, "a." * 127 + "b", "http://a", "ä"):
        refused(ValueError, "DNS-1123 subdomain", EgressRule, dns_name=bad)
    network = NetworkOptions(egress=[{"dns_name": "api.example.org"}, EgressRule(dns_name="a.b")])
    assert network.egress == (EgressRule(dns_name="api.example.org"), EgressRule(dns_name="a.b")) and hash(network)
    refused(ValueError, "cannot be combined", NetworkOptions, deny_egress=True, egress=[{"dns_name": "x"}])
    refused(TypeError, "EgressRule or dict", NetworkOptions, egress=["api.example.org"])


def test_services():
    service = Service(port=80, protocol="TCP", visibility="Public", endpoint={"kind": "HTTPS", "auth": "open"})
    assert service.protocol is ServiceProtocol.TCP and service.endpoint == Endpoint(kind="https", auth="OPEN")
    for port in (0, 65536, -1, True, "80"):
        refused(ValueError, "1-65535", Service, port=port)
    refused(ValueError, "PUBLIC", Service, port=1, endpoint=Endpoint(kind="https", auth="open"))
    refused(ValueError, "TCP", Service, port=1, visibility="public", protocol="udp", endpoint={"kind": "https", "auth": "open"})
    refused(ValueError, ".", Service, port=1, protocol="icmp")
    refused(TypeError, "endpoint must be", Service, port=1, endpoint="https")
    refused(ValueError, "auth is required", Endpoint, kind="https")
    refused(TypeError, "services must", Sandbox, services=[80])
    refused(TypeError, "services must", Sandbox, services={"port": 80})


def test_secrets():
    secret = Secret(store="s", name="N")
    assert secret.env_var == "N" and secret.field == ""
    for kwargs in ({"store": "", "name": "n"}, {"store": "s", "name": ""}, {"store": "s", "name": "n", "env_var": ""}):
        refused(ValueError, "cannot be empty", Secret, **kwargs)
    for kwargs in ({"registry": "", "store": "s", "name": "n"}, {"registry": "r", "store": "s", "name": ""}):
        refused(ValueError, "cannot be empty", ImagePullCredentials, **kwargs)
    defaults = SandboxDefaults(secrets=(secret,))
    Sandbox(defaults=defaults, secrets=[{"store": "s", "name": "N"}])  # the same one twice
    refused(ValueError, "Conflicting secrets for env_var 'N'", Sandbox, defaults=defaults, secrets=[Secret(store="t", name="N")])
    refused(TypeError, "secrets must", Sandbox, secrets=["N"])
    refused(TypeError, "image_pull_credentials must", Sandbox, image_pull_credentials="x")


def test_volumes():
    volume = ScratchVolumeOptions(name="v", mount_path="/v", size="", restore_from_snapshot_id="")
    assert volume.size is None and volume.restore_from_snapshot_id is None
    for cls in (ScratchVolumeOptions, FileSystemSnapshotOptions):
        for path in ("", "/", "v"):
            refused(ValueError, "mount_path", cls, name="v", mount_path=path)
        refused(ValueError, "name cannot be empty", cls, name="", mount_path="/v")
        assert cls(name="v").mount_path is None
    options = FileSystemSnapshotOptions(mount_path="/w", file_system_snapshot_id="fss-1")
    assert options.to_scratch_volume() == ScratchVolumeOptions(
        name="workspace", mount_path="/w", restore_from_snapshot_id="fss-1"
    )
    refused(TypeError, "file_system_snapshot must", Sandbox, file_system_snapshot="/w")
    for bad in ({"name": "v", "more": 1}, {"name": "v", "volume_id": "x", "more": 1}, "v"):
        refused(TypeError, "more|volumes must|volume_id only", Sandbox(volumes=[bad]).start().result)  # at start


def test_placement_spillover_is_checked_when_a_sandbox_is_made():
    Sandbox(placement_spillover="CKS_then_serverless", placement_mode="cks", runner_ids=["r"])
    for kwargs in (
        {"placement_spillover": "cks_then_serverless", "placement_mode": "serverless"},
        {"placement_spillover": "serverless_then_cks", "placement_mode": "cks"},
    ):
        refused(ValueError, kwargs["placement_spillover"], Sandbox, **kwargs)
    refused(ValueError, "cannot be combined with runner_ids", Sandbox, placement_spillover="serverless_then_cks", runner_ids=["r"])
    refused(ValueError, "STRICT for template", Sandbox, placement_spillover="serverless_then_cks", template_id="t")
    refused(ValueError, ".", Sandbox, placement_spillover="sideways")
    defaults = SandboxDefaults(placement_spillover=PlacementSpillover.CKS_THEN_SERVERLESS)
    refused(ValueError, "cks_then_serverless", Sandbox, defaults=defaults, placement_mode="serverless")
    Sandbox(defaults=defaults, placement_mode="serverless", placement_spillover="strict")


def test_template_rules():
    for kwargs in (
        {"command": "x"}, {"args": ["x"]}, {"environment_variables": {"A": "1"}}, {"resources": {"cpu": "1"}},
        {"mounted_files": [{"mount_path": "/x", "file_content": b""}]}, {"volumes": [ScratchVolumeOptions(name="v", mount_path="/v")]},
        {"file_system_snapshot": {"mount_path": "/v"}}, {"secrets": [Secret(store="s", name="n")]},
    ):  # fmt: skip
        refused(TypeError, "require container_image", Sandbox(template_id="t", **kwargs).start().result)
    refused(ValueError, "template_id", Sandbox.run_from_template, "")
    refused(TypeError, "base_url", Sandbox.run_from_template, "t", base_url="http://x")


def test_defaults_from_a_configuration_file():
    d = SandboxDefaults.from_dict({
        "services": [{"port": 80}], "secrets": [{"store": "s", "name": "n"}], "volumes": [{"name": "v", "mount_path": "/v"}],
        "file_system_snapshot": {"mount_path": "/w"}, "network": {"egress": [{"dns_name": "a.b"}]},
        "placement_spillover": "CKS_THEN_SERVERLESS",
    })  # fmt: skip
    assert d.services == (Service(port=80),) and d.secrets == (Secret(store="s", name="n"),)
    assert d.volumes == (ScratchVolumeOptions(name="v", mount_path="/v"),)
    assert d.file_system_snapshot == FileSystemSnapshotOptions(mount_path="/w")
    assert d.network.egress == (EgressRule(dns_name="a.b"),) and d.placement_spillover == "cks_then_serverless"


def test_unknown_numbers_are_unspecified_and_logged(caplog):
    for table in (STATUSES, TRIGGERS, BUCKET_MODES):
        assert by_number(table, 99) == "unspecified" and "99" in caplog.text
        caplog.clear()


# ---- this service


@pytest.mark.parametrize("kwargs, error, field", [
    ({"services": [{"port": 80, "visibility": "public"}]}, cwsandbox.SandboxError, "services"),
    ({"secrets": [{"store": "s", "name": "n"}]}, cwsandbox.SandboxError, "secrets is not"),
    ({"volumes": [{"name": "v", "volume_id": "x"}]}, cwsandbox.SandboxError, "volumes"),
    ({"file_system_snapshot": {"mount_path": "/w", "file_system_snapshot_id": "s"}}, cwsandbox.SnapshotNotSupportedError, "volumes"),
    ({"resources": {"gpu": 1}}, cwsandbox.SandboxError, "gpu"),
    ({"network": {"egress": [{"dns_name": "api.example.org"}]}}, cwsandbox.SandboxValidationError, "dns_name"),
    ({"template_id": "t"}, cwsandbox.SandboxError, "CreateSandboxFromTemplate"),
])  # fmt: skip
def test_what_this_service_does_not_build_is_named(kwargs, error, field):
    with pytest.raises(error, match=field) as info:
        Sandbox(**kwargs).start().result()
    assert not isinstance(info.value, cwsandbox.SandboxNotFoundError)
    assert info.value.reason in ("CWSANDBOX_NOT_IMPLEMENTED", "CWSANDBOX_INVALID_REQUEST", "CWSANDBOX_VOLUME_NOT_FOUND",
                                  "CWSANDBOX_FSS_NOT_SUPPORTED")


def test_snapshots_of_this_service(consume):
    for make in (
        lambda: Sandbox.get_snapshot("fss-1"),
        lambda: Sandbox.list_snapshots(),
        lambda: Sandbox.delete_snapshot("fss-1", missing_ok=True),
        lambda: Sandbox.get_snapshot_bucket_config(),
        lambda: Sandbox.set_snapshot_bucket_config(bucket_name="b", region="r"),
    ):
        with pytest.raises(cwsandbox.SnapshotNotSupportedError, match="not implemented") as info:
            consume(make)
        assert info.value.reason == "CWSANDBOX_FSS_NOT_SUPPORTED"
    with pytest.raises(ValueError, match="cannot be empty"):
        consume(lambda: Sandbox.get_snapshot(""))
    with pytest.raises(ValueError, match="not a valid FileSystemSnapshotStatus"):
        consume(lambda: Sandbox.list_snapshots(status="lost"))


def test_a_sandbox_without_volumes_is_not_stopped_by_a_snapshot(sb):
    with pytest.raises(cwsandbox.SandboxSnapshotError, match="no known scratch volumes"):
        sb.stop(snapshot_on_stop=True).result()
    assert sb.get_status() == "running" and sb.file_system_snapshot_id is None
    with pytest.raises(cwsandbox.SandboxError, match="not implemented"):
        sb.snapshot().result()
    sb.stop().result()
    with pytest.raises(cwsandbox.SnapshotOnStopConflictError, match="already stopped") as info:
        sb.stop(snapshot_on_stop=True).result()
    assert sb.sandbox_id in str(info.value)


def test_facts_that_this_service_does_not_have(shared):
    assert shared.service_urls == () and shared.exposed_ports is None and shared.dns_egress_names == ()
    assert shared.resource_gpu is None and shared.file_system_snapshot_id is None
    assert Sandbox().service_urls == ()


def test_the_runner_of_this_service(shared):
    (runner,) = cwsandbox.list_runners()
    assert runner.runner_id == shared.runner_id and runner.healthy and runner.resources is None
    assert runner.max_cpu_millicores == os.cpu_count() * 1000 and runner.supported_architectures == (platform.machine(),)
    assert runner.connected_at.tzinfo is not None and runner.connected_at.year >= 2024
    (full,) = cwsandbox.list_runners(min_available_memory_bytes=1)
    assert full.resources.available_memory_bytes > 0 and full.resources.running_sandboxes >= 1
    assert cwsandbox.list_runners(min_available_memory_bytes=1 << 60) == []
    assert cwsandbox.list_runners(architecture="pdp11") == [] == cwsandbox.list_runners(service_visibility="VISIBILITY_PUBLIC")
    found = cwsandbox.get_runner(runner.runner_id, organization_id=runner.organization_id)
    assert dataclasses.replace(found, resources=None) == runner and found.resources is not None
    with pytest.raises(cwsandbox.RunnerNotFoundError) as info:
        cwsandbox.get_runner("nobody", organization_id=runner.organization_id)
    assert info.value.runner_id == "nobody" and info.value.reason == "CWSANDBOX_RUNNER_NOT_FOUND"
    refused(ValueError, "runner_id", cwsandbox.get_runner, " ", organization_id="o")
    refused(ValueError, "organization_id", cwsandbox.get_runner, "r", organization_id="")
    refused(ValueError, ".", cwsandbox.list_runners, service_visibility="everywhere")
