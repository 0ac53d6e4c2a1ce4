"""States on the way to RUNNING, why a sandbox failed, answers that are no messages, and what a snapshot does when it cannot be made for now."""

from __future__ import annotations

import math

import cwsandbox as cw
import pytest
from cwsandbox import Sandbox
from scripted_server import ID, Status, pb, sandbox

JUNK = b"\x0a\xff"  # a string that is longer than the message


def test_preparing_is_waited_for_like_creating(server, consume):
    server.on("GetSandbox", sandbox("preparing", state_reason="image is being filled"))
    box = Sandbox.run()
    assert box.get_status() is cw.SandboxStatus.PREPARING and box.status_reason == "image is being filled"
    server.on("GetSandbox", sandbox("preparing"), sandbox("running"))
    assert box.wait().status == "running" and box.status_reason is None
    assert cw.SandboxStatus.from_proto(9) is cw.SandboxStatus.PREPARING and cw.SandboxStatus.PREPARING.to_proto() == 9


def test_preparing_sandboxes_are_listed(server):
    server.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[sandbox("preparing")]))
    (found,) = Sandbox.list(status="preparing").result()
    assert found.status == "preparing" and server.calls[0].request.state == 9


def test_a_start_is_polled_more_often_at_first(server):
    server.on("GetSandbox", *[sandbox("creating")] * 9, sandbox("running"))
    Sandbox.run().wait()
    # Without it the schedule would sleep 0.2 + 0.3 + 0.45 + 0.68 + 1.01 + 1.52 + 2 + 2 + 2 s
    first, *_, last = [call.at for call in server.of("GetSandbox")]
    assert last - first < 8
    assert min(server.gaps("GetSandbox")[3:]) >= 0.49


def test_adopted_sandboxes_keep_the_schedule(server):
    server.on("GetSandbox", *[sandbox("creating")] * 6, sandbox("running"))
    Sandbox.from_id(ID).result().wait()
    gaps = server.gaps("GetSandbox")[-5:]
    least = [0.2, 0.3, 0.45, 0.675, 1.0125]
    assert all(gap >= at_least - 0.02 for gap, at_least in zip(gaps, least)), gaps


def test_a_failure_says_which_and_why(server, consume):
    server.on("GetSandbox", sandbox("failed", state_reason="no such image"))
    with pytest.raises(cw.SandboxFailedError, match="failed.*: no such image$") as caught:
        Sandbox.run().wait()
    assert (caught.value.sandbox_id, caught.value.status_reason) == (ID, "no such image")
    with pytest.raises(cw.SandboxFailedError, match="no such image") as caught:
        consume(Sandbox.run().wait_until_complete)
    assert (caught.value.sandbox_id, caught.value.status_reason) == (ID, "no such image")


def test_a_failure_without_a_reason_has_none(server):
    server.on("GetSandbox", sandbox("failed"))
    box = Sandbox.run()
    with pytest.raises(cw.SandboxFailedError) as caught:
        box.wait()
    assert (caught.value.sandbox_id, caught.value.status_reason, box.status_reason) == (ID, None, None)


@pytest.mark.parametrize("ask", [
    lambda: Sandbox.run().wait(), lambda: Sandbox.run().get_status(), lambda: Sandbox.from_id(ID).result()])  # fmt: skip
def test_a_state_that_cannot_be_decoded(server, ask):
    server.on("GetSandbox", JUNK)
    with pytest.raises(cw.SandboxProtocolError, match=f"could not be decoded for sandbox ID {ID}") as caught:
        ask()
    assert len(server.of("GetSandbox")) == 1 and not isinstance(caught.value, cw.SandboxUnavailableError)


@pytest.mark.parametrize("method, ask", [
    ("CreateSandbox", lambda: Sandbox().start()), ("DeleteSandbox", lambda: Sandbox.delete(ID)),
    ("ListSandboxes", lambda: Sandbox.list()), ("ReadFile", lambda: Sandbox.run().read_file("/x")),
    ("WriteFile", lambda: Sandbox.run().write_file("/x", b"")), ("GetFileSystemSnapshot", lambda: Sandbox.get_snapshot("s")),
    ("StreamExec", lambda: Sandbox.run().exec(["true"])),
])  # fmt: skip
def test_other_answers_that_cannot_be_decoded(server, method, ask):
    server.on(method, [JUNK] if method == "StreamExec" else JUNK)
    with pytest.raises(cw.SandboxProtocolError, match="could not be decoded"):
        ask().result()
    assert len(server.of(method)) == 1


# ---- snapshots


def made(state="READY"):
    return pb.FileSystemSnapshot(file_system_snapshot_id="fss-1", state=pb.SnapshotState.Value("SNAPSHOT_STATE_" + state))


def provisioning(**more):
    return Status("UNAVAILABLE", "the bucket is being made", reason="CWSANDBOX_FSS_BUCKET_PROVISIONING", **more)


def test_a_bucket_that_is_being_made_is_waited_for(server):
    server.on("CreateFileSystemSnapshot", provisioning(retry=0.01), made())
    box = Sandbox.run()
    assert box.snapshot().result() == "fss-1" and box.status == "running"
    assert len(server.of("CreateFileSystemSnapshot")) == 2


def test_no_budget_means_one_request(server):
    server.on("CreateFileSystemSnapshot", provisioning(retry=0.01), made())
    box = Sandbox.run()
    with pytest.raises(cw.SnapshotBucketProvisioningError) as caught:
        box.snapshot(retry_budget_seconds=0).result()
    assert isinstance(caught.value, cw.SandboxSnapshotError) and isinstance(caught.value, cw.SandboxUnavailableError)
    assert len(server.of("CreateFileSystemSnapshot")) == 1 and box.status == "running"


def test_the_budget_is_of_the_request_alone(server):
    server.on("CreateFileSystemSnapshot", provisioning(retry=600), made("CREATING"))
    box = Sandbox.run()
    with pytest.raises(cw.SnapshotBucketProvisioningError):
        box.snapshot(retry_budget_seconds=0.2).result()
    server.on("GetFileSystemSnapshot", Status("UNAVAILABLE", "not now", retry=0.3), made())
    assert box.snapshot(retry_budget_seconds=0.2).result() == "fss-1"


@pytest.mark.parametrize("budget", [-1, math.nan, math.inf])
def test_a_snapshot_budget_is_checked_at_the_call(server, budget):
    with pytest.raises(ValueError, match="retry_budget_seconds"):
        Sandbox().snapshot(retry_budget_seconds=budget)
    assert not server.calls


def test_every_failure_of_a_snapshot_names_it(server):
    for reason in ("FSS_BACKEND_THROTTLED", "FSS_WAIT_TIMEOUT", "FSS_NOT_READY", "FSS_CANCELED"):
        server.on("DeleteFileSystemSnapshot", Status("INTERNAL", "no", reason="CWSANDBOX_" + reason))
        if reason == "FSS_BACKEND_THROTTLED":  # that one is repeated for 30 s
            server.on("DeleteFileSystemSnapshot", Status("INTERNAL", "no", reason="CWSANDBOX_" + reason, retry=0.01),
                      Status("FAILED_PRECONDITION", reason="CWSANDBOX_FSS_NOT_SUPPORTED"))
        with pytest.raises(cw.SandboxSnapshotError) as caught:
            Sandbox.delete_snapshot("fss-1").result()
        assert caught.value.file_system_snapshot_id == "fss-1"
