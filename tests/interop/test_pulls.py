"""Images that the service pulls for a create: from registries on loopback, in a state that clients see, and only where it may."""

import json
import os
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from conftest import BUILD, users
from making import DIRECTORY, Layout, tar_of
from registry import ScriptedRegistry, basic, real_registries
from service import KEY, TIMEOUT, Box, Service
from support.processes import family
from test_adoption import settled
from test_embedded import Starter
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
    with real_registries() as start:
        yield start


def begin(service: Service, image: str, metadata: list | None = None, **fields: object) -> Box:
    """A create; what the service answers within a second, whatever the registry does."""
    container = pb.Container(name="main", image=image, **fields)
    request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(containers=[container])), request_id=str(uuid.uuid4()))
    return Box(service.stub, service.stub.CreateSandbox(request, timeout=TIMEOUT, metadata=metadata), metadata)


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


# ---- credentials ----

USER, PASSWORD = "me", "pass:word-0123456789"


def credentials(registry: str, name: str, field: str = "") -> pb.ImagePullCredentials:
    return pb.ImagePullCredentials(registry=registry, credentials=pb.SecretSource(store_name="team", path=name, field=field))


def put(service: Service, path: str, text: str) -> None:
    """A file of the service's user below its directory, which nobody else may read."""
    file = service.dir / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    while file != service.dir:
        service.give(file)
        file = file.parent


@pytest.fixture
def secrets(as_user, tmp_path):
    service = serve(as_user, *LOOPBACK)
    service.extra += ["--secret-stores", str(service.dir / "secrets")]
    with service:
        yield service


def forms(host: str) -> dict[str, tuple[str, str]]:
    """Secrets that say the same: content, field."""
    login = {"username": USER, "password": PASSWORD}
    docker = {"auths": {host: {"auth": basic(USER, PASSWORD)}}}
    return {"plain": (f"{USER}:{PASSWORD}\n", ""), "json": (json.dumps(login), ""), "docker": (json.dumps(docker), ""),
            "sub/field": (json.dumps({"other": "x", "hub": f"{USER}:{PASSWORD}", "": ""}), "hub")}


def test_secrets_open_registries(secrets, real):
    registry, layout = real(tls=True, login=(USER, PASSWORD)), Layout()
    put(secrets, ".config/cwsandbox/registries.conf", f"ca = {registry.host} {registry.certificate}\n")
    Path(registry.certificate).parent.chmod(0o755)
    put(secrets, f"secrets/uid:{os.geteuid()}/team/wrong", f"{USER}:no")
    put(secrets, "secrets/alice/team/plain", "unused")
    for n, (name, (content, field)) in enumerate(forms(registry.host).items()):
        registry.push("app", str(n), layout, layout.image([base()], Env=[f"N={n}"]))
        put(secrets, f"secrets/uid:{os.geteuid()}/team/{name}", content)
        image = f"{registry.host}/app:{n}"
        assert "wants credentials" in fails(begin(secrets, image))
        assert "refuses" in fails(begin(secrets, image, image_pull_credentials=credentials(registry.host, "wrong")))
        box = begin(secrets, image, image_pull_credentials=credentials(f"https://{registry.host}/v2/", name, field))
        assert runs(box) and box.sh("echo $N") == f"{n}\n"
        assert box.message.spec.containers[0].image_pull_credentials.credentials.path == name  # as it was asked for
        box.delete()
    log = secrets.log()
    assert PASSWORD not in log and basic(USER, PASSWORD) not in log


def test_a_secret_is_its_owners(secrets, scripted):
    put(secrets, f"secrets/uid:{os.geteuid()}/team/hub", f"{USER}:{PASSWORD}")
    put(secrets, "secrets/alice/team/own", "no login at all")
    put(secrets, "secrets/alice/team/json", "{" + PASSWORD)
    put(secrets, "outside", f"{USER}:{PASSWORD}")
    alice = [("authorization", f"Bearer {KEY}")]
    image = f"{scripted.host}/any/name:1"

    def refused(name: str, field: str = "") -> str:
        container = pb.Container(name="main", image=image, image_pull_credentials=credentials(scripted.host, name, field))
        request = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(containers=[container])), request_id=str(uuid.uuid4()))
        with grpc.insecure_channel(secrets.tcp) as channel:
            stub = type(secrets.stub)(channel)
            return fails(Box(stub, stub.CreateSandbox(request, timeout=TIMEOUT, metadata=alice), alice))

    for name in ("hub", f"../../uid:{os.geteuid()}/team/hub", "../../../outside", "/etc/passwd", "..", "a//b", "own/x"):
        assert "there is no secret" in refused(name)
    for name in ("own", "json"):
        reason = refused(name)
        assert "none of USER:PASSWORD" in reason and PASSWORD not in reason and "no login at all" not in reason
    assert "none of USER:PASSWORD" in refused("json", "f")
    assert scripted.asked == []


def test_what_opens_a_registry_is_seen_nowhere(secrets, scripted):
    scripted.gate = threading.Event()
    put(secrets, f"secrets/uid:{os.geteuid()}/team/hub", f"{USER}:{PASSWORD}")
    box = begin(secrets, f"{scripted.host}/any/name:1", image_pull_credentials=credentials(scripted.host, "hub"))
    until(lambda: any("/blobs/" in path for path, *_ in scripted.asked))
    assert len(fetching(secrets)) == 1
    shown = b""
    for pid, _ in family(secrets.process.pid):
        for name in ("cmdline", "environ"):
            try:
                shown += Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:  # of an ordinary user's, or gone
                continue
    assert b"--secrets" in shown and PASSWORD.encode() not in shown and b"hub\0" not in shown
    scripted.gate.set()
    assert runs(box)
    box.delete()
    assert PASSWORD not in secrets.log()


def test_an_embedded_service_has_its_users_logins(real):
    """Of whoever runs the tests: nobody else may connect to it."""
    registry, layout = real(login=(USER, PASSWORD)), Layout()
    registry.push("app", "1", layout, layout.image([base()]))
    registry.push("app", "2", layout, layout.image([base()], Env=["A=2"]))
    starter = Starter(False)
    try:
        def write(path: str, text: str) -> None:
            file = starter.home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            for p in (file, *file.parents):
                if starter.home in (p, *p.parents):
                    os.chown(p, starter.uid, -1)

        write(".docker/config.json", json.dumps({"auths": {registry.host: {"auth": basic(USER, PASSWORD)}}}))
        write(".config/cwsandbox/secrets/team/hub", f"{USER}:{PASSWORD}")
        _, ready = starter.start("--image-path", str(PROGRAM))
        assert ready.read().strip() == "ready"
        channel, stub = starter.stub()
        service = SimpleNamespace(stub=stub)
        box = begin(service, f"{registry.host}/app:1")
        assert runs(box)
        box.delete()
        write(".docker/config.json", "{}")
        assert "wants credentials" in fails(begin(service, f"{registry.host}/app:2"))
        box = begin(service, f"{registry.host}/app:2", image_pull_credentials=credentials(registry.host, "hub"))
        assert runs(box)
        box.delete()
        channel.close()
    finally:
        starter.close()
