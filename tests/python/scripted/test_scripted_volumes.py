"""Registered volumes: what goes over the wire, what comes back, what is repeated."""

from __future__ import annotations

import datetime
import uuid

import cwsandbox as cw
import pytest
from coreweave.sandbox.v1 import volume_pb2 as pb
from cwsandbox import PvcVolumeSource, Volume
from google.protobuf.timestamp_pb2 import Timestamp
from scripted_server import Status

PVC = PvcVolumeSource(runner_id="r", namespace="n", claim_name="c", sub_path="a/b")
SOURCE = pb.PvcVolumeSource(runner_id="r", namespace="n", claim_name="c", sub_path="a/b")


def volume(state="READY", volume_id="v", reason="", **spec):
    status = pb.VolumeStatus(state=pb.VolumeState.Value(f"VOLUME_STATE_{state}"), state_reason=reason, locality=1, capacity="1Gi",
                             access_modes=["RWX"], attached_sandbox_count=2, create_time=Timestamp(seconds=5))  # fmt: skip
    return pb.Volume(volume_id=volume_id, spec=pb.VolumeSpec(pvc=SOURCE, **spec), status=status)


def busy(**more):
    return Status("UNAVAILABLE", "busy", retry=0.01, **more)


def gone():
    return Status("NOT_FOUND", "no such volume")


@pytest.fixture
def found(server):
    server.on("GetVolume", volume("VALIDATING"))
    return Volume.get("v").result()


def test_create_and_what_comes_back(server, consume):
    server.on("CreateVolume", volume("VALIDATING", description="d", read_only=True))
    made = consume(lambda: Volume.create("v", pvc=PVC, read_only=True, description="d"))
    request = server.of("CreateVolume")[0].request
    assert uuid.UUID(request.request_id).version == 4
    assert request.volume == pb.Volume(volume_id="v", spec=pb.VolumeSpec(pvc=SOURCE, read_only=True, description="d"))
    assert (made.volume_id, made.pvc, made.read_only, made.description) == ("v", PVC, True, "d")
    assert (made.state, made.locality, made.capacity, made.access_modes) == ("validating", "cluster_local", "1Gi", ("RWX",))
    assert made.created_at == datetime.datetime.fromtimestamp(5, datetime.UTC) and made.updated_at is made.last_validated_at is None
    assert made.attached_sandbox_count == 2 and made.state_reason == ""
    assert repr(made) == "Volume(volume_id='v', state='validating', locality='cluster_local')"
    Volume.create("v", pvc=PVC, request_id="mine").result()
    assert server.of("CreateVolume")[1].request.request_id == "mine"


def test_list_takes_all_pages_and_its_filters(server):
    pages = [pb.ListVolumesResponse(volumes=[volume(volume_id="a")], next_page_token="2"), pb.ListVolumesResponse(volumes=[volume(volume_id="b")])]
    server.on("ListVolumes", *pages)
    assert [v.volume_id for v in Volume.list(states=["ready", cw.VolumeState.ERROR], runner_ids=["r"]).result()] == ["a", "b"]
    first, second = [call.request for call in server.of("ListVolumes")]
    assert first == pb.ListVolumesRequest(states=[2, 3], runner_ids=["r"]) and second.page_token == "2" and second.runner_ids == ["r"]
    server.on("ListVolumes", pb.ListVolumesResponse(next_page_token="x"))
    with pytest.raises(cw.CWSandboxError, match="pagination loop"):
        Volume.list().result()


def test_update_validate_and_delete_change_the_object(server, found, consume):
    server.on("UpdateVolume", volume(description="new"))
    assert consume(lambda: found.update(description="new")) is found and found.description == "new" and found.state == "ready"
    request = server.of("UpdateVolume")[0].request
    assert (request.volume_id, request.volume.spec.description, list(request.update_mask.paths)) == ("v", "new", ["spec.description"])
    server.on("ValidateVolume", volume("ERROR", reason="no claim"))
    assert found.validate().result() is found and (found.state, found.state_reason) == ("error", "no claim")
    assert "state_reason='no claim'" in repr(found)
    server.on("DeleteVolume", volume("DELETING"))
    assert found.delete(force=True).result() is found and found.state == "deleting"
    assert server.of("DeleteVolume")[0].request == pb.DeleteVolumeRequest(volume_id="v", force=True)


def test_a_volume_that_is_missing(server, found):
    for method, make in (("GetVolume", lambda: Volume.get("w")), ("DeleteVolume", lambda: found.delete())):
        server.on(method, gone())
        with pytest.raises(cw.VolumeNotFoundError) as caught:
            make().result()
        assert caught.value.volume_id == ("w" if method == "GetVolume" else "v")
    assert found.delete(allow_missing=True).result() is found and found.state == "validating"
    assert server.of("DeleteVolume")[-1].request.allow_missing


def test_not_found_of_a_repeated_delete_is_success(server, found):
    server.on("DeleteVolume", busy(), gone())
    assert found.delete().result() is found and found.state == "validating"


def test_what_may_pass_is_repeated(server):
    server.on("CreateVolume", busy(), busy(reason="CWSANDBOX_VOLUME_RUNNER_UNAVAILABLE"), volume())
    Volume.create("v", pvc=PVC).result()
    assert len({c.request.SerializeToString() for c in server.of("CreateVolume")}) == 1 and len(server.of("CreateVolume")) == 3
    server.on("GetVolume", Status("FAILED_PRECONDITION", "no", reason="CWSANDBOX_VOLUME_NOT_READY", metadata={"volume_id": "other"}))
    with pytest.raises(cw.VolumeNotReadyError) as caught:
        Volume.get("v").result()
    assert caught.value.volume_id == "v" and len(server.of("GetVolume")) == 1


def test_a_volume_error_of_a_create_names_the_volume_of_the_metadata(server):
    server.on("CreateSandbox", Status("FAILED_PRECONDITION", "no", reason="CWSANDBOX_VOLUME_IN_USE", metadata={"volume_id": "v9"}))
    with pytest.raises(cw.VolumeInUseError) as caught:
        cw.Sandbox.run()
    assert caught.value.volume_id == "v9"


def test_0_is_no_time_out_of_its_own(server):
    server.on("GetVolume", volume())
    server.on("ValidateVolume", volume())
    volume_ = Volume.get("v", timeout_seconds=40).result()
    volume_.validate(timeout_seconds=0).result()
    Volume.get("v", timeout_seconds=0).result().validate(timeout_seconds=20).result()
    times = [call.time_left for method in ("GetVolume", "ValidateVolume") for call in server.of(method)]
    assert [round(t, -1) for t in times] == [40, 300, 40, 20]


def test_wrong_arguments_raise_from_the_handle(server, found):
    for make in (
        lambda: Volume.get(""), lambda: Volume.create("", pvc=PVC), lambda: Volume.list(states=["odd"]),
        lambda: found.wait_until_ready(0), lambda: found.wait_until_ready(-1), lambda: Volume.get("v", timeout_seconds=-1),
    ):  # fmt: skip
        ref = make()
        with pytest.raises(ValueError):
            ref.result()
    assert [call.method for call in server.calls] == ["GetVolume"]


@pytest.mark.parametrize("wrong", [{"runner_id": ""}, {"namespace": ""}, {"claim_name": ""}, {"sub_path": "/a"}, {"sub_path": "a/../b"}])
def test_a_claim_is_checked(wrong):
    with pytest.raises(ValueError):
        PvcVolumeSource(**{"runner_id": "r", "namespace": "n", "claim_name": "c", **wrong})
    assert PvcVolumeSource(runner_id="r", namespace="n", claim_name="c", sub_path="").sub_path is None


# ---- wait_until_ready


def test_a_volume_is_asked_for_until_it_is_ready(server, found, consume):
    server.on("GetVolume", volume("VALIDATING"), busy(), volume("VALIDATING"), volume())
    assert consume(lambda: found.wait_until_ready(timeout_seconds=9)) is found and found.state == "ready"
    asked = server.of("GetVolume")[1:]
    assert len(asked) == 4 and all(call.time_left <= 9.1 for call in asked)
    assert server.gaps("GetVolume")[1] >= 0.19
    server.on("GetVolume", volume())
    found.wait_until_ready().result()
    assert 14 < server.of("GetVolume")[-1].time_left <= 15.1


@pytest.mark.parametrize("state", ["ERROR", "DELETING"])
def test_a_volume_that_will_not_be_ready(server, found, state):
    server.on("GetVolume", volume(state, reason="the claim is gone"))
    with pytest.raises(cw.VolumeError, match="the claim is gone") as caught:
        found.wait_until_ready().result()
    assert type(caught.value) is cw.VolumeError and caught.value.volume_id == "v"


@pytest.mark.parametrize("answer, error", [
    (lambda call: volume("VALIDATING"), cw.VolumeWaitTimeoutError), (lambda call: call.hold() or volume(), cw.VolumeWaitTimeoutError),
    (busy(), cw.SandboxUnavailableError),
])  # fmt: skip
def test_a_volume_that_is_not_ready_in_time(server, found, answer, error):
    server.on("GetVolume", answer)
    with pytest.raises((error, cw.VolumeWaitTimeoutError)) as caught:
        found.wait_until_ready(0.5).result()
    assert getattr(caught.value, "volume_id", "v") == "v" and not isinstance(caught.value, cw.VolumeError)
    assert found._timeout is None  # the object's own stays


def test_sandboxes_are_found_by_their_volumes(server):
    cw.Sandbox.list(volume_ids=["v", "w"]).result()
    cw.Sandbox.list().result()
    cw.Session().list(volume_ids=["x"]).result()
    assert [list(call.request.volume_ids) for call in server.of("ListSandboxes")] == [["v", "w"], [], ["x"]]
    for wrong in (cw.Sandbox.list(volume_ids="v"), cw.Session().list(volume_ids="v")):
        with pytest.raises(TypeError, match="volume_ids"):
            wrong.result()
