"""What options become on the wire, and what answers become."""

from __future__ import annotations

import datetime
import warnings

import pytest
from coreweave.sandbox.v1 import discovery_pb2, settings_pb2
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from scripted_server import ID, Status, sandbox

import cwsandbox
from cwsandbox import (
    EgressRule,
    FileSystemSnapshotOptions,
    ImagePullCredentials,
    Sandbox,
    SandboxDefaults,
    ScratchVolumeOptions,
    Secret,
    Service,
)

FULL = "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"


@pytest.fixture(autouse=True)
def nobody_stops_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def created(server, n=-1):
    return server.of("CreateSandbox")[n].request


def spec_of(server, **kwargs):
    Sandbox.run(**kwargs)
    return created(server).sandbox.spec


def test_nothing_chosen_is_nothing_sent(server):
    spec = spec_of(server)
    assert spec == pb.SandboxSpec(containers=[pb.Container(name="main")])


def test_services_on_the_wire(server):
    spec = spec_of(server, services=[
        Service(port=8080, name="web", protocol="tcp", visibility="public", endpoint={"kind": "https", "auth": "open"}),
        {"port": 53, "protocol": "udp", "visibility": "private"}, {"port": 1},
    ])  # fmt: skip
    assert list(spec.services) == [
        pb.Service(port=8080, name="web", protocol=pb.SERVICE_PROTOCOL_TCP, visibility=pb.VISIBILITY_PUBLIC,
                   endpoint=pb.EndpointSpec(kind=pb.ENDPOINT_KIND_HTTPS, auth=pb.ENDPOINT_AUTH_OPEN)),
        pb.Service(port=53, protocol=pb.SERVICE_PROTOCOL_UDP, visibility=pb.VISIBILITY_PRIVATE),
        pb.Service(port=1),
    ]  # fmt: skip


def test_network_resources_and_files_on_the_wire(server):
    spec = spec_of(
        server,
        network={"deny_ingress": True, "egress": [EgressRule(dns_name="api.example.org"), {"dns_name": "*.a.b"}]},
        resources={"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}, "gpu": {"count": 2, "type": "H100"}},
        mounted_files=[{"mount_path": "/f", "file_content": 7}], max_lifetime_seconds=90.9,
    )  # fmt: skip
    assert [rule.https_hostname for rule in spec.network.egress] == ["api.example.org", "*.a.b"]
    assert spec.network.deny_ingress and not spec.network.HasField("deny_egress")
    gpu = pb.Gpu(count=2, type="H100")
    assert spec.containers[0].resource_requirements == pb.ResourceRequirements(
        requests=pb.Resources(cpu="500m", gpu=gpu), limits=pb.Resources(cpu="1", gpu=gpu)
    )
    assert list(spec.containers[0].files) == [pb.FileMount(path="/f", content=b"7")] and spec.max_lifetime_seconds == 90
    spec = spec_of(server, resources={"gpu": {"count": 1, "memory_gb": 80}})
    assert spec.containers[0].resource_requirements.limits.gpu == pb.Gpu(count=1, memory_gb=80)


def test_a_lifetime_below_a_second_is_a_second_and_not_the_default(server):
    assert [spec_of(server, max_lifetime_seconds=given).max_lifetime_seconds for given in (0.25, 1.9, 0)] == [1, 1, 0]


def test_secrets_are_grouped_by_store(server):
    defaults = SandboxDefaults(secrets=(Secret(store="a", name="X"), Secret(store="b", name="Y", field="f", env_var="Z")))
    spec = spec_of(
        server, defaults=defaults, secrets=[Secret(store="a", name="W"), Secret(store="a", name="X")],
        image_pull_credentials=ImagePullCredentials(registry="r", store="s", name="n", field="f"),
    )  # fmt: skip
    assert list(spec.containers[0].secret_stores) == [
        pb.SecretStoreReference(store_name="a", secrets=[pb.SecretMapping(path="X", env_var="X"), pb.SecretMapping(path="W", env_var="W")]),
        pb.SecretStoreReference(store_name="b", secrets=[pb.SecretMapping(path="Y", field="f", env_var="Z")]),
    ]
    assert spec.containers[0].image_pull_credentials == pb.ImagePullCredentials(
        registry="r", credentials=pb.SecretSource(store_name="s", path="n", field="f")
    )


def test_volumes_on_the_wire(server):
    spec = spec_of(
        server,
        volumes=[ScratchVolumeOptions(name="v", mount_path="/v", size="1Gi"), {"name": "e", "volume_id": "vol-1", "mount_path": "/e"},
                 {"name": "u", "volume_id": "vol-2"}],
        file_system_snapshot=FileSystemSnapshotOptions(mount_path="/w", file_system_snapshot_id="fss-1"),
    )  # fmt: skip
    assert list(spec.volumes) == [
        pb.SandboxVolume(name="v", scratch=pb.ScratchVolume(size="1Gi")), pb.SandboxVolume(name="e", volume_id="vol-1"),
        pb.SandboxVolume(name="u", volume_id="vol-2"),
        pb.SandboxVolume(name="workspace", scratch=pb.ScratchVolume(restore_from_snapshot_id="fss-1")),
    ]  # fmt: skip
    assert [(m.volume, m.mount_path) for m in spec.containers[0].volume_mounts] == [("v", "/v"), ("e", "/e"), ("workspace", "/w")]


def test_defaults_are_replaced_not_merged(server):
    defaults = SandboxDefaults(services=(Service(port=1),), volumes=(ScratchVolumeOptions(name="v", mount_path="/v"),), runner_ids=("r",))
    assert spec_of(server, defaults=defaults).mode == pb.SANDBOX_MODE_CKS
    spec = spec_of(server, defaults=defaults, services=[], volumes=[], runner_ids=[])
    assert not spec.services and not spec.volumes and not spec.runner_ids and spec.mode == 0


# ---- templates


def test_a_template_gets_what_was_given_and_nothing_else(server):
    server.on("CreateSandboxFromTemplate", sandbox("pending"))
    defaults = SandboxDefaults(container_image="img", command="x", tags=("d",), environment_variables={"A": "1"}, runner_ids=("r",),
                               services=(Service(port=1),), secrets=(Secret(store="s", name="n"),), max_lifetime_seconds=5)  # fmt: skip
    Sandbox.run_from_template("tpl", defaults=defaults)
    Sandbox(template_id="tpl").start().result()
    Sandbox.run_from_template("tpl", "-c", "true", command="sh", container_image="i", tags=["t"], services=[{"port": 2}],
                              max_lifetime_seconds=9, placement_mode="cks", environment_variables={"B": "2"})  # fmt: skip
    tagged, empty, full = [call.request for call in server.of("CreateSandboxFromTemplate")]
    assert tagged.template_id == "tpl" and tagged.overrides == pb.PartialSandboxSpec(tags=["d"])
    assert empty.overrides == pb.PartialSandboxSpec() and len(empty.request_id) == 36
    assert full.overrides == pb.PartialSandboxSpec(
        containers=[pb.PartialContainer(name="main", image="i", command="sh", args=["-c", "true"], environment_variables={"B": "2"})],
        tags=["t"], services=[pb.Service(port=2)], max_lifetime_seconds=9, mode=pb.SANDBOX_MODE_CKS,
    )  # fmt: skip
    assert not server.of("CreateSandbox")


# ---- placement spillover


def placements(server):
    return [(c.request.sandbox.spec.mode, list(c.request.sandbox.spec.runner_ids)) for c in server.of("CreateSandbox")]


def ids(server):
    return [c.request.request_id for c in server.of("CreateSandbox")]


def test_no_room_goes_to_the_other_place(server, caplog):
    server.on("CreateSandbox", Status("RESOURCE_EXHAUSTED", "full", reason=FULL), sandbox("pending"))
    box = Sandbox.run(placement_spillover="cks_then_serverless", runner_ids=["r"])
    assert box.sandbox_id == ID and placements(server) == [(2, ["r"]), (1, [])]
    assert ids(server)[0] != ids(server)[1]
    assert [r.levelname for r in caplog.records if "no room" in r.message] == ["WARNING"]


@pytest.mark.parametrize("end", [lambda box: box.stop().result(), lambda box: box.start().result()])
def test_a_start_by_another_operation_tells_of_the_other_place_too(server, caplog, end):
    server.on("CreateSandbox", Status("RESOURCE_EXHAUSTED", "full", reason=FULL), sandbox("pending"))
    server.on("GetSandbox", sandbox("running"), sandbox("completed", exit_code=0))
    box = Sandbox(placement_spillover="cks_then_serverless")
    box.wait()
    end(box)
    assert [r.levelname for r in caplog.records if "no room" in r.message] == ["WARNING"]


def test_serverless_then_cks(server):
    server.on("CreateSandbox", Status("UNAVAILABLE", reason="CWSANDBOX_RUNNER_UNAVAILABLE"), sandbox("pending"))
    Sandbox.run(placement_spillover="serverless_then_cks")
    assert placements(server) == [(1, []), (2, [])]


@pytest.mark.parametrize("status", [
    Status("RESOURCE_EXHAUSTED", "quota"), Status("UNAUTHENTICATED", "no"), Status("INVALID_ARGUMENT", "bad"),
    Status("PERMISSION_DENIED", reason="CWSANDBOX_SERVERLESS_NOT_ALLOWED"), Status("UNAVAILABLE", "down"),
])  # fmt: skip
def test_other_failures_do_not_spill(server, status):
    server.on("CreateSandbox", status)
    box = Sandbox(placement_spillover="cks_then_serverless")
    with pytest.raises(cwsandbox.CWSandboxError) as info:
        box.start().result()
    assert len(server.of("CreateSandbox")) == 1 and info.value.__cause__ is None


def test_strict_does_not_spill(server):
    server.on("CreateSandbox", Status("RESOURCE_EXHAUSTED", reason=FULL))
    with pytest.raises(cwsandbox.SandboxResourceExhaustedError):
        Sandbox.run(placement_mode="cks")
    assert len(server.of("CreateSandbox")) == 1


def test_both_places_refuse_and_the_next_start_begins_at_the_first(server):
    server.on("CreateSandbox", Status("RESOURCE_EXHAUSTED", "first", reason=FULL),
              Status("FAILED_PRECONDITION", "second", reason="CWSANDBOX_SERVERLESS_DISABLED"),
              Status("RESOURCE_EXHAUSTED", "third", reason=FULL), sandbox("pending"))  # fmt: skip
    box = Sandbox(placement_spillover="cks_then_serverless", runner_ids=["r"])
    with pytest.raises(cwsandbox.SandboxError, match="second") as info:
        box.start().result()
    assert info.value.__cause__.reason == FULL and "first" in str(info.value.__cause__)
    assert any("spillover" in note for note in info.value.__notes__)
    box.start().result()
    assert placements(server) == [(2, ["r"]), (1, []), (2, ["r"]), (1, [])]
    one, two, three, four = ids(server)
    assert one == three and len({one, two, four}) == 3


def test_after_an_unclear_second_failure_the_same_request_is_sent_again(server):
    server.on("CreateSandbox", Status("RESOURCE_EXHAUSTED", reason=FULL), Status("UNAVAILABLE", "who knows"),
              Status("RESOURCE_EXHAUSTED", reason=FULL), sandbox("pending"))  # fmt: skip
    box = Sandbox(placement_spillover="cks_then_serverless")
    for _ in range(2):
        with pytest.raises(cwsandbox.CWSandboxError):
            box.start().result()
    box.start().result()
    assert [mode for mode, _ in placements(server)] == [2, 1, 1, 1]
    assert len(set(ids(server)[1:])) == 1


# ---- what a service says about a sandbox


def test_echoed_facts(server):
    services = [pb.ServiceStatus(port=80, name="web", visibility=pb.VISIBILITY_PUBLIC, url="https://a"),
                pb.ServiceStatus(port=81, endpoint=pb.EndpointStatus(kind=1, url="https://b")), pb.ServiceStatus(port=82, visibility=pb.VISIBILITY_PRIVATE)]  # fmt: skip
    rr = pb.ResourceRequirements(limits=pb.Resources(cpu="1", gpu=pb.Gpu(count=2, type="H100")))
    server.on("CreateSandbox", sandbox("pending", services=services, effective_resource_requirements=rr,
                                       effective_egress=[pb.EgressRule(https_hostname="a.b"), pb.EgressRule(any=True)]))  # fmt: skip
    box = Sandbox.run()
    assert box.service_urls == ((80, "web", "https://a"), (81, "", "https://b"))
    assert box.exposed_ports == ((80, "web"), (82, "")) and box.dns_egress_names == ("a.b",)
    assert box.resource_gpu == {"count": 2, "type": "H100"} and box.resource_limits == {"cpu": "1"}
    server.on("GetSandbox", sandbox("completed", exit_code=0))
    box.wait_until_complete().result()
    assert box.service_urls == () == box.dns_egress_names and box.exposed_ports == ((80, "web"), (82, ""))
    assert box.resource_gpu == {"count": 2, "type": "H100"}


# ---- snapshots


def snapshot(state="READY", **fields):
    return pb.FileSystemSnapshot(file_system_snapshot_id="fss-1", state=pb.SnapshotState.Value("SNAPSHOT_STATE_" + state), **fields)


def test_snapshot_waits_until_ready(server, consume):
    server.on("CreateFileSystemSnapshot", Status("UNAVAILABLE", retry=0.01), snapshot("CREATING"))
    server.on("GetFileSystemSnapshot", snapshot("CREATING"), Status("UNAVAILABLE", retry=0.01), snapshot())
    box = Sandbox.run(file_system_snapshot={"mount_path": "/w"})
    assert consume(lambda: box.snapshot()) == "fss-1"
    first, second = [call.request for call in server.of("CreateFileSystemSnapshot")]
    assert first == second and len(first.request_id) == 32 and first.scratch_volume_name == "workspace" and first.sandbox_id == ID
    assert box.snapshot(wait_for_ready=False, request_id="mine").result() == "fss-1"
    assert server.of("CreateFileSystemSnapshot")[-1].request.request_id == "mine"
    assert len(server.of("GetFileSystemSnapshot")) == 3


def test_failed_and_refused_snapshots(server):
    box = Sandbox.run()
    server.on("CreateFileSystemSnapshot", snapshot("CREATING"))
    server.on("GetFileSystemSnapshot", snapshot("FAILED", state_reason="disk on fire"))
    with pytest.raises(cwsandbox.SandboxSnapshotError, match="disk on fire") as info:
        box.snapshot().result()
    assert info.value.file_system_snapshot_id == "fss-1"
    assert not server.of("CreateFileSystemSnapshot")[0].request.scratch_volume_name
    for reason, cls in (
        ("FSS_NOT_FOUND", "SnapshotNotFoundError"), ("FSS_NOT_READY", "SnapshotNotReadyError"),
        ("FSS_NOT_SUPPORTED", "SnapshotNotSupportedError"), ("FSS_SIZE_EXCEEDED", "SnapshotSizeExceededError"),
        ("FSS_QUOTA_EXCEEDED", "SnapshotQuotaExceededError"), ("FSS_BUCKET_MISMATCH", "SnapshotBucketMismatchError"),
        ("FSS_CREATE_FAILED", "SandboxSnapshotError"), ("FSS_WAIT_TIMEOUT", "SnapshotWaitTimeoutError"),
    ):  # fmt: skip
        server.on("CreateFileSystemSnapshot", Status("FAILED_PRECONDITION", reason="CWSANDBOX_" + reason))
        with pytest.raises(getattr(cwsandbox, cls)) as info:
            box.snapshot().result()
        assert type(info.value).__name__ == cls
    server.on("CreateFileSystemSnapshot", Status("DEADLINE_EXCEEDED", "slow"))
    n = len(server.of("CreateFileSystemSnapshot"))
    with pytest.raises(cwsandbox.SandboxRequestTimeoutError):
        box.snapshot().result()
    assert len(server.of("CreateFileSystemSnapshot")) == n + 1  # fatal: not tried again


def test_several_volumes_cannot_be_snapshotted_at_once(server):
    volumes = [ScratchVolumeOptions(name=n, mount_path="/" + n) for n in "ab"]
    with pytest.raises(cwsandbox.SandboxSnapshotError, match="multiple scratch volumes"):
        Sandbox.run(volumes=volumes).snapshot().result()
    assert not server.of("CreateFileSystemSnapshot")


def test_stop_with_a_snapshot(server, consume):
    server.on("DeleteSandbox", pb.DeleteSandboxResponse(sandbox=sandbox("terminating"), file_system_snapshot_ids=["fss-1", "fss-2"]))
    server.on("GetFileSystemSnapshot", snapshot("CREATING"), snapshot())
    server.on("GetSandbox", sandbox("running"), sandbox("completed", exit_code=0))
    box = Sandbox.run(volumes=[ScratchVolumeOptions(name=n, mount_path="/" + n) for n in "ab"] + [{"name": "c", "volume_id": "x"}])
    box.wait()
    assert consume(lambda: box.stop(snapshot_on_stop=True, graceful_shutdown_seconds=0.3, request_id="mine")) is None
    assert server.of("DeleteSandbox")[0].request == pb.DeleteSandboxRequest(
        sandbox_id=ID, grace_period_seconds=1, snapshot_volumes=["a", "b"], request_id="mine"
    )
    assert [c.request.file_system_snapshot_id for c in server.of("GetFileSystemSnapshot")] == ["fss-1", "fss-1", "fss-2"]
    assert box.file_system_snapshot_id == "fss-1" and box.status == "completed"
    box.stop(snapshot_on_stop=True).result()  # it has its snapshot
    assert len(server.of("DeleteSandbox")) == 1


def test_volumes_that_the_service_tells_of_are_known(server):
    answer = sandbox("running")
    answer.spec.volumes.extend([pb.SandboxVolume(name="bare"), pb.SandboxVolume(name="scratch", scratch=pb.ScratchVolume(size="1Gi")),
                                pb.SandboxVolume(name="kept", volume_id="vol-1")])  # fmt: skip
    server.on("GetSandbox", answer, sandbox("completed", exit_code=0))
    server.on("DeleteSandbox", pb.DeleteSandboxResponse(sandbox=sandbox("terminating")))
    box = Sandbox.from_id(ID).result()
    box.stop(snapshot_on_stop=True).result()
    assert list(server.of("DeleteSandbox")[0].request.snapshot_volumes) == ["bare", "scratch"]


def test_stop_conflicts(server):
    conflict = cwsandbox.SnapshotOnStopConflictError
    options = {"file_system_snapshot": {"mount_path": "/w"}}
    server.on("DeleteSandbox", Status("FAILED_PRECONDITION", "being deleted", reason="CWSANDBOX_INVALID_REQUEST"))
    with pytest.raises(conflict, match="being deleted") as info:
        Sandbox.run(**options).stop(snapshot_on_stop=True).result()
    assert info.value.reason == "CWSANDBOX_INVALID_REQUEST"
    server.on("DeleteSandbox", pb.DeleteSandboxResponse())
    with pytest.raises(conflict, match="allow_missing"):
        Sandbox.run(**options).stop(snapshot_on_stop=True, missing_ok=True).result()
    server.on("GetSandbox", sandbox("terminating"))
    box = Sandbox.run(**options)
    assert box.get_status() == "terminating"
    with pytest.raises(conflict, match="already terminating"):
        box.stop(snapshot_on_stop=True).result()
    server.on("GetSandbox", lambda call: (plain_seen.set(), call.hold(), sandbox("terminated"))[2])
    import threading

    plain_seen = threading.Event()
    server.on("DeleteSandbox", pb.DeleteSandboxResponse(sandbox=sandbox("terminating")))
    box = Sandbox.run(**options)
    plain = box.stop()
    assert plain_seen.wait(20)
    with pytest.raises(conflict, match="plain stop is already in progress"):
        box.stop(snapshot_on_stop=True).result()
    cwsandbox._core.cancel(plain)
    unstarted = Sandbox(**options)
    unstarted.stop(snapshot_on_stop=True).result()
    with pytest.raises(cwsandbox.SandboxNotRunningError, match="cancelled before starting"):
        unstarted.start().result()


def test_snapshot_records(server, consume):
    full = snapshot(state_reason="r", size_bytes=5, source_sandbox_id="sb", trigger=pb.SNAPSHOT_TRIGGER_ON_DELETE, request_id="q",
                    object_bucket="b", source_volume_name="v", create_time=Timestamp(seconds=1, nanos=2000))  # fmt: skip
    server.on("GetFileSystemSnapshot", full)
    got = consume(lambda: Sandbox.get_snapshot("fss-1"))
    created_at = datetime.datetime(1970, 1, 1, 0, 0, 1, 2, tzinfo=datetime.UTC)
    assert got == cwsandbox.FileSystemSnapshot(
        file_system_snapshot_id="fss-1", status="ready", status_reason="r", size_bytes=5, source_sandbox_id="sb", trigger="on_delete",
        request_id="q", object_bucket="b", source_volume_name="v", created_at=created_at,
    )  # fmt: skip
    assert repr(got) == "<FileSystemSnapshot id=fss-1 status=ready size_bytes=5 source_sandbox_id='sb' status_reason='r'>"
    server.on("GetFileSystemSnapshot", Status("NOT_FOUND", "no"))
    with pytest.raises(cwsandbox.SnapshotNotFoundError) as info:
        consume(lambda: Sandbox.get_snapshot("fss-9"))
    assert info.value.file_system_snapshot_id == "fss-9"


def page(*snapshots, token=""):
    return pb.ListFileSystemSnapshotsResponse(file_system_snapshots=snapshots, next_page_token=token)


def test_list_snapshots_takes_all_pages_and_filters_here(server):
    pages = page(snapshot(source_sandbox_id="a"), snapshot("FAILED", source_sandbox_id="a"), token="2"), page(snapshot())
    server.on("ListFileSystemSnapshots", pages[0], Status("UNAVAILABLE", retry=0.01), *pages, *pages * 2)
    assert len(Sandbox.list_snapshots().result()) == 3
    assert [c.request.page_token for c in server.of("ListFileSystemSnapshots")] == ["", "2", "", "2"]  # from page 1 again
    assert len(Sandbox.list_snapshots(source_sandbox_id="a", status="ready").result()) == 1
    assert len(Sandbox.list_snapshots(status="failed").result()) == 1
    server.on("ListFileSystemSnapshots", page(token="x"))
    with pytest.raises(cwsandbox.CWSandboxError, match="pagination loop"):
        Sandbox.list_snapshots().result()


def test_delete_snapshot(server):
    server.on("DeleteFileSystemSnapshot", Status("NOT_FOUND", "no"))
    with pytest.raises(cwsandbox.SnapshotNotFoundError):
        Sandbox.delete_snapshot("fss-1").result()
    Sandbox.delete_snapshot("fss-1", missing_ok=True).result()
    assert not server.of("DeleteFileSystemSnapshot")[-1].request.allow_missing
    server.on("DeleteFileSystemSnapshot", Status("UNAVAILABLE", retry=0.01), Status("NOT_FOUND", "gone"))
    assert Sandbox.delete_snapshot("fss-1").result() is None  # the first attempt did it


def test_bucket_config(server):
    config = settings_pb2.FileSystemSnapshotBucketConfig(bucket_name="b", region="r", mode=2, effective_bucket_name="b")
    server.on("UpdateFileSystemSnapshotBucketConfig", config)
    server.on("GetFileSystemSnapshotBucketConfig", Status("UNAVAILABLE", retry=0.01), config)
    expected = cwsandbox.FileSystemSnapshotBucketConfig(mode="bring_your_own", bucket_name="b", region="r", effective_bucket_name="b")
    assert Sandbox.set_snapshot_bucket_config(bucket_name="b", region="r").result() == expected
    request = server.of("UpdateFileSystemSnapshotBucketConfig")[0].request
    assert request.file_system_snapshot_bucket_config == settings_pb2.FileSystemSnapshotBucketConfig(bucket_name="b", region="r")
    assert not request.HasField("update_mask")
    assert Sandbox.get_snapshot_bucket_config().result() == expected


# ---- discovery


def test_runners_on_the_wire(server):
    runner = discovery_pb2.AvailableRunner(
        runner_id="r", organization_id="o", tags=["t"], healthy=True, connected_at=Timestamp(seconds=5),
        capabilities=discovery_pb2.RunnerCapabilitySummary(max_gpu_count=8, supported_gpu_types=["H100"],
                                                           supported_service_visibilities=[1, 2]),
        resources=discovery_pb2.RunnerResourceSummary(available_gpu_count=4, running_sandboxes=3),
    )  # fmt: skip
    bare = discovery_pb2.AvailableRunner(runner_id="bare")
    answers = [discovery_pb2.ListAvailableRunnersResponse(runners=[runner], next_page_token="p"),
               discovery_pb2.ListAvailableRunnersResponse(runners=[bare])]  # fmt: skip
    server.on("ListAvailableRunners", *answers, *answers)
    found = cwsandbox.list_runners(runner_group_id="g", gpu_type="H100", architecture="arm64", healthy_only=True, service_visibility="PUBLIC")
    assert [r.runner_id for r in found] == ["r", "bare"] and found[0].supported_service_visibilities == ("public", "private")
    assert found[0].resources.running_sandboxes == 3 and found[0].tags == ("t",) and found[0].max_gpu_count == 8
    assert found[1].connected_at == datetime.datetime.fromtimestamp(0, datetime.UTC) and found[1].supported_gpu_types == ()
    first, second = [call.request for call in server.of("ListAvailableRunners")]
    assert first == discovery_pb2.ListAvailableRunnersRequest(
        runner_group_id="g", gpu_type="H100", architecture="arm64", healthy_only=True, page_size=100, view=1, service_visibility=1
    )
    assert second.page_token == "p" and second.gpu_type == "H100"
    assert [r.runner_id for r in cwsandbox.list_runners(min_available_gpu_count=4)] == ["r"]
    assert server.of("ListAvailableRunners")[-1].request.view == 2
    server.on("GetAvailableRunner", runner)
    assert cwsandbox.get_runner("r", organization_id="o").resources.available_gpu_count == 4
    request = discovery_pb2.GetAvailableRunnerRequest(runner_id="r", organization_id="o", view=2)
    assert server.of("GetAvailableRunner")[0].request == request


@pytest.mark.parametrize("status, cls", [
    (Status("UNAVAILABLE", "down"), "DiscoveryError"), (Status("DEADLINE_EXCEEDED", "slow"), "DiscoveryError"),
    (Status("NOT_FOUND", "none"), "DiscoveryError"), (Status("UNAUTHENTICATED", "who"), "CWSandboxAuthenticationError"),
    (Status("INVALID_ARGUMENT", "bad", violations=[("view", "odd")]), "DiscoveryValidationError"),
    (Status("RESOURCE_EXHAUSTED", reason="CWSANDBOX_SANDBOX_NOT_FOUND"), "DiscoveryError"),
])  # fmt: skip
def test_discovery_errors(server, status, cls):
    server.on("ListAvailableRunners", status)
    with pytest.raises(getattr(cwsandbox, cls)) as info:
        cwsandbox.list_runners()
    assert type(info.value).__name__ == cls and len(server.of("ListAvailableRunners")) == 1
    if cls == "DiscoveryValidationError":
        assert info.value.field_violations[0].field == "view" and "view: odd" in str(info.value)


@pytest.mark.parametrize("status", [
    Status("NOT_FOUND", "none"), Status("FAILED_PRECONDITION", reason="CWSANDBOX_RUNNER_NOT_FOUND"),
])  # fmt: skip
def test_no_such_runner(server, status):
    server.on("GetAvailableRunner", status)
    with pytest.raises(cwsandbox.RunnerNotFoundError) as info:
        cwsandbox.get_runner("r", organization_id="o")
    assert info.value.runner_id == "r"
