"""Sandboxes of images: from the store of the service, made here, as the config of the image says and as the caller says."""

import os
import signal
import subprocess

import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from conftest import BUILD, users
from image.making import DIRECTORY, config_of, docker_archive, tar_of
from service import TIMEOUT, Service, as_user_args
from test_adoption import settled
from test_files_logs import text
from test_renew import renew
from test_restart import kill_daemon

BUSYBOX = "/bin/busybox"  # Debian's busybox-static: one program without libraries
APPLETS = ["sh", "cat", "echo", "env", "id", "pwd", "sleep", "ls"]

pytestmark = pytest.mark.skipif(not os.access(BUSYBOX, os.X_OK), reason="no busybox-static")


def base() -> bytes:
    """A layer with a shell and two users."""
    with open(BUSYBOX, "rb") as file:
        program = file.read()
    return tar_of(("bin", DIRECTORY), ("etc", DIRECTORY), ("srv", DIRECTORY), ("bin/busybox", program, {"mode": 0o755}),
                  *[(f"bin/{name}", (b"2", "busybox")) for name in APPLETS],
                  ("etc/passwd", b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n"),
                  ("etc/group", b"root:x:0:\napp:x:1000:\n"), ("srv/which", b"lower\n"))


UPPER = tar_of(("srv", DIRECTORY), ("srv/which", b"upper\n"), ("entry", b"#!/bin/sh\necho entry \"$@\"\n", {"mode": 0o755}))
EMPTY = tar_of()


class Store:
    """The images of a service, as whom it runs."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.directory = service.dir / "data" / "images"
        self.base = base()

    def run(self, *words: str, data: bytes = b"", options: list[str] | None = None) -> str:
        verb, *rest = words
        done = subprocess.run([BUILD / "src/image/cwsandbox-image", verb, "--store", self.directory, *(options or []), "--", *rest], input=data,
                              capture_output=True, timeout=TIMEOUT, **as_user_args(self.service.as_user))
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def add(self, name: str, *layers: bytes, **config: object) -> None:
        layers = layers or (self.base,)
        self.run("import", "-", data=docker_archive(list(layers), config_of(*layers, **config), [name]))


@pytest.fixture(scope="module", params=users())
def store(request):
    with Service(as_user=request.param == "user", args=["--accept-unenforced-limits"]) as service:
        store = Store(service)
        store.add("cws-test/first:1")
        box = service.create(image="cws-test/first:1")
        if "mount layers: Operation not supported" in box.message.status.state_reason:
            pytest.skip("the file system of the store has no idmapped mounts here")
        assert box.message.status.state == pb.STATE_RUNNING, box.message.status.state_reason
        box.delete()
        yield store


def test_the_config_counts_where_the_caller_says_nothing(store):
    store.add("cws-test/config:1", store.base, UPPER, Env=["A=image", "B=image"], WorkingDir="/srv", User="app")
    box = store.service.create(image="cws-test/config:1", environment_variables={"B": "mine"})
    assert box.message.status.state == pb.STATE_RUNNING, box.message.status.state_reason
    # An ordinary user's sandboxes have one user, whose every file is
    assert box.sh("cat which; pwd; echo $A $B; id -u") == f"upper\n/srv\nimage mine\n{0 if store.service.as_user else 1000}\n"
    box.metadata = [("x-cwsandbox-exec-user", "0"), ("x-cwsandbox-exec-cwd-bin", b"/etc")]
    assert box.sh("id -u; pwd") == "0\n/etc\n"
    assert box.read("/srv/which") == b"upper\n"
    box.delete()


def test_a_working_directory_that_only_the_config_names_is_there(store):
    store.add("cws-test/nowhere:1", WorkingDir="/not/there/yet")
    box = store.service.create("/bin/sh", ["-c", "pwd"], image="cws-test/nowhere:1")
    status = box.get(wait="terminal").status
    assert (status.state, status.exit_code) == (pb.STATE_COMPLETED, 0), status.state_reason
    box.delete()


def test_no_layer_is_written_to(store):
    store.add("cws-test/written:1")
    first, second = (store.service.create(image="cws-test/written:1") for _ in range(2))
    first.sh("echo mine > /srv/which; echo mine > /srv/new")
    assert second.sh("cat /srv/which; ls /srv") == "lower\nwhich\n"
    first.delete()
    second.delete()


@pytest.mark.parametrize("command, args, said", [
    ("", [], "entry from the image\n"),
    ("", ["mine"], "entry mine\n"),
    ("/bin/echo", [], "\n"),
    ("/bin/echo", ["mine"], "mine\n"),
])
def test_command_and_arguments_replace_those_of_the_image(store, command, args, said):
    store.add("cws-test/entry:1", store.base, UPPER, Entrypoint=["/entry"], Cmd=["from", "the", "image"])
    box = store.service.create(command, args, image="cws-test/entry:1")
    status = box.get(wait="terminal").status
    assert (status.state, status.exit_code) == (pb.STATE_COMPLETED, 0), status.state_reason
    assert text(box.logs()).decode() == said


def test_arguments_of_the_image_alone_are_no_main_process(store):
    """Those of most images are a shell, which ends at once without input."""
    store.add("cws-test/shell:1", Cmd=["/bin/sh"])
    box = store.service.create(image="cws-test/shell:1")
    assert box.sh("echo runs") == "runs\n"
    assert box.get().status.state == pb.STATE_RUNNING
    box.delete()


def test_a_user_that_the_image_does_not_have_is_named(store):
    if store.service.as_user:
        pytest.skip("an ordinary user's sandboxes have one user, whatever images say")
    store.add("cws-test/nobody:1", User="somebody")
    status = store.service.create("/bin/true", image="cws-test/nobody:1").get(wait="terminal").status
    assert status.state == pb.STATE_FAILED
    assert "`somebody` is not in the sandbox's /etc/passwd" in status.state_reason


def test_layers_that_are_there_twice(store):
    store.add("cws-test/twice:1", EMPTY, store.base, EMPTY, UPPER, EMPTY)
    box = store.service.create(image="cws-test/twice:1")
    assert box.sh("cat /srv/which") == "upper\n"
    box.delete()


@pytest.mark.parametrize("n, state", [(64, pb.STATE_RUNNING), (65, pb.STATE_FAILED)])
def test_more_layers_than_a_sandbox_can_have_are_refused(store, n, state):
    layers = [tar_of((f"f{i}", b"%d" % i)) for i in range(n - 1)]
    store.add(f"cws-test/many:{n}", store.base, *layers)
    box = store.service.create(image=f"cws-test/many:{n}")
    assert box.message.status.state == state
    if state == pb.STATE_FAILED:
        assert f"`cws-test/many:{n}` has 65 layers, and a sandbox can have 64" in box.message.status.state_reason
    else:
        assert box.read("/f0") == b"0"
        box.delete()


def test_an_unknown_image_fails_with_what_to_do(store):
    status = store.service.create(image="cws-test/none:2").message.status
    assert status.state == pb.STATE_FAILED
    assert "`cwsandbox image pull cws-test/none:2`" in status.state_reason
    assert "docker.io/cws-test/none:2" in status.state_reason
    status = store.service.create(image="No Image").message.status
    assert status.state == pb.STATE_FAILED and "No Image" in status.state_reason


def test_an_image_goes_on_when_its_daemon_was_killed(store):
    store.add("cws-test/killed:1", Env=["A=image"], WorkingDir="/srv", User="app")
    box = store.service.create("/bin/sh", ["-c", "echo begun; sleep 1000"], image="cws-test/killed:1")
    before = box.sh("pwd; echo $A; id -u")
    kill_daemon(store.service)
    assert settled(lambda: box.sh("pwd; echo $A; id -u")) == before
    assert box.get().status.state == pb.STATE_RUNNING
    box.delete()


def test_the_images_stop_signal_is_sent_also_by_the_next_daemon(store):
    store.add("cws-test/signal:1", StopSignal="SIGUSR1")
    script = "trap 'echo told; exit 5' USR1; trap 'echo wrong' TERM; : > /ready; while :; do sleep 0.1; done"
    box = store.service.create("/bin/sh", ["-c", script], image="cws-test/signal:1")
    box.sh("until [ -e /ready ]; do sleep 0.01; done")
    kill_daemon(store.service)
    settled(box.get)
    box.delete(grace=20)
    box.get(wait="terminal")
    log = text(box.logs())  # the shell tells of its `sleep`, too: the signal is the group's
    assert b"told" in log and b"wrong" not in log


def test_an_images_volumes_are_there_with_what_is_in_them(store):
    store.add("cws-test/volumes:1", Volumes={"/srv": {}, "/data/made": {}, "relative": {}})
    box = store.service.create(image="cws-test/volumes:1")
    assert box.sh("cat /srv/which; echo x > /srv/new; echo y > /data/made/new; cat /srv/new /data/made/new") == "lower\nx\ny\n"
    box.delete()
    store.add("cws-test/volumes:2", Volumes={f"/v{i}": {} for i in range(16)})
    status = store.service.create(image="cws-test/volumes:2").message.status
    assert status.state == pb.STATE_FAILED and "has 16 volumes, and a sandbox can have 15" in status.state_reason


def test_what_a_sandbox_stands_on_is_not_removed(store):
    store.add("cws-test/used:1", tar_of(("only", b"here")), store.base)
    (layer,) = [p for p in (store.directory / "layers").iterdir() if (p / "only").exists()]
    box = store.service.create(image="cws-test/used:1")
    other = store.service.create(image="cws-test/used:1")
    renew(store.service, signal.SIGUSR2)  # the engine holds it after an upgrade, too
    store.run("rm", "cws-test/used:1")
    store.run("prune")
    assert layer.exists() and box.read("/only") == b"here"
    box.delete()
    box.get(wait="terminal")
    store.run("prune")
    assert layer.exists() and other.read("/only") == b"here"
    other.delete()
    other.get(wait="terminal")
    store.run("prune")
    assert not layer.exists()
    assert store.service.create(image="cws-test/used:1").message.status.state == pb.STATE_FAILED


def test_the_command_line_runs_an_image(store):
    store.add("cws-test/line:1", Env=["A=image"])
    environment = {"CWSANDBOX_BASE_URL": store.service.url, "PATH": "/usr/bin:/bin", "HOME": str(store.service.dir)}
    done = subprocess.run([BUILD / "src/cli/cwsandbox", "run", "cws-test/line:1", "--", "sh", "-c", "echo $A; cat /srv/which"],
                          env=environment, capture_output=True, timeout=TIMEOUT, **as_user_args(store.service.as_user))
    assert (done.returncode, done.stdout) == (0, b"image\nlower\n"), done.stderr


def test_others_than_the_service_cannot_read_the_store(store):
    store.add("cws-test/closed:1")
    if os.geteuid() != 0:
        pytest.skip("only root can look as somebody else")
    for name in ("refs", "configs", "layers"):
        done = subprocess.run(["ls", store.directory / name], capture_output=True, user=65534, group=65534, extra_groups=[])
        assert done.returncode != 0, name


def test_a_reference_that_a_sandbox_uses_is_not_pruned(store):
    # The last one: the store has nothing left after it
    store.add("cws-test/busy:1", tar_of(("busy", b"")), store.base)
    box = store.service.create(image="cws-test/busy:1")
    store.run("prune", options=["--unused-for", "0"])
    again = store.service.create(image="cws-test/busy:1")
    assert again.message.status.state == pb.STATE_RUNNING
    for sandbox in (box, again):
        sandbox.delete()
        sandbox.get(wait="terminal")
    store.run("prune", options=["--unused-for", "0"])
    assert store.service.create(image="cws-test/busy:1").message.status.state == pb.STATE_FAILED
