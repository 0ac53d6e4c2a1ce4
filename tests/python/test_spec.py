"""What values of a create are refused, and how they are kept. Nothing is sent: there is no service here."""

from __future__ import annotations

import pytest

import cwsandbox
from cwsandbox import (
    CidrBlock,
    Container,
    EgressRule,
    Endpoint,
    EndpointShareToken,
    IngressRule,
    NetworkOptions,
    ObjectStorageAccess,
    PortRange,
    RegisteredVolumeOptions,
    Sandbox,
    SandboxDefaults,
    ScratchVolumeOptions,
    Secret,
    SecurityContext,
    SelectorBlock,
    VolumeMount,
)

SMALL = {"cpu": "1", "memory": "1Gi"}


def refused(error, text, make, *args, **kwargs):
    with pytest.raises(error, match=text):
        make(*args, **kwargs)


def two(**second):
    first = Container(image="a", name="a", primary=True, resources=SMALL)
    return {"containers": [first, {"image": "b", "name": "b", "resources": SMALL, **second}]}


@pytest.mark.parametrize(("error", "text", "containers"), [
    (ValueError, "containers cannot be empty", []), (TypeError, "Container or dict", ["a"]), (TypeError, "sequence", "a"),
    (ValueError, "exactly one primary=True", two(primary=True)["containers"]),
    (ValueError, "exactly one primary=True", [{"image": "a", "name": "a"}, {"image": "b", "name": "b"}]),
    (ValueError, "every container must have a name", two(name=None)["containers"]),
    (ValueError, "duplicate container name", two(name="a")["containers"]),
    (ValueError, "requires resources", two(resources=None)["containers"]),
    (ValueError, "GPU is only allowed on the primary", two(resources={"cpu": "1", "gpu": 1})["containers"]),
])  # fmt: skip
def test_container_lists_that_are_refused(error, text, containers):
    refused(error, text, Sandbox, containers=containers)
    if error is ValueError:
        refused(error, text, Sandbox, defaults=SandboxDefaults(containers=tuple(containers)))


@pytest.mark.parametrize("given", [
    {"container_image": "i"}, {"command": "c"}, {"args": []}, {"resources": SMALL}, {"mounted_files": []}, {"secrets": []},
    {"image_pull_credentials": {"registry": "r", "store": "s", "name": "n"}}, {"environment_variables": {}},
    {"security_context": {}}, {"working_dir": "/w"},
])  # fmt: skip
def test_what_contradicts_a_container_list(given):
    refused(TypeError, f"{next(iter(given))} are mutually exclusive", Sandbox, containers=[{"image": "i"}], **given)
    refused(TypeError, "mutually exclusive", Sandbox, defaults={"containers": [{"image": "i"}]}, **given)


def test_a_command_contradicts_a_container_list():
    refused(TypeError, "mutually exclusive", Sandbox.run, "sleep", containers=[{"image": "i"}])


@pytest.mark.parametrize(("error", "text", "given"), [
    (ValueError, "Container.image", {"image": ""}), (ValueError, "DNS-1123 label", {"name": "A"}),
    (ValueError, "DNS-1123 label", {"name": "a" * 64}), (ValueError, "reserved", {"name": "cws-engine"}),
    (ValueError, "reserved", {"name": "cw-object-store-agent-restore-x"}), (TypeError, "Container.args", {"args": "x"}),
    (TypeError, r"Container.args\[1\]", {"args": ["x", 1]}), (ValueError, "Container.working_dir", {"working_dir": "w"}),
    (ValueError, "Container.working_dir", {"working_dir": "/"}), (TypeError, "volume_mounts", {"volume_mounts": ["v"]}),
    (ValueError, "VolumeMount.volume", {"volume_mounts": [{"volume": "", "mount_path": "/v"}]}),
    (ValueError, "Conflicting secrets for env_var", {"secrets": [Secret(store="s", name="n"), Secret(store="t", name="n")]}),
])  # fmt: skip
def test_containers_that_are_refused(error, text, given):
    refused(error, text, Container, **{"image": "i", **given})


def test_containers_keep_copies():
    env = {"A": "b"}
    c = Container(image="i", name="", command="", working_dir="", args=["x"], environment_variables=env, secrets=[{"store": "s", "name": "n"}] * 2)
    env["A"] = "c"
    assert (c.name, c.command, c.working_dir, c.args, c.environment_variables) == (None, None, None, ("x",), {"A": "b"})
    assert c.secrets == (Secret(store="s", name="n"),)
    assert VolumeMount(volume="v", mount_path="/v", sub_path="").sub_path is None
    for path in ("", "/", "v"):
        refused(ValueError, "VolumeMount.mount_path", VolumeMount, volume="v", mount_path=path)


def test_a_mapping_of_defaults_becomes_objects():
    d = SandboxDefaults.from_dict({
        "containers": [{"image": "i"}], "security_context": {"run_as_user": 1}, "object_storage_access": {"buckets": ["b"]},
        "volumes": [{"name": "s"}, {"name": "r", "volume_id": "x", "mount_path": "/r"}, {"name": "u", "volume_id": "y"}],
    })  # fmt: skip
    assert d.containers == (Container(image="i"),)
    assert d.security_context == SecurityContext(run_as_user=1)
    assert d.object_storage_access == ObjectStorageAccess(buckets=("b",))
    assert d.volumes[:2] == (ScratchVolumeOptions(name="s"), RegisteredVolumeOptions(name="r", volume_id="x", mount_path="/r"))


def test_security_contexts_that_are_refused():
    for name in ("run_as_user", "run_as_group"):
        refused(TypeError, name, SecurityContext, **{name: True})
        for bad in (-1, 2**32):
            refused(ValueError, "unsigned", SecurityContext, **{name: bad})
    refused(TypeError, "privileged", SecurityContext, privileged=1)
    refused(TypeError, "capabilities_add", SecurityContext, capabilities_add="NET_ADMIN")
    refused(TypeError, "SecurityContext", Sandbox, security_context=1)
    refused(ValueError, "working_dir", Sandbox, working_dir="relative")


def test_buckets_that_are_refused():
    refused(TypeError, "bare string", ObjectStorageAccess, buckets="b")
    refused(TypeError, "must be strings", ObjectStorageAccess, buckets=[1])
    refused(ValueError, "buckets", ObjectStorageAccess)
    refused(ValueError, "entries cannot be empty", ObjectStorageAccess, buckets=["a", ""])
    refused(ValueError, ".", ObjectStorageAccess, buckets=["a"], permission="delete")


def test_a_rule_has_one_destination():
    one = {"dns_name": "a.b", "cidr": "10.0.0.0/8", "tenant": "same_user", "any": True, "selector": {"pod_labels": {"a": "b"}}}
    refused(ValueError, "exactly one destination", EgressRule)
    refused(ValueError, "exactly one destination", EgressRule, any=1)
    for name, value in one.items():
        assert getattr(EgressRule(**{name: value}), name)
        for other in one.keys() - {name}:
            refused(ValueError, "exactly one destination", EgressRule, **{name: value, other: one[other]})
    refused(ValueError, "exactly one source", IngressRule)
    refused(ValueError, "exactly one source", IngressRule, any=True, tenant="same_org")


def test_names_are_https_only():
    for ports in ([80], [443, 443], [{"port": 443, "protocol": "UDP"}], [{"port": 443, "end_port": 444}]):
        refused(ValueError, "TCP 443", EgressRule, dns_name="a.b", ports=ports)
    for ports in (None, [], [443], [PortRange(port=443, protocol="tcp")], [{"port": 443, "protocol": ""}]):
        EgressRule(dns_name="a.b", ports=ports)


def test_names_that_are_excepted_are_for_policies():
    refused(ValueError, "policy-only", EgressRule, dns_name="*.b", dns_name_except=["a.b"])


def test_parts_of_rules_that_are_refused():
    for port in (0, 65536):
        refused(ValueError, "1-65535", PortRange, port=port)
    refused(ValueError, "end_port", PortRange, port=9, end_port=8)
    for ports in ("443", b"443", [True], ["443"]):
        refused(TypeError, "ports", EgressRule, any=True, ports=ports)
    refused(ValueError, "cidr", CidrBlock, cidr="")
    refused(TypeError, "cidr", EgressRule, cidr=1)
    refused(TypeError, "selector", EgressRule, selector=1)
    refused(ValueError, "pod_labels", SelectorBlock, pod_labels={})
    refused(ValueError, ".", EgressRule, tenant="neighbours")
    refused(TypeError, "IngressRule or dict", NetworkOptions, ingress=[EgressRule(any=True)])
    assert hash(NetworkOptions(egress=[EgressRule(cidr="10.0.0.0/8", ports=[1])], ingress=[{"any": True}], deny_ingress=True))


def test_endpoints_that_contradict_themselves():
    refused(ValueError, "auth is required", Endpoint, kind="https")
    refused(ValueError, "auth must be unset", Endpoint, kind="tls_passthrough", auth="open")
    refused(ValueError, "request_timeout_seconds must be unset", Endpoint, kind="tls_passthrough", request_timeout_seconds=0)
    for bad in (True, 1.5):
        refused(TypeError, "request_timeout_seconds", Endpoint, kind="https", auth="open", request_timeout_seconds=bad)


def test_a_share_token_shows_nothing():
    token = EndpointShareToken("secret")
    assert (str(token), f"{token}", repr(token)) == ("<redacted>", "<redacted>", "EndpointShareToken(<redacted>)")
    assert token.get_secret_value() == "secret"
    assert token.as_headers() == {"X-Sandbox-Share-Token": "secret"}
    assert token != EndpointShareToken("secret")
    refused(TypeError, "must be str", EndpointShareToken, b"x")
    refused(ValueError, "must not be empty", EndpointShareToken, "")


@pytest.mark.parametrize("cls", [ScratchVolumeOptions, RegisteredVolumeOptions])
def test_where_volumes_are_mounted(cls):
    more = {"volume_id": "x"} if cls is RegisteredVolumeOptions else {}
    for path in ("/a", "a//b", "./a", "a/..", "a/"):
        refused(ValueError, "relative", cls, name="v", mount_path="/v", sub_path=path, **more)
    assert cls(name="v", mount_path="/v", sub_path="", **more).sub_path is None
    assert cls(name="v", mount_path="/v", sub_path="a/b", **more).sub_path == "a/b"
    refused(TypeError, "read_only", cls, name="v", mount_path="/v", read_only=1, **more)
    refused(ValueError, "mount_path", cls, name="v", mount_path="/", **more)


def test_volumes_that_are_refused():
    for name in ("name", "volume_id", "mount_path"):
        refused(ValueError, name, RegisteredVolumeOptions, **{"name": "n", "volume_id": "x", "mount_path": "/v", name: ""})
    refused(ValueError, ".", ScratchVolumeOptions, name="v", medium="tape")
    assert ScratchVolumeOptions(name="v", medium="Memory").medium is cwsandbox.StorageMedium.MEMORY
