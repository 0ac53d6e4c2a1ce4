"""Run by test_published.py with the interpreter that has the published client 1.22.0: what it has and 1.6.0 has not.

It prints one word per thing that worked; the test compares the list. No source of the client was read for it: names and behaviour are
those of its documentation. The service is one machine: what it does not have is a typed error, never a wait and never silence.
"""

import os
import sys
import time
import traceback

import cwsandbox
from cwsandbox import Container, EgressRule, Endpoint, IngressRule, NetworkOptions, PvcVolumeSource, RegisteredVolumeOptions, Sandbox
from cwsandbox import ScratchVolumeOptions, SecurityContext, Service, Volume

TAG = "published-newest"
KEEP = ["/bin/sleep", "infinity"]


def say(kind, error, trace):
    """No line of the client, only ours: what is inside it is none of our business."""
    ours = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == __file__]
    print(f"lines {ours}: {kind.__name__}: {error}", file=sys.stderr)


sys.excepthook = say


def done(word):
    print(word, flush=True)


def refused(error, reason, make, *names):
    """`make` fails with that class and reason; the text holds the names."""
    try:
        result = make()
        getattr(result, "result", lambda: None)()
    except error as e:
        assert reason is None or e.reason == f"CWSANDBOX_{reason}", (reason, e.reason, str(e))
        assert all(name in str(e) for name in names), str(e)
        assert type(e) is error, type(e)
        return e
    raise AssertionError(f"not refused: {reason} {names}")


def run(**kwargs):
    return Sandbox.run(tags=[TAG], **kwargs)


def not_built(*names, **kwargs):
    error = refused(cwsandbox.SandboxError, "NOT_IMPLEMENTED", lambda: run(**kwargs), *names)
    return error


# One container, under any name or none, with or without a command
first = run(containers=[Container(image="python:3.11", command=KEEP[0], args=KEEP[1:], environment_variables={"A": "1"}, working_dir="/tmp",
                                  mounted_files=[{"mount_path": "/etc/copied", "file_content": b"content\n"}])])
(container,) = first.containers
assert (container.name, container.primary) == ("main", True), container
assert first.exec(["/bin/sh", "-c", "cat /etc/copied; echo $A; pwd"]).result().stdout == "content\n1\n/tmp\n"
assert first.exec(["echo", "x"], container="main").result().stdout == "x\n"
assert first.tags == (TAG,) and first.created_at.tzinfo is not None and first.status_reason is None
done("unnamed")

copy = run(containers=first.containers)
assert copy.exec(["/bin/sh", "-c", "cat /etc/copied; echo $A; pwd"]).result().stdout == "content\n1\n/tmp\n"
assert copy.containers == first.containers
copy.stop().result()
done("copy")

for given in ({"args": ["/bin/sh", "-c", "echo from args; exit 5"]}, {"name": "job", "args": ["/bin/sh", "-c", "echo from args; exit 5"]}):
    job = run(containers=[Container(image="host", **given)])
    job.wait_until_complete().result()
    assert job.returncode == 5 and "".join(job.stream_logs()) == "from args\n"
    (status,) = job.container_statuses
    assert (status.name, status.exit_code, status.restart_count) == (given.get("name", "main"), 5, 0)
bare = run(containers=[Container(image="host", name="bare")])
assert bare.wait().exec(["echo", "x"], container="bare").result().stdout == "x\n"
bare.stop().result()
done("entry-point")

second = run(runtime_class=first.wait().effective_runtime_class, working_dir="/var",
             security_context=SecurityContext(run_as_user=0, privileged=False, allow_privilege_escalation=False,
                                              seccomp_profile="RuntimeDefault"))
assert second.exec(["pwd"]).result().stdout == "/var\n"
assert second.effective_runtime_class == first.effective_runtime_class
second.stop().result()
done("isolation")

not_built("containers[1]", containers=[Container(image="host", name=n, primary=n == "a", resources={"cpu": "1", "memory": "64Mi"}) for n in "ab"])
not_built("runtime_class", runtime_class="gvisor")
not_built("security_context.run_as_user", security_context=SecurityContext(run_as_user=1000))
not_built("object_storage_access", object_storage_access={"buckets": ["b"]})
not_built("services", services=[Service(port=80, visibility="public")])
not_built("secret_stores", secrets=[{"store": "s", "name": "n"}])
not_built("gpu", resources={"cpu": "1", "gpu": {"count": 1, "type": "H100"}})
for endpoint, reason in ((Endpoint(kind="https", auth="share_token"), "HTTPS_SHARE_TOKEN_NOT_SUPPORTED"),
                         (Endpoint(kind="tls_passthrough"), "TLS_PASSTHROUGH_ENDPOINTS_NOT_SUPPORTED"),
                         (Endpoint(kind="https", auth="open", request_timeout_seconds=30), "NOT_IMPLEMENTED")):
    service = Service(port=443, visibility="public", endpoint=endpoint)
    refused(cwsandbox.SandboxError, reason, lambda service=service: run(services=[service]), "services")
done("not-built")

for rule, name in ((EgressRule(dns_name="a.b"), "egress[0].dns_name"), (EgressRule(cidr="10.0.0.0/8"), "egress[0]"),
                   (EgressRule(any=True), "egress[0]"), (EgressRule(tenant="same_user"), "egress[0]")):
    refused(cwsandbox.SandboxValidationError, "INVALID_REQUEST", lambda rule=rule: run(network=NetworkOptions(egress=[rule])), name)
refused(cwsandbox.SandboxValidationError, "INVALID_REQUEST", lambda: run(network={"ingress": [IngressRule(any=True)]}), "ingress[0]")
with run(network=NetworkOptions(deny_egress=False, deny_ingress=False)) as box:
    assert box.wait().effective_egress == () and box.effective_ingress == () and box.dns_egress_names == ()
done("network")

listed = Sandbox.list(tags=[TAG]).result()
assert first.sandbox_id in [s.sandbox_id for s in listed]
(mine,) = [s for s in listed if s.sandbox_id == first.sandbox_id]
assert mine.containers == first.containers and mine.tags == (TAG,) and mine.attached_volume_ids == ()
assert Sandbox.list(tags=[TAG], status="preparing").result() == [] and Sandbox.list(volume_ids=["v"]).result() == []
done("list")

refused(cwsandbox.SandboxValidationError, "INVALID_REQUEST", lambda: first.exec(["true"], container="other"), "container")
refused(cwsandbox.SandboxValidationError, "INVALID_REQUEST", lambda: first.read_file("/etc/passwd", container="other"), "container")
first.write_file("/tmp/f", b"x", container="main").result()
assert first.read_file("/tmp/f", container="main").result() == b"x"
done("targets")

for mode in ("auto", "gateway"):
    box = Sandbox.from_id(first.sandbox_id, data_plane_mode=mode).result()
    begin = time.monotonic()
    assert box.exec(["echo", mode]).result().stdout == f"{mode}\n"
    assert b"".join(box.read_file_streaming("/tmp/f")) == b"x"
    assert time.monotonic() - begin < 5
box = Sandbox.from_id(first.sandbox_id, data_plane_mode="direct").result()
refused(cwsandbox.SandboxUnavailableError, None, lambda: box.exec(["true"]))
done("data-plane")

assert Volume.list().result() == []
ghost = Volume(volume_id="v1")
for make in (lambda: Volume.get("v1"), lambda: ghost.update(description="d"), ghost.validate, ghost.delete, ghost.wait_until_ready):
    error = refused(cwsandbox.VolumeNotFoundError, "VOLUME_NOT_FOUND", make)
    assert error.volume_id == "v1"
ghost.delete(allow_missing=True).result()
claim = PvcVolumeSource(runner_id="r", namespace="n", claim_name="c")
refused(cwsandbox.VolumeTypeNotSupportedError, "VOLUME_TYPE_NOT_SUPPORTED", lambda: Volume.create("v1", pvc=claim))
error = refused(cwsandbox.VolumeNotFoundError, "VOLUME_NOT_FOUND", lambda: run(
    volumes=[RegisteredVolumeOptions(name="v", volume_id="v1", mount_path="/v")]))
assert error.volume_id == "v1"
refused(cwsandbox.SnapshotNotSupportedError, "FSS_NOT_SUPPORTED", lambda: run(
    volumes=[ScratchVolumeOptions(name="s", mount_path="/s", restore_from_snapshot_id="snap")]))
scratch = run(volumes=[ScratchVolumeOptions(name="s", mount_path="/s", size="1Mi", medium="memory"),
                       ScratchVolumeOptions(name="s2", mount_path="/tmp", sub_path="a/b", read_only=True)])
assert scratch.exec(["sh", "-c", "echo 1 > /s/f; cat /s/f; touch /tmp/f || ls -A /tmp"]).result().stdout == "1\n"
scratch.stop().result()
done("volumes")

compose = b"services:\n  app:\n    image: host\n"
refused(cwsandbox.SandboxError, "NOT_IMPLEMENTED", lambda: Sandbox.run_from_file(compose, primary_service="app"), "file")
refused(cwsandbox.SandboxError, "NOT_IMPLEMENTED", lambda: Sandbox.run_from_template("t"))
done("file")

(runner,) = cwsandbox.list_runners(include_resources=True, min_available_cpu_millicores=500)
assert cwsandbox.get_runner(runner.runner_id, organization_id=runner.organization_id).resources.available_cpu_millicores >= 500
done("runners")

refused(cwsandbox.SnapshotNotSupportedError, "FSS_NOT_SUPPORTED", lambda: Sandbox.list_snapshots())
done("snapshots")

failed = run(container_image="127.0.0.1:1/no-such-image:1")
error = refused(cwsandbox.SandboxFailedError, None, failed.wait, "no-such-image:1")
assert "no-such-image:1" in error.status_reason and error.sandbox_id == failed.sandbox_id
done("failed")

os.environ["CWSANDBOX_API_KEY"] = "not-a-key-of-this-service"
error = refused(cwsandbox.CWSandboxAuthenticationError, None, lambda: Sandbox.list(), "authorization: Bearer")
wandb = cwsandbox.AuthHeaders(headers={"x-wandb-api-key": "k"}, strategy="wandb")
refused(cwsandbox.CWSandboxAuthenticationError, None, lambda: Sandbox.list(auth=wandb), "authorization: Bearer")
done("auth")

first.stop().result()
done("stop")
