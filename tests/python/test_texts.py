"""A text that cannot travel, over everything that takes one: it is an error that names the argument, and nothing is sent."""

from __future__ import annotations

import inspect

import cwsandbox
import pytest
from cwsandbox import (
    CidrBlock,
    Container,
    EgressRule,
    FileSystemSnapshotOptions,
    ImagePullCredentials,
    NetworkOptions,
    ObjectStorageAccess,
    ObjectStoragePermission,
    PvcVolumeSource,
    RegisteredVolumeOptions,
    Sandbox,
    ScratchVolumeOptions,
    Secret,
    SecurityContext,
    Service,
    Session,
    Volume,
    VolumeMount,
)

CONTAINER = {"image": "host", "name": "a", "resources": {"cpu": "1", "memory": "64Mi"}}

# What is put together for run(): the argument's name in the message, and the argument.
OPTIONS = {
    "container_image": lambda bad: {"container_image": bad},
    "tags": lambda bad: {"tags": [bad]},
    "runner_ids": lambda bad: {"runner_ids": [bad]},
    "template_id": lambda bad: {"template_id": bad},
    "environment_variables": lambda bad: {"environment_variables": {"A": bad}},
    "environment_variables ": lambda bad: {"environment_variables": {bad: "a"}},
    "annotations": lambda bad: {"annotations": {"a": bad}},
    "annotations ": lambda bad: {"annotations": {bad: "a"}},
    "working_dir": lambda bad: {"working_dir": "/" + bad},
    "runtime_class": lambda bad: {"runtime_class": bad},
    "mounted_files": lambda bad: {"mounted_files": {"/" + bad: b""}},
    "mounted_files ": lambda bad: {"mounted_files": [{"mount_path": "/" + bad, "file_content": b""}]},
    "quantity": lambda bad: {"resources": {"cpu": bad, "memory": "1Gi"}},
    "quantity ": lambda bad: {"resources": {"cpu": "1", "memory": bad}},
    "gpu": lambda bad: {"resources": {"cpu": "1", "memory": "1Gi", "gpu": {"count": 1, "type": bad}}},
    "store": lambda bad: {"secrets": [Secret(store=bad, name="n", env_var="E")]},
    "name": lambda bad: {"secrets": [Secret(store="s", name=bad, env_var="E")]},
    "field": lambda bad: {"secrets": [Secret(store="s", name="n", field=bad, env_var="E")]},
    "env_var": lambda bad: {"secrets": [Secret(store="s", name="n", env_var=bad)]},
    "registry": lambda bad: {"image_pull_credentials": ImagePullCredentials(registry=bad, store="s", name="n")},
    "store ": lambda bad: {"image_pull_credentials": ImagePullCredentials(registry="r", store=bad, name="n")},
    "name  ": lambda bad: {"image_pull_credentials": ImagePullCredentials(registry="r", store="s", name=bad)},
    "name ": lambda bad: {"services": [Service(port=1, name=bad)]},
    "dns_name": lambda bad: {"network": NetworkOptions(egress=[EgressRule(dns_name=bad)])},
    "dns_name_except": lambda bad: {"network": NetworkOptions(egress=[EgressRule(dns_name="*.example.com", dns_name_except=[bad])])},
    "cidr": lambda bad: {"network": NetworkOptions(egress=[EgressRule(cidr=CidrBlock(cidr=bad))])},
    "capabilities_add": lambda bad: {"security_context": SecurityContext(capabilities_add=[bad])},
    "seccomp_profile": lambda bad: {"security_context": SecurityContext(seccomp_profile=bad)},
    "buckets": lambda bad: {"object_storage_access": ObjectStorageAccess(buckets=[bad], permission=next(iter(ObjectStoragePermission)))},
    "volumes.name": lambda bad: {"volumes": [ScratchVolumeOptions(name=bad, mount_path="/v", size="1Gi")]},
    "mount_path": lambda bad: {"volumes": [ScratchVolumeOptions(name="v", mount_path="/" + bad, size="1Gi")]},
    "size": lambda bad: {"volumes": [ScratchVolumeOptions(name="v", mount_path="/v", size=bad)]},
    "volume_id": lambda bad: {"volumes": [RegisteredVolumeOptions(name="v", volume_id=bad, mount_path="/v")]},
    "volumes.scratch.restore_from_snapshot_id": lambda bad: {
        "volumes": [ScratchVolumeOptions(name="v", mount_path="/v", size="1Gi", restore_from_snapshot_id=bad)]},
    "snapshot_id": lambda bad: {
        "file_system_snapshot": FileSystemSnapshotOptions(mount_path="/v", size="1Gi", file_system_snapshot_id=bad)},
    "image": lambda bad: {"containers": [Container(**CONTAINER | {"image": bad})]},
    "name   ": lambda bad: {"containers": [Container(**CONTAINER | {"name": bad})]},
    "command": lambda bad: {"containers": [Container(**CONTAINER, command=bad)]},
    "args": lambda bad: {"containers": [Container(**CONTAINER, command="true", args=[bad])]},
    "environment_variables  ": lambda bad: {"containers": [Container(**CONTAINER, environment_variables={"A": bad})]},
    "working_dir ": lambda bad: {"containers": [Container(**CONTAINER, working_dir="/" + bad)]},
    "mounted_files  ": lambda bad: {"containers": [Container(**CONTAINER, mounted_files=[{"mount_path": "/" + bad, "file_content": b""}])]},
    "store  ": lambda bad: {"containers": [Container(**CONTAINER, secrets=[Secret(store=bad, name="n", env_var="E")])]},
    "volume": lambda bad: {"containers": [Container(**CONTAINER, volume_mounts=[VolumeMount(volume=bad, mount_path="/v")])]},
    "mount_path ": lambda bad: {"containers": [Container(**CONTAINER, volume_mounts=[VolumeMount(volume="v", mount_path="/" + bad)])]},
}

# Calls: the argument's name, and the call with a running sandbox.
CALLS = {
    "command": lambda sb, bad: sb.exec([bad]),
    "cwd": lambda sb, bad: sb.exec(["true"], cwd="/" + bad),
    "env": lambda sb, bad: sb.exec(["true"], env={"A": bad}),
    "env ": lambda sb, bad: sb.exec(["true"], env={bad: "a"}),
    "user": lambda sb, bad: sb.exec(["true"], user=bad),
    "container": lambda sb, bad: sb.exec(["true"], container=bad),
    "command ": lambda sb, bad: sb.shell([bad]),
    "user ": lambda sb, bad: sb.read_file("/x", user=bad),
    "container ": lambda sb, bad: sb.read_file("/x", container=bad),
    "sandbox_id": lambda sb, bad: Sandbox.from_id(bad),
    "sandbox_id ": lambda sb, bad: Sandbox.delete(bad),
    "tags": lambda sb, bad: Sandbox.list(tags=[bad]),
    "runner_ids": lambda sb, bad: Sandbox.list(runner_ids=[bad]),
    "tags ": lambda sb, bad: Session().list(tags=[bad]),
    "volume_ids": lambda sb, bad: Session().list(volume_ids=[bad]),
    "base_url": lambda sb, bad: Sandbox(base_url=bad).start(),
    "runner_id": lambda sb, bad: cwsandbox.get_runner(bad, organization_id="o"),
    "organization_id": lambda sb, bad: cwsandbox.get_runner("r", organization_id=bad),
    "runner_group_id": lambda sb, bad: cwsandbox.list_runners(runner_group_id=bad),
    "gpu_type": lambda sb, bad: cwsandbox.list_runners(gpu_type=bad),
    "architecture": lambda sb, bad: cwsandbox.list_runners(architecture=bad),
    "file_system_snapshot_id": lambda sb, bad: Sandbox.get_snapshot(bad),
    "file_system_snapshot_id ": lambda sb, bad: Sandbox.delete_snapshot(bad),
    "source_sandbox_id": lambda sb, bad: Sandbox.list_snapshots(source_sandbox_id=bad),
    "volume_id": lambda sb, bad: Volume.get(bad),
    "namespace": lambda sb, bad: Volume.create("v", pvc=PvcVolumeSource(runner_id="r", namespace=bad, claim_name="c")),
    "claim_name": lambda sb, bad: Volume.create("v", pvc=PvcVolumeSource(runner_id="r", namespace="n", claim_name=bad)),
    "sub_path": lambda sb, bad: Volume.create("v", pvc=PvcVolumeSource(runner_id="r", namespace="n", claim_name="c", sub_path=bad)),
    "description": lambda sb, bad: Volume(volume_id="v").update(description=bad),
}


def assert_names(name, call):
    with pytest.raises((ValueError, TypeError)) as caught:
        value = call()
        if inspect.isawaitable(value) or hasattr(value, "result"):
            value.result()
    assert not isinstance(caught.value, UnicodeError) and name.strip() in str(caught.value), repr(caught.value)


@pytest.mark.parametrize("bad", ["a\udcff", "a\0b"], ids=["surrogate", "NUL"])
@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_a_sandbox(embedded_service, name, bad):
    assert_names(name, lambda: Sandbox.run(**OPTIONS[name](bad)).stop())


@pytest.mark.parametrize("bad", ["a\udcff", "a\0b"], ids=["surrogate", "NUL"])
@pytest.mark.parametrize("name", CALLS)
def test_an_argument_of_a_call(shared, name, bad):
    assert_names(name, lambda: CALLS[name](shared, bad))


def test_content_that_is_no_text(embedded_service):
    assert_names("mounted_files", lambda: Sandbox.run(mounted_files={"/a": "a\udcff"}))
