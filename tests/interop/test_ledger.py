"""What was acknowledged is still there after the service stopped, was killed, or left because it was idle."""

import os
import shutil
import signal
import uuid
from pathlib import Path

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from conftest import users
from service import TIMEOUT, Box, Service, failure
from test_files_logs import text
from test_embedded import Starter


@pytest.fixture(params=users())
def service(request):
    with Service(as_user=request.param == "user") as s:
        yield s


def check_kept(service, box, before):
    after = box.get()
    assert after.spec == before.spec
    for field in ("state", "exit_code", "state_reason", "create_time", "start_time", "end_time"):
        assert getattr(after.status, field) == getattr(before.status, field), field


def test_ended_sandboxes_their_logs_and_request_ids_survive_a_restart(service):
    request = pb.CreateSandboxRequest(
        sandbox=pb.Sandbox(display_name="a name of its own", spec=pb.SandboxSpec(tags=["kept"], containers=[pb.Container(
            name="main", command="/bin/sh", args=["-c", "echo said; exit 9"],
            files=[pb.FileMount(path="/tmp/mine", content=b"x" * 5000)])])),
        request_id=str(uuid.uuid4()))
    box = Box(service.stub, service.stub.CreateSandbox(request, timeout=TIMEOUT))
    before = box.get(wait="terminal")
    assert before.status.exit_code == 9
    deleted = service.create()
    deleted.delete()
    gone = deleted.get(wait="terminal")
    said = text(box.logs())
    assert b"said" in said
    service.restart()
    box.stub = deleted.stub = service.stub
    check_kept(service, box, before)
    check_kept(service, deleted, gone)
    assert b"said" in text(box.logs())
    listed = service.stub.ListSandboxes(pb.ListSandboxesRequest(show_terminated=True), timeout=TIMEOUT)
    assert [s.sandbox_id for s in listed.sandboxes] == [box.id, deleted.id]
    again = service.stub.CreateSandbox(request, timeout=TIMEOUT)
    assert again.sandbox_id == box.id and again.status.exit_code == 9
    assert again.display_name == "a name of its own"
    request.sandbox.spec.tags.append("other")
    assert failure(service.stub.CreateSandbox, request, timeout=TIMEOUT).reason == "CWSANDBOX_REQUEST_ID_CONFLICT"


def test_kill_of_the_service_is_told_by_its_sandboxes(service):
    done = service.create("/bin/sh", ["-c", "exit 3"])
    assert done.get(wait="terminal").status.exit_code == 3
    alive = service.create("/bin/sleep", ["1000"])
    service.restart(signal.SIGKILL)
    done.stub = alive.stub = service.stub
    assert done.get().status.exit_code == 3
    status = alive.get(wait="terminal").status
    assert status.state == pb.STATE_FAILED and "service was killed" in status.state_reason
    assert not status.HasField("exit_code") and status.HasField("end_time")


def test_a_damaged_record_is_reported_and_the_others_stay(service):
    boxes = [service.create("/bin/sh", ["-c", "exit 1"]) for _ in range(3)]
    for box in boxes:
        box.get(wait="terminal")
    records = service.dir / "data" / "ledger" / "records"
    service.halt()
    data = bytearray(records.read_bytes())
    at = data.index(boxes[1].id.encode())
    data[at + 200] ^= 1
    records.write_bytes(data)
    service.start()
    for box in boxes:
        box.stub = service.stub
    assert [box.get().status.exit_code for box in (boxes[0], boxes[2])] == [1, 1]
    with pytest.raises(grpc.RpcError) as error:
        boxes[1].get()
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    line = service.wait_log("is damaged: set aside as")
    assert boxes[1].id in line and "/ledger/damaged-" in line


def test_a_ledger_of_a_newer_service_is_refused_with_the_remedy(service):
    service.create("/bin/true").get(wait="terminal")
    records = service.dir / "data" / "ledger" / "records"
    service.halt()
    data = bytearray(records.read_bytes())
    data[16] = 99
    records.write_bytes(data)
    service.expect_ready = False
    service.start()
    assert f"{records} has format 99" in service.ready and "start the version that wrote it" in service.ready
    assert service.process.wait(TIMEOUT) == 1
    assert records.read_bytes() == data


def test_records_outlive_an_idle_exit_of_the_embedded_service():
    starter = Starter(False)
    data = None
    try:
        env = {"XDG_DATA_HOME": str(starter.home / "share")}
        p, ready = starter.start(idle=1, data=False, **env)
        assert ready.read() == "ready\n"
        paths = map(os.readlink, Path(f"/proc/{p.pid}/fd").iterdir())
        data = next(Path(path).parent for path in paths if path.endswith("/lock") and "/embedded-" in path)
        channel, stub = starter.stub()
        with channel:
            box = stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(
                containers=[pb.Container(name="main", command="/bin/sh", args=["-c", "exit 4"])]))), timeout=TIMEOUT)
        assert p.wait(TIMEOUT) == 0
        p, ready = starter.start(data=False, **env)
        assert ready.read() == "ready\n"
        channel, stub = starter.stub()
        with channel:
            assert stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=box.sandbox_id), timeout=TIMEOUT).status.exit_code == 4
    finally:
        starter.close()
        if data:
            shutil.rmtree(data, ignore_errors=True)
