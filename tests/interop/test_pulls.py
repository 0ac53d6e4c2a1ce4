"""Images that the service pulls for a create: from registries on loopback, in a state that clients see, and only where it may."""

import os
import tempfile
import threading
import time
import uuid
from pathlib import Path

import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from conftest import BUILD, users
from making import DIRECTORY, Layout, tar_of
from registry import RealRegistry, ScriptedRegistry
from service import TIMEOUT, Box, Service
from test_adoption import settled
from test_images import BUSYBOX, base
from test_restart import kill_daemon

PROGRAM = BUILD / "src/image/cwsandbox-image"
PULLS = ["--image-path", str(PROGRAM), "--image-pull", "missing"]
LOOPBACK = ["--image-private-registries"]

pytestmark = [pytest.mark.skipif(not os.access(BUSYBOX, os.X_OK), reason="no busybox-static"),
              pytest.mark.skipif(not PROGRAM.exists(), reason="no cwsandbox-image")]


def serve(as_user: bool, *args: str) -> Service:
    return Service(as_user=as_user, args=["--accept-unenforced-limits", *PULLS, *args])


@pytest.fixture(params=users())
def as_user(request) -> bool:
    return request.param == "user"


@pytest.fixture(scope="module", params=users())
def service(request):
    with serve(request.param == "user", *LOOPBACK) as service:
        yield service


@pytest.fixture
def scripted():
    layout = Layout()
    # Of each test another image, so that no store has its layers
    layer = tar_of(("srv", DIRECTORY), ("srv/name", uuid.uuid4().hex.encode()))
    registry = ScriptedRegistry(layout, layout.image([base(), layer], Env=["A=pulled"], WorkingDir="/srv"))
    yield registry
    if registry.gate:
        registry.gate.set()
    registry.stop()


@pytest.fixture
def real():
    if not RealRegistry.program:
        pytest.skip("docker-registry is not installed")
    with tempfile.TemporaryDirectory(prefix="cws-registry-") as name:
        running = []

        def start(**options: object) -> RealRegistry:
            running.append(RealRegistry(Path(name), **options))
            return running[-1]

        yield start
        for registry in running:
            registry.stop()


def begin(service: Service, image: str, **fields: object) -> Box:
    """A create whose answer does not wait: its deadline is short of the second that the service takes for it."""
    container = pb.Container(name="main", image=image, **fields)
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(containers=[container])), request_id=str(uuid.uuid4()))
    return Box(service.stub, service.stub.CreateSandbox(request, timeout=TIMEOUT))


def stable(box: Box) -> pb.SandboxStatus:
    return box.get(wait="stable").status


def runs(box: Box) -> bool:
    status = stable(box)
    if "mount layers: Operation not supported" in status.state_reason:
        pytest.skip("the file system of the store has no idmapped mounts here")
    assert status.state == pb.STATE_RUNNING, status.state_reason
    return True


def fails(box: Box) -> str:
    status = stable(box)
    assert status.state == pb.STATE_FAILED
    return status.state_reason


def is_listed(service: Service, box: Box, state: int) -> bool:
    answer = service.stub.ListSandboxes(pb.ListSandboxesRequest(state=state), timeout=TIMEOUT)
    return box.id in [entry.sandbox_id for entry in answer.sandboxes]


def until(condition) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def fetching(service: Service) -> list[int]:
    """The programs that bring images for it: children of the supervisor."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == str(PROGRAM).encode()]


def test_what_the_store_does_not_have_comes_from_a_real_registry(service, real):
    registry, layout = real(), Layout()
    registry.push("team/app", "1", layout, layout.image([base()], Env=["A=pulled"]))
    name = f"{registry.host}/team/app:1"
    box = begin(service, name)
    assert runs(box)
    assert box.sh("echo $A") == "pulled\n"
    registry.stop()
    again = begin(service, name)  # of the store
    assert again.message.status.state == pb.STATE_RUNNING, again.message.status.state_reason
    again.delete()
    box.delete()


def test_many_wait_for_one_pull_and_are_preparing(service, scripted):
    scripted.gate = threading.Event()
    name = f"{scripted.host}/any/name:1"
    boxes = [begin(service, name) for _ in range(3)]
    for box in boxes:
        assert box.message.status.state == pb.STATE_PREPARING
        assert box.get().status.state == pb.STATE_PREPARING
        assert is_listed(service, box, pb.STATE_PREPARING) and not is_listed(service, box, pb.STATE_RUNNING)
    other = service.create()  # nobody else waits with them
    assert other.sh("echo here") == "here\n"
    other.delete()
    scripted.gate.set()
    for box in boxes:
        assert runs(box)
        assert box.sh("pwd; echo $A") == "/srv\npulled\n"
        assert not is_listed(service, box, pb.STATE_PREPARING)
        box.delete()
    assert len([path for path, *_ in scripted.asked if "/manifests/" in path]) == 1


def test_an_exec_waits_for_the_image(service, scripted):
    scripted.gate = threading.Event()
    box = begin(service, f"{scripted.host}/any/name:1")
    answer = box.stub.Exec.future(pb.ExecRequest(sandbox_id=box.id, command=["/bin/cat", "/srv/which"]), timeout=TIMEOUT)
    scripted.gate.set()
    assert runs(box)
    assert answer.result().stdout == b"lower\n"
    box.delete()


def test_the_end_of_who_waits_is_the_end_of_the_pull(service, scripted):
    scripted.gate = threading.Event()
    boxes = [begin(service, f"{scripted.host}/any/name:1") for _ in range(2)]
    until(lambda: len(fetching(service)) == 1)
    boxes[0].delete()
    assert boxes[0].get().status.state == pb.STATE_TERMINATED
    assert boxes[1].get().status.state == pb.STATE_PREPARING and len(fetching(service)) == 1
    boxes[1].delete(grace=30)
    assert boxes[1].get().status.state == pb.STATE_TERMINATED
    until(lambda: fetching(service) == [])
    scripted.gate.set()
    box = begin(service, f"{scripted.host}/any/name:1")
    assert runs(box)
    box.delete()


def test_what_cannot_be_pulled_says_why(service, scripted):
    scripted.descriptor = {"digest": "sha256:" + "0" * 64}
    reason = fails(begin(service, f"{scripted.host}/any/name:1"))
    assert reason.startswith(f"ErrImagePull: image `{scripted.host}/any/name:1`: ") and "there is none" in reason
    reason = fails(begin(service, "127.0.0.1:1/any/name:1"))
    assert reason.startswith("ErrImagePull: ") and "127.0.0.1" in reason
    assert "ErrImagePull" not in fails(begin(service, "No Image"))


def test_a_daemon_killed_while_it_pulls_leaves_nothing_that_hangs(as_user, scripted):
    scripted.gate = threading.Event()
    with serve(as_user, *LOOPBACK) as service:
        box = begin(service, f"{scripted.host}/any/name:1")
        assert box.message.status.state == pb.STATE_PREPARING
        kill_daemon(service)
        status = settled(lambda: stable(box))
        assert status.state == pb.STATE_FAILED and "started anew" in status.state_reason
        until(lambda: fetching(service) == [])
        scripted.gate.set()
        again = begin(service, f"{scripted.host}/any/name:1")
        assert runs(again)
        before = again.sh("pwd; echo $A")
        kill_daemon(service)  # what the image gave is in the record
        assert settled(lambda: again.sh("pwd; echo $A")) == before == "/srv\npulled\n"
        again.delete()


def test_a_service_that_stops_waits_for_no_registry(as_user, scripted):
    scripted.gate = threading.Event()
    with serve(as_user, *LOOPBACK) as service:
        box = begin(service, f"{scripted.host}/any/name:1")
        until(lambda: len(fetching(service)) == 1)
        pid, = fetching(service)
        service.halt()
        until(lambda: not Path(f"/proc/{pid}").exists())
    assert box.message.status.state == pb.STATE_PREPARING


def test_always_asks_the_registry(as_user, real):
    registry, layout = real(), Layout()
    registry.push("app", "1", layout, layout.image([base()], Env=["A=first"]))
    with serve(as_user, *LOOPBACK, "--image-pull", "always") as service:
        first = begin(service, f"{registry.host}/app:1")
        assert runs(first)
        registry.push("app", "1", layout, layout.image([base()], Env=["A=second"]))
        second = begin(service, f"{registry.host}/app:1")
        assert runs(second)
        assert (first.sh("echo $A"), second.sh("echo $A")) == ("first\n", "second\n")
        registry.stop()
        assert fails(begin(service, f"{registry.host}/app:1")).startswith("ErrImagePull: ")


@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named-by-the-operator"])
def test_a_shared_service_asks_no_private_address(as_user, scripted, named):
    with serve(as_user) as service:
        if named:
            file = service.dir / ".config" / "cwsandbox" / "registries.conf"
            file.parent.mkdir(parents=True)
            file.write_text(f"plain-http = {scripted.host}\n")
            for path in (file, file.parent, file.parent.parent):
                service.give(path)
        box = begin(service, f"{scripted.host}/any/name:1")
        if named:
            assert runs(box)
        else:
            assert "at an address that is not public" in fails(box)
            assert scripted.asked == []


def test_whatever_a_private_address_is_called(as_user, scripted):
    with serve(as_user) as service:
        for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0"):
            port = scripted.host.rsplit(":", 1)[1]
            assert fails(begin(service, f"{host}:{port}/any/name:1")).startswith("ErrImagePull: ")
        assert scripted.asked == []
