"""What a sandbox is made of, on the wire, and what answers say about it."""

from __future__ import annotations

import datetime
import warnings
from pathlib import PurePosixPath

import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from scripted_server import exit_, log, ready, sandbox

from cwsandbox import (
    Container,
    ContainerStatus,
    EgressRule,
    FileSystemSnapshotOptions,
    HostDirectory,
    HttpsEndpointStatus,
    IngressRule,
    PortRange,
    RegisteredVolumeOptions,
    RemoteFunction,
    Sandbox,
    SandboxDefaults,
    SandboxUnavailableError,
    ScratchVolumeOptions,
    SecurityContext,
    Service,
    Session,
)

SMALL = {"cpu": "1", "memory": "1Gi"}


@pytest.fixture(autouse=True)
def nobody_stops_them():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield


def spec_of(server, **kwargs):
    Sandbox.run(**kwargs)
    return server.of("CreateSandbox")[-1].request.sandbox.spec


def told(server, spec=None, **message):
    """A sandbox that the service says this about."""
    answer = sandbox("running")
    answer.MergeFrom(pb.Sandbox(spec=spec, **message))
    server.on("CreateSandbox", answer)
    return Sandbox.run()


# ---- containers


def test_containers_on_the_wire(server):
    both = pb.Resources(cpu="1", memory="1Gi")
    spec = spec_of(server, containers=[
        Container(image="redis:7", name="cache", resources=SMALL, environment_variables={"A": "b"}, working_dir="/data"),
        {"image": "app", "name": "app", "primary": True, "resources": SMALL, "command": "run", "args": ["x", ""],
         "secrets": [{"store": "s", "name": "k"}, {"store": "s", "name": "k"}], "volume_mounts": [{"volume": "v", "mount_path": "/v"}],
         "mounted_files": [{"mount_path": "/f", "file_content": b"\0"}],
         "image_pull_credentials": {"registry": "r", "store": "s", "name": "p"}},
    ])  # fmt: skip
    requirements = pb.ResourceRequirements(requests=both, limits=both)
    assert list(spec.containers) == [
        pb.Container(name="cache", image="redis:7", environment_variables={"A": "b"}, working_dir="/data",
                     resource_requirements=requirements),
        pb.Container(name="app", image="app", primary=True, command="run", args=["x", ""], resource_requirements=requirements,
                     secret_stores=[pb.SecretStoreReference(store_name="s", secrets=[pb.SecretMapping(path="k", env_var="k")])],
                     volume_mounts=[pb.VolumeMount(volume="v", mount_path="/v")],
                     files=[pb.FileMount(path="/f", content=b"\0")],
                     image_pull_credentials=pb.ImagePullCredentials(
                         registry="r", credentials=pb.SecretSource(store_name="s", path="p"))),
    ]  # fmt: skip


def test_primary_is_sent_only_when_true(server):
    spec = spec_of(server, containers=[Container(image="app")])
    assert not spec.containers[0].HasField("primary")
    assert not spec_of(server).containers[0].HasField("primary")


def test_implied_mounts_go_to_the_primary_once(server):
    spec = spec_of(
        server,
        containers=[
            Container(image="a", name="a", resources=SMALL),
            Container(image="b", name="b", primary=True, resources=SMALL, volume_mounts=[{"volume": "v", "mount_path": "/v"}]),
        ],
        volumes=[ScratchVolumeOptions(name="v", mount_path="/v")],
        file_system_snapshot=FileSystemSnapshotOptions(mount_path="/w"),
    )
    assert [[(m.volume, m.mount_path) for m in c.volume_mounts] for c in spec.containers] == [[], [("v", "/v"), ("workspace", "/w")]]


def test_the_containers_of_the_defaults_leave_out_what_is_about_one(server):
    defaults = SandboxDefaults(
        containers=(Container(image="a"),), container_image="x", command="y", environment_variables={"A": "b"}, working_dir="/d",
        tags=("t",),
    )  # fmt: skip
    spec = spec_of(server, defaults=defaults)
    assert list(spec.containers) == [pb.Container(image="a")]
    assert list(spec.tags) == ["t"]


def test_the_echoed_containers_are_not_checked_and_can_be_used_again(server):
    wire = [pb.Container(name="dns-egress", image="", working_dir="/"), pb.Container(name="b", image="i", args=["x"])]
    for c in wire:
        c.resource_requirements.limits.cpu = "1"
        c.resource_requirements.requests.cpu = "1"
    sb = told(server, spec=pb.SandboxSpec(containers=wire))
    assert [(c.name, c.image, c.working_dir, c.primary) for c in sb.containers] == [
        ("dns-egress", "", "/", True), ("b", "i", None, False)]  # fmt: skip
    spec = spec_of(server, containers=sb.containers)
    wire[0].primary = True
    assert list(spec.containers) == wire


def test_the_state_of_each_container(server):
    rows = [pb.ContainerStatus(name="a", state=pb.STATE_RUNNING, exit_code=7), pb.ContainerStatus(name="b", state=pb.STATE_COMPLETED)]
    sb = told(server, status=pb.SandboxStatus(container_statuses=rows))
    assert sb.container_statuses == (
        ContainerStatus(name="a", state="running"),
        ContainerStatus(name="b", state="completed", exit_code=0),
    )


@pytest.mark.parametrize(("given", "sent"), [(None, ""), ("", ""), (" \t", ""), (" app ", "app")])
def test_the_container_of_a_call(server, sb, given, sent):
    server.on("StreamExec", [ready(), exit_()])
    server.on("StreamLogs", [log(b"x\n")])
    server.on("ReadFile", pb.ReadFileResponse(content=b"x"))
    sb.exec(["true"], container=given).result()
    sb.shell(container=given).result()
    sb.read_file("/f", container=given).result()
    sb.write_file("/f", b"x", container=given).result()
    sb.write_file_streaming("/f", b"x", container=given).result()
    list(sb.read_file_streaming("/f", container=given))
    list(sb.stream_logs(container=given))
    execs = [call.request.init.container for call in server.of("StreamExec")]
    others = [call.request.container for name in ("ReadFile", "WriteFile", "StreamLogs") for call in server.of(name)]
    assert len(execs) >= 4
    assert len(others) == 3
    assert {*execs, *others} == {sent}


# ---- isolation


def test_isolation_on_the_wire(server):
    spec = spec_of(
        server, runtime_class="gvisor", working_dir="/w",
        security_context=SecurityContext(run_as_user=0, privileged=False, capabilities_add=["NET_ADMIN"], seccomp_profile=""),
        object_storage_access={"buckets": ["b"], "permission": "READ_WRITE", "object_prefix": ""},
    )  # fmt: skip
    context = pb.SecurityContext(run_as_user=0, privileged=False, capabilities_add=["NET_ADMIN"])
    assert spec == pb.SandboxSpec(
        containers=[pb.Container(name="main", working_dir="/w", security_context=context)],
        runtime_class="gvisor",
        object_storage_access=pb.ObjectStorageAccess(buckets=["b"], permission=pb.OBJECT_STORAGE_PERMISSION_READ_WRITE),
    )


def test_isolation_of_the_defaults_and_unset(server):
    defaults = SandboxDefaults(runtime_class="gvisor", working_dir="/w", security_context={"run_as_user": 1})
    spec = spec_of(server, defaults=defaults, runtime_class="", working_dir="")
    assert spec.runtime_class == ""
    assert spec.containers[0].working_dir == ""
    assert spec.containers[0].security_context.run_as_user == 1


# ---- network


def test_rules_on_the_wire(server):
    spec = spec_of(server, network={
        "deny_ingress": False,
        "egress": [{"dns_name": "a.example", "ports": [443]},
                   {"cidr": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}, "ports": [PortRange(port=1, end_port=9, protocol="UDP")]},
                   {"tenant": "SAME_ORG"}, {"any": True}, {"selector": {"pod_labels": {"a": "b"}}}],
        "ingress": [{"cidr": "0.0.0.0/0", "ports": [80]}, {"any": True}, {"tenant": "sandbox_network"}],
    })  # fmt: skip
    assert spec.network == pb.NetworkOptions(
        deny_ingress=False,
        egress=[pb.EgressRule(https_hostname="a.example", ports=[pb.PortRange(port=443)]),
                pb.EgressRule(cidr=pb.CidrBlock(cidr="10.0.0.0/8", **{"except": ["10.1.0.0/16"]}),
                              ports=[pb.PortRange(port=1, end_port=9, protocol="UDP")]),
                pb.EgressRule(tenant=pb.TENANT_SCOPE_SAME_ORG), pb.EgressRule(any=True),
                pb.EgressRule(selector=pb.SelectorBlock(pod_labels={"a": "b"}))],
        ingress=[pb.IngressRule(cidr=pb.CidrBlock(cidr="0.0.0.0/0"), ports=[pb.PortRange(port=80)]), pb.IngressRule(any=True),
                 pb.IngressRule(tenant=pb.TENANT_SCOPE_SANDBOX_NETWORK)],
    )  # fmt: skip


def test_effective_rules(server):
    status = pb.SandboxStatus(
        effective_egress=[
            pb.EgressRule(), pb.EgressRule(https_hostname="a.example", ports=[pb.PortRange(port=443, protocol="tcp")]),
            pb.EgressRule(https_hostname="b.example", ports=[pb.PortRange(port=80)], https_hostname_except=["c.b.example"]),
            pb.EgressRule(cidr=pb.CidrBlock(cidr="10.0.0.0/8", **{"except": ["10.1.0.0/16"]})), pb.EgressRule(tenant=99)],
        effective_ingress=[pb.IngressRule(), pb.IngressRule(any=True, ports=[pb.PortRange(port=5)])],
    )  # fmt: skip
    sb = told(server, status=status)
    assert sb.effective_egress == (
        EgressRule(dns_name="a.example", ports=[PortRange(port=443, protocol="tcp")]), EgressRule(dns_name="b.example"),
        EgressRule(cidr={"cidr": "10.0.0.0/8", "except_cidrs": ("10.1.0.0/16",)}),
    )  # fmt: skip
    assert sb.effective_ingress == (IngressRule(any=True, ports=[5]),)


# ---- endpoints

HTTPS, TLS = pb.ENDPOINT_KIND_HTTPS, pb.ENDPOINT_KIND_TLS_PASSTHROUGH


def test_endpoints_on_the_wire(server):
    spec = spec_of(server, services=[
        Service(port=1, visibility="public", endpoint={"kind": "https", "auth": "SHARE_TOKEN", "request_timeout_seconds": 60}),
        Service(port=2, visibility="public", endpoint={"kind": "tls_passthrough"}),
        Service(port=3, visibility="public", endpoint={"kind": "https", "auth": "open", "request_timeout_seconds": 0}),
    ])  # fmt: skip
    assert [s.endpoint for s in spec.services] == [
        pb.EndpointSpec(kind=HTTPS, auth=pb.ENDPOINT_AUTH_SHARE_TOKEN, request_timeout_seconds=60),
        pb.EndpointSpec(kind=TLS), pb.EndpointSpec(kind=HTTPS, auth=pb.ENDPOINT_AUTH_OPEN),
    ]  # fmt: skip


def service(port, url="", **endpoint):
    return pb.ServiceStatus(port=port, name=f"s{port}", url=url, endpoint=pb.EndpointStatus(**endpoint) if endpoint else None)


def test_urls_and_endpoints(server):
    rows = [
        service(1, url="http://plain"), service(2, kind=HTTPS, auth=1),
        service(3, url="x://tls", kind=TLS, address="h:1"), service(4, kind=HTTPS, auth=2, request_timeout_seconds=15),
        service(5, kind=HTTPS, auth=9, request_timeout_seconds=15),
    ]  # fmt: skip
    rows[1].url = "ignored"
    rows[1].endpoint.url = "https://two"
    sb = told(server, status=pb.SandboxStatus(services=rows))
    assert sb.service_urls == ((1, "s1", "http://plain"), (2, "s2", "https://two"))
    assert sb.service_endpoints == (
        HttpsEndpointStatus(port=4, name="s4", kind="https", auth="share_token", url="", request_timeout_seconds=15),
    )


def test_tls_addresses_stay_while_it_runs_and_the_service_is_listed(server):
    full = [service(1, kind=TLS, address="one:443"), service(2, kind=TLS, address="two:443")]
    server.on(
        "GetSandbox", sandbox("running", services=full), sandbox("running", services=[service(2)]),
        sandbox("paused", services=full),
    )  # fmt: skip
    sb = Sandbox.run()
    seen = []
    for _ in range(3):
        sb.get_status()
        seen.append([(row.port, row.address) for row in sb.service_addresses])
    assert seen == [[(1, "one:443"), (2, "two:443")], [(2, "two:443")], []]


# ---- volumes


def test_volumes_on_the_wire(server):
    spec = spec_of(server, volumes=[
        ScratchVolumeOptions(name="m", mount_path="/m", size="1Gi", medium="MEMORY", sub_path="a/b", read_only=True),
        ScratchVolumeOptions(name="unmounted"), RegisteredVolumeOptions(name="r", volume_id="vol", mount_path="/r"),
        {"name": "d", "volume_id": "vol2", "mount_path": "/d", "read_only": True}, {"name": "u", "volume_id": "vol3"},
    ])  # fmt: skip
    scratch = pb.ScratchVolume(size="1Gi", medium=pb.STORAGE_MEDIUM_MEMORY)
    assert list(spec.volumes) == [
        pb.SandboxVolume(name="m", scratch=scratch), pb.SandboxVolume(name="unmounted", scratch=pb.ScratchVolume()),
        pb.SandboxVolume(name="r", volume_id="vol"), pb.SandboxVolume(name="d", volume_id="vol2"),
        pb.SandboxVolume(name="u", volume_id="vol3"),
    ]  # fmt: skip
    assert list(spec.containers[0].volume_mounts) == [
        pb.VolumeMount(volume="m", mount_path="/m", sub_path="a/b", read_only=True), pb.VolumeMount(volume="r", mount_path="/r"),
        pb.VolumeMount(volume="d", mount_path="/d", read_only=True),
    ]  # fmt: skip


def test_a_directory_of_the_machine_on_the_wire(server):
    spec = spec_of(server, volumes=[ScratchVolumeOptions(name="m"), HostDirectory(PurePosixPath("/srv/x"), "/x/"), HostDirectory("/", "/all")])
    # A field that the API does not have, 1000: the path
    assert [volume.SerializeToString() for volume in spec.volumes] == [
        pb.SandboxVolume(name="host-directory-0").SerializeToString() + b"\xc2\x3e\x06/srv/x",
        pb.SandboxVolume(name="host-directory-1").SerializeToString() + b"\xc2\x3e\x01/",
        pb.SandboxVolume(name="m", scratch=pb.ScratchVolume()).SerializeToString(),
    ]
    assert list(spec.containers[0].volume_mounts) == [
        pb.VolumeMount(volume="host-directory-0", mount_path="/x", read_only=True),
        pb.VolumeMount(volume="host-directory-1", mount_path="/all", read_only=True),
    ]


# ---- templates


def overrides_of(server, **kwargs):
    Sandbox.run(template_id="tpl", **kwargs)
    return server.of("CreateSandboxFromTemplate")[-1].request.overrides


def test_templates_take_arguments_credentials_and_container_lists(server):
    pull = {"registry": "r", "store": "s", "name": "n"}
    container = overrides_of(server, container_image="i", image_pull_credentials=pull, working_dir="/w").containers[0]
    assert (container.image, container.image_pull_credentials.registry, container.working_dir) == ("i", "r", "/w")
    Sandbox.run_from_template("tpl", "a", "b", container_image="i")
    container = server.of("CreateSandboxFromTemplate")[-1].request.overrides.containers[0]
    assert (container.command, list(container.args)) == ("", ["a", "b"])
    sent = overrides_of(server, containers=[Container(image="x")], runtime_class="rc", defaults={"containers": [{"image": "no"}]})
    assert sent == pb.PartialSandboxSpec(containers=[pb.PartialContainer(image="x")], runtime_class="rc")
    assert overrides_of(server, defaults={"containers": [{"image": "no"}]}) == pb.PartialSandboxSpec()


@pytest.mark.parametrize("given", [{"image_pull_credentials": {"registry": "r", "store": "s", "name": "n"}}, {"working_dir": "/w"},
                                   {"security_context": {"run_as_user": 1}}])  # fmt: skip
def test_what_concerns_the_container_of_a_template_needs_an_image(server, given):
    with pytest.raises(TypeError, match="require container_image"):
        Sandbox.run(template_id="tpl", **given)


# ---- files


def test_a_file_is_sent_unchanged_with_what_counts_of_the_defaults(server):
    contents = b"services:\r\n  web: {image: x}\n\n"
    defaults = SandboxDefaults(
        tags=("t",), command="no", container_image="no", volumes=(ScratchVolumeOptions(name="no"),), runner_ids=("r",),
        environment_variables={"NO": "no"}, annotations={"k": "v"}, max_lifetime_seconds=60, runtime_class="no", working_dir="/no",
        services=(Service(port=1),), containers=(Container(image="no"),), placement_spillover="cks_then_serverless",
        object_storage_access={"buckets": ["b"]},
    )  # fmt: skip
    Sandbox.run_from_file(
        contents, primary_service="web", defaults=defaults, image_overrides={"web": "y"}, default_resources=SMALL, request_id="id",
        image_pull_credentials=[{"registry": "r", "store": "s", "name": "n"}], network={"deny_egress": True},
    )  # fmt: skip
    both = pb.Resources(cpu="1", memory="1Gi")
    assert server.of("CreateSandboxFromFile")[-1].request == pb.CreateSandboxFromFileRequest(
        type=pb.SANDBOX_FILE_TYPE_COMPOSE, contents=contents, primary_service="web", image_overrides={"web": "y"},
        default_resources=pb.ResourceRequirements(requests=both, limits=both), mode=pb.SANDBOX_MODE_CKS, max_lifetime_seconds=60,
        tags=["t"], network=pb.NetworkOptions(deny_egress=True), object_storage_access=pb.ObjectStorageAccess(buckets=["b"]),
        annotations={"k": "v"}, runner_ids=["r"], request_id="id",
        image_pull_credentials=[pb.ImagePullCredentials(registry="r", credentials=pb.SecretSource(store_name="s", path="n"))],
    )  # fmt: skip


def test_a_file_by_its_path_for_an_engine(server, tmp_path):
    (tmp_path / "compose.yaml").write_bytes(b"a")
    Sandbox.run_from_file(tmp_path / "compose.yaml", control="CONTAINER_ENGINE")
    Sandbox.run_from_file(str(tmp_path / "compose.yaml"), control="container_engine")
    for call in server.of("CreateSandboxFromFile"):
        assert (call.request.contents, call.request.control) == (b"a", pb.CONTROL_CONTAINER_ENGINE)
        assert len(call.request.request_id) == 36
    with pytest.raises(FileNotFoundError):
        Sandbox.run_from_file("services: {}", primary_service="web")


@pytest.mark.parametrize(("error", "words", "given"), [
    (ValueError, "256 KiB", {"contents": b"x" * 262145}), (ValueError, "primary_service is required", {"primary_service": None}),
    (ValueError, "must not set GPU", {"default_resources": {"gpu": 1}}),
    (ValueError, "must be STRICT", {"placement_spillover": "cks_then_serverless"}),
    (ValueError, "helm", {"file_type": "helm"}), (TypeError, "control", {"control": 2}),
    (TypeError, "must be a list", {"image_pull_credentials": {"registry": "r"}}),
    (TypeError, "entries must be", {"image_pull_credentials": ["r"]}), (TypeError, "does not accept volumes", {"volumes": []}),
    (TypeError, "unexpected keyword argument", {"nonsense": 1}),
])  # fmt: skip
def test_what_is_refused_before_any_call_of_a_file(server, error, words, given):
    arguments = {"primary_service": "web", **given}
    with pytest.raises(error, match=words):
        Sandbox.run_from_file(arguments.pop("contents", b"a"), **arguments)
    assert server.calls == []


# ---- facts


def test_facts_that_are_echoed(server):
    quiet = Sandbox(tags=["a"], defaults={"tags": ["d"]})
    assert (quiet.tags, quiet.control, quiet.created_at, quiet.containers) == (("d", "a"), None, None, ())
    assert (quiet.attached_volume_ids, quiet.effective_runtime_class) == ((), None)
    status = pb.SandboxStatus(create_time=Timestamp(seconds=5, nanos=7000), effective_runtime_class="gvisor", attached_volume_ids=["v"])
    sb = told(server, spec=pb.SandboxSpec(tags=["x"]), status=status, control=pb.CONTROL_CONTAINER_ENGINE)
    assert (sb.tags, sb.control) == (("x",), "container_engine")
    assert sb.created_at == datetime.datetime(1970, 1, 1, 0, 0, 5, 7, tzinfo=datetime.UTC)
    assert (sb.effective_runtime_class, sb.attached_volume_ids) == ("gvisor", ("v",))
    server.on("GetSandbox", sandbox("running"))
    sb.get_status()
    assert (sb.tags, sb.control, sb.created_at, sb.effective_runtime_class) == ((), "unspecified", None, None)
    listed = sandbox("running", create_time=Timestamp(seconds=5))
    listed.spec.tags.append("y")
    server.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[listed]))
    server.on("GetSandbox", listed)
    for found in (*Sandbox.list().result(), *Session().list().result(), Sandbox.from_id("sb-scripted").result()):
        assert (found.tags, found.created_at) == (("y",), datetime.datetime(1970, 1, 1, 0, 0, 5, tzinfo=datetime.UTC))


def test_urls_are_replaced_by_every_answer(server):
    sb = told(server, status=pb.SandboxStatus(services=[service(1, url="http://one"), service(2, url="http://two")]))
    assert sb.service_urls == ((1, "s1", "http://one"), (2, "s2", "http://two"))
    server.on("GetSandbox", sandbox("running", services=[service(2, url="http://other")]), sandbox("running"))
    seen = [(sb.get_status(), sb.service_urls)[1] for _ in range(2)]
    assert seen == [((2, "s2", "http://other"),), ()]


# ---- functions


OPTIONS = {
    "runtime_class": "gvisor", "security_context": {"run_as_user": 7}, "working_dir": "/w",
    "object_storage_access": {"buckets": ["b"]}, "environment_variables": {"A": "1"},
}  # fmt: skip


@pytest.mark.parametrize("decorate", [
    lambda session, fn, **options: session.function(**options)(fn),
    lambda session, fn, **options: RemoteFunction(fn, session=session, **options),
], ids=["function()", "RemoteFunction()"])  # fmt: skip
def test_the_sandbox_of_a_function_has_its_options_and_one_container(server, decorate):
    server.on("ReadFile", pb.ReadFileResponse(content=b"42"))

    def answer():
        return 6 * 7

    with Session(SandboxDefaults(containers=(Container(image="no"),), tags=("t",), runtime_class="no")) as session:
        assert decorate(session, answer, fresh=True, **OPTIONS).remote().result(60) == 42
        spec = server.of("CreateSandbox")[-1].request.sandbox.spec
        (container,) = spec.containers
        assert (container.image, container.working_dir, container.security_context.run_as_user) == ("", "/w", 7)
        assert dict(container.environment_variables) == {"A": "1"} and list(spec.tags) == ["t"]
        assert (spec.runtime_class, list(spec.object_storage_access.buckets)) == ("gvisor", ["b"])
        server.deleted = False
        with pytest.raises(SandboxUnavailableError, match="Direct data-plane access is unavailable"):
            decorate(session, answer, fresh=True, data_plane_mode="direct").remote().result(60)
