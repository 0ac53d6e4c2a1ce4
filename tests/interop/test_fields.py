"""Each field and method of the interface is honoured or refused by its name; nothing that a peer asks for is ignored in silence."""

import grpc
import pytest
from coreweave.sandbox.v1 import discovery_pb2, sandbox_data_plane_pb2, sandbox_template_pb2, settings_pb2, volume_pb2
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import volume_pb2_grpc
from google.protobuf import field_mask_pb2

from service import TIMEOUT, failure

NOT_IMPLEMENTED = "CWSANDBOX_NOT_IMPLEMENTED"
FILES = (pb, sandbox_data_plane_pb2, discovery_pb2, sandbox_template_pb2, volume_pb2, settings_pb2)
PATHS = [f"/{service.full_name}/{method.name}" for module in FILES for service in module.DESCRIPTOR.services_by_name.values()
         for method in service.methods]


def create(service, spec, container=None, **sandbox):
    containers = [pb.Container(image="host", **(container or {}))]
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(**{"containers": containers} | spec), **sandbox))
    return service.stub.CreateSandbox(request, timeout=TIMEOUT)


def delete(service, message):
    service.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=message.sandbox_id), timeout=TIMEOUT)


@pytest.mark.parametrize("path", PATHS)
def test_every_method_of_the_interface_is_known(service, path):
    """What a method makes of 3 bytes that are no message is its own affair, but it has a reason or is built."""
    error = failure(service.channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes),
                    b"\xff\xff\xff", timeout=TIMEOUT)
    if error.code == grpc.StatusCode.UNIMPLEMENTED:
        assert error.reason in (NOT_IMPLEMENTED, "CWSANDBOX_FSS_NOT_SUPPORTED")
    else:
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("spec, container, field", [
    ({}, {"startup_probe": pb.Probe(exec=["true"])}, "containers[0].startup_probe"),
    ({"runtime_class_selection": 1}, {}, "runtime_class_selection"),
    ({"runtime_class": "gvisor"}, {}, "runtime_class"),
    ({"network_config_id": "n"}, {}, "network_config_id"),
    ({"network": pb.NetworkOptions(dns_egress=pb.DNS_EGRESS_MODE_ALLOW)}, {}, "network.dns_egress"),
    ({"network_ids": ["n"]}, {}, "network_ids"),
    ({"instance_type": "i"}, {}, "instance_type"),
    ({"object_storage_access": pb.ObjectStorageAccess(buckets=["b"])}, {}, "object_storage_access"),
    ({"containers": [pb.Container(name="a", image="host", primary=True), pb.Container(name="b", image="host")]}, {},
     "containers[1]"),
    ({"services": [pb.Service(port=80, visibility=pb.VISIBILITY_PUBLIC, endpoint=pb.EndpointSpec(
        kind=pb.ENDPOINT_KIND_HTTPS, auth=pb.ENDPOINT_AUTH_OPEN))]}, {}, "services.endpoint"),
    ({"services": [pb.Service(port=80, visibility=pb.VISIBILITY_PUBLIC)]}, {}, "services.visibility"),
    ({"volumes": [pb.SandboxVolume(name="v", scratch=pb.ScratchVolume(medium=pb.STORAGE_MEDIUM_DISK))]}, {}, "volumes.scratch.medium"),
    ({}, {"secret_stores": [pb.SecretStoreReference(store_name="s")]}, "secret_stores"),
    ({}, {"security_context": pb.SecurityContext(run_as_user=1000)}, "security_context.run_as_user"),
    ({}, {"security_context": pb.SecurityContext(read_only_root_filesystem=True)}, "security_context.read_only_root_filesystem"),
    ({}, {"security_context": pb.SecurityContext(seccomp_profile="Unconfined")}, "security_context.seccomp_profile"),
])
def test_what_is_not_built_is_refused_by_name(service, spec, container, field):
    error = failure(create, service, spec, container)
    assert error.code == grpc.StatusCode.UNIMPLEMENTED and error.reason == NOT_IMPLEMENTED
    assert error.violations == [f"sandbox.spec.{'' if field.startswith(('network', 'run', 'ins', 'obj', 'con', 'ser', 'vol')) else 'containers[0].'}{field}"]


def test_init_containers_of_older_clients_are_refused_by_name(service):
    """Field 12 of a spec is reserved now: to the descriptors it is an unknown field."""
    spec = pb.SandboxSpec(containers=[pb.Container(name="main", image="host")]).SerializeToString()
    older = spec + b"\x12\x04main" + bytes([12 << 3 | 2, 6]) + b"\x0a\x04init"
    for data, code in ((spec + b"\x12\x04main", None), (older, grpc.StatusCode.UNIMPLEMENTED)):
        request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec.FromString(data)))
        if code is None:  # primary_container, which every 1.6.0 sends
            delete(service, service.stub.CreateSandbox(request, timeout=TIMEOUT))
            continue
        error = failure(service.stub.CreateSandbox, request, timeout=TIMEOUT)
        assert (error.code, error.reason, error.violations) == (code, NOT_IMPLEMENTED, ["sandbox.spec.init_containers"])


@pytest.mark.parametrize("endpoint, reason", [
    (pb.EndpointSpec(kind=pb.ENDPOINT_KIND_TLS_PASSTHROUGH), "CWSANDBOX_TLS_PASSTHROUGH_ENDPOINTS_NOT_SUPPORTED"),
    (pb.EndpointSpec(kind=pb.ENDPOINT_KIND_HTTPS, auth=pb.ENDPOINT_AUTH_SHARE_TOKEN), "CWSANDBOX_HTTPS_SHARE_TOKEN_NOT_SUPPORTED")])
def test_endpoints_that_are_not_built_have_reasons_of_their_own(service, endpoint, reason):
    plain = pb.Service(port=80, visibility=pb.VISIBILITY_PUBLIC)
    error = failure(create, service, {"services": [plain, pb.Service(port=81, visibility=pb.VISIBILITY_PUBLIC, endpoint=endpoint)]})
    assert (error.code, error.reason, error.violations) == (grpc.StatusCode.UNIMPLEMENTED, reason, ["sandbox.spec.services.endpoint"])


@pytest.mark.parametrize("rules, field", [
    ({"egress": [pb.EgressRule(https_hostname="a.b")]}, "egress[0].dns_name"), ({"egress": [pb.EgressRule(any=True)]}, "egress[0]"),
    ({"egress": [pb.EgressRule(cidr=pb.CidrBlock(cidr="10.0.0.0/8"))]}, "egress[0]"), ({"ingress": [pb.IngressRule(any=True)]}, "ingress[0]")])
def test_a_rule_that_grants_is_invalid_and_named(service, rules, field):
    error = failure(create, service, {"network": pb.NetworkOptions(**rules)})
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == [f"sandbox.spec.network.{field}"]


def test_a_container_without_a_name_is_main(service):
    box = create(service, {}, {"command": "/bin/sleep", "args": ["infinity"]})
    assert [c.name for c in box.spec.containers] == ["main"] == [c.name for c in box.status.container_statuses]
    for name in ("", "main"):
        done = service.stub.Exec(pb.ExecRequest(sandbox_id=box.sandbox_id, command=["echo", "x"], container=name), timeout=TIMEOUT)
        assert done.stdout == b"x\n"
    other = pb.ExecRequest(sandbox_id=box.sandbox_id, command=["true"], container="other")
    error = failure(service.stub.Exec, other, timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == ["container"]
    delete(service, box)


@pytest.mark.parametrize("name", ["Main", "-a", "a.b", "a" * 64, "dns-egress", "cw-object-store-agent-restore-1"])
def test_names_that_no_container_may_have(service, name):
    error = failure(create, service, {}, {"name": name})
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == ["sandbox.spec.containers[0].name"]


def test_arguments_without_a_command_are_run(service):
    """The image has no entry point, so they are the command, as in every container engine."""
    box = create(service, {}, {"args": ["/bin/sh", "-c", "echo from args; exit 5"], "primary": True})
    got = service.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=box.sandbox_id), timeout=TIMEOUT,
                                  metadata=[("x-cwsandbox-wait", "terminal")])
    assert got.status.state == pb.STATE_COMPLETED and got.status.exit_code == 5
    logs = service.stub.StreamLogs(pb.StreamLogsRequest(sandbox_id=box.sandbox_id), timeout=TIMEOUT)
    assert b"".join(entry.data for entry in logs) == b"from args\n"
    assert (got.spec.containers[0].command, list(got.spec.containers[0].args)[0]) == ("", "/bin/sh")  # echoed as asked for


def test_without_command_and_arguments_a_sandbox_runs_until_it_is_stopped(service):
    box = create(service, {})
    got = service.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=box.sandbox_id), timeout=TIMEOUT,
                                  metadata=[("x-cwsandbox-wait", "stable")])
    assert got.status.state == pb.STATE_RUNNING
    delete(service, box)


def test_what_holds_anyway_may_be_asked_for(service):
    context = pb.SecurityContext(run_as_user=0, run_as_group=0, privileged=False, allow_privilege_escalation=False,
                                 read_only_root_filesystem=False, seccomp_profile="RuntimeDefault")
    first = create(service, {})
    runtime_class = first.status.effective_runtime_class
    assert runtime_class
    second = create(service, {"runtime_class": runtime_class}, {"security_context": context})
    status = service.stub.Exec(pb.ExecRequest(sandbox_id=second.sandbox_id, command=["cat", "/proc/self/status"]), timeout=TIMEOUT)
    facts = dict(line.split(":\t", 1) for line in status.stdout.decode().splitlines() if ":\t" in line)
    assert (facts["NoNewPrivs"], facts["Seccomp"], facts["Uid"].split()[0]) == ("1", "2", "0")
    for box in (first, second):
        delete(service, box)


def test_a_display_name_is_kept(service):
    box = create(service, {"tags": ["named"]}, display_name="Grader №7")
    assert box.display_name == "Grader №7" and box.control == pb.CONTROL_PLATFORM and not box.endpoint_share_token
    got = service.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=box.sandbox_id), timeout=TIMEOUT)
    listed = service.stub.ListSandboxes(pb.ListSandboxesRequest(tags=["named"]), timeout=TIMEOUT).sandboxes
    assert {got.display_name, *[s.display_name for s in listed]} == {"Grader №7"}
    delete(service, box)
    assert failure(create, service, {}, display_name="x" * 257).violations == ["sandbox.display_name"]


def test_what_an_answer_echoes_creates_the_same(service):
    box = create(service, {"tags": ["copy"]}, {
        "command": "/bin/sleep", "args": ["infinity"], "environment_variables": {"A": "1"}, "working_dir": "/tmp",
        "files": [pb.FileMount(path="/etc/copied", content=b"content\n")]})
    copy = service.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=box.spec)), timeout=TIMEOUT)
    done = service.stub.Exec(pb.ExecRequest(sandbox_id=copy.sandbox_id, command=["/bin/sh", "-c", "cat /etc/copied; echo $A; pwd"]),
                             timeout=TIMEOUT)
    assert done.stdout == b"content\n1\n/tmp\n"
    assert copy.spec == box.spec
    for message in (box, copy):
        delete(service, message)


@pytest.fixture
def volumes(service):
    return volume_pb2_grpc.VolumeServiceStub(service.channel)


def test_there_are_no_registered_volumes(service, volumes):
    assert not volumes.ListVolumes(volume_pb2.ListVolumesRequest(states=[2], runner_ids=["r"]), timeout=TIMEOUT).volumes
    for call, request in (
        (volumes.GetVolume, volume_pb2.GetVolumeRequest(volume_id="v1")),
        (volumes.ValidateVolume, volume_pb2.ValidateVolumeRequest(volume_id="v1")),
        (volumes.DeleteVolume, volume_pb2.DeleteVolumeRequest(volume_id="v1")),
        (volumes.UpdateVolume, volume_pb2.UpdateVolumeRequest(
            volume_id="v1", update_mask=field_mask_pb2.FieldMask(paths=["spec.description"]))),
        (service.stub.CreateSandbox, pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(
            containers=[pb.Container(image="host")], volumes=[pb.SandboxVolume(name="s"), pb.SandboxVolume(name="v", volume_id="v1")])))),
    ):
        error = failure(call, request, timeout=TIMEOUT)
        assert error.code == grpc.StatusCode.NOT_FOUND and error.reason == "CWSANDBOX_VOLUME_NOT_FOUND"
        assert error.metadata == {"volume_id": "v1"}
    gone = volumes.DeleteVolume(volume_pb2.DeleteVolumeRequest(volume_id="v1", allow_missing=True), timeout=TIMEOUT)
    assert gone.volume_id == "v1"


def test_a_volume_cannot_be_registered(volumes):
    spec = volume_pb2.VolumeSpec(pvc=volume_pb2.PvcVolumeSource(runner_id="r", namespace="n", claim_name="c"))
    request = volume_pb2.CreateVolumeRequest(volume=volume_pb2.Volume(volume_id="v1", spec=spec), request_id="r")
    error = failure(volumes.CreateVolume, request, timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.FAILED_PRECONDITION and error.reason == "CWSANDBOX_VOLUME_TYPE_NOT_SUPPORTED"
    assert failure(volumes.CreateVolume, volume_pb2.CreateVolumeRequest(), timeout=TIMEOUT).violations == ["volume.spec"]


def test_creates_from_a_file_are_refused(service):
    for kind, code, reason in ((0, grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_INVALID_REQUEST"),
                               (1, grpc.StatusCode.UNIMPLEMENTED, NOT_IMPLEMENTED), (7, grpc.StatusCode.UNIMPLEMENTED, NOT_IMPLEMENTED)):
        request = pb.CreateSandboxFromFileRequest(type=kind, contents=b"services: {}", primary_service="a")
        error = failure(service.stub.CreateSandboxFromFile, request, timeout=TIMEOUT)
        assert (error.code, error.reason, error.violations) == (code, reason, ["type"])


@pytest.mark.parametrize("sandbox_id", ["sb-0000000000000000", ""])
def test_a_direct_connection_is_refused_at_once_whatever_the_sandbox(service, sandbox_id):
    request = pb.ConnectSandboxRequest(sandbox_id=sandbox_id, csr_der=b"x", requested_permissions=[2])
    error = failure(service.stub.ConnectSandbox, request, timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.UNIMPLEMENTED and error.reason == NOT_IMPLEMENTED
