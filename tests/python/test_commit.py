"""What a sandbox has written becomes an image of the embedded service, and sandboxes of that image have it."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from images import image, inspect, of_image, sh

from cwsandbox import CWSandboxError, Sandbox, SandboxValidationError

BUSYBOX = "/bin/busybox"  # Debian's busybox-static: one program without libraries

pytestmark = pytest.mark.skipif("CWS_STAGE" not in os.environ, reason="no installed cwsandbox-image")

ROOT = os.geteuid() == 0  # an ordinary user's sandbox may not write below /usr: files of the machine have no owner there
LONG = "n" * 200

# Everything that a layer can say: new and changed files, removals, a directory in the place of another, links, owners, attributes.
CHANGES = f"""
set -e
mkdir /srv/deep /srv/{LONG} && echo long > /srv/{LONG}/file
echo new > /srv/deep/file; ln /srv/deep/file /srv/deep/again; ln -s ../deep /srv/deep/link; mkfifo /srv/deep/fifo
rm -r /etc/alternatives; mkdir /etc/alternatives; echo only > /etc/alternatives/only; rm /etc/shells
chmod 640 /srv/deep/file; touch -d @1000000000.25 /srv/deep/file
python3 -c 'import os; os.setxattr("/srv/deep/file", "user.note", b"a\\0b")'
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/srv/deep/socket")'
echo gone > /tmp/gone
"""
CHANGES_OF_ROOT = """
set -e
chown 12:34 /srv/deep/link -h; mkdir /usr/local/own; echo usr > /usr/local/own/file; chown 56:78 /usr/local/own
rm /usr/bin/yes; rm -r /usr/share/doc; mkdir /usr/share/doc; echo only > /usr/share/doc/only
cp /bin/true /usr/local/own/; chmod 4755 /usr/local/own/true
"""
LOOK = f"""
cat /srv/deep/file /srv/deep/again /srv/{LONG}/file; readlink /srv/deep/link; ls /etc/alternatives /srv/deep
ls /etc/shells /tmp/gone 2>&1 | wc -l
stat -c '%a %h %.2Y' /srv/deep/file; test /srv/deep/file -ef /srv/deep/again && echo one
cat /etc/hostname; id -u; pwd
python3 -c 'import os; print(os.getxattr("/srv/deep/file", "user.note"))'
"""
LOOK_AS_ROOT = """
cat /usr/local/own/file; ls /usr/share/doc; ls /usr/bin/yes 2>&1 | wc -l
stat -c '%a %u %g' /srv/deep/link /usr/local/own /usr/local/own/true /usr
"""


@pytest.fixture(scope="module")
def committed(embedded_service):
    with Sandbox.run() as sandbox:
        sh(sandbox, CHANGES + (CHANGES_OF_ROOT if ROOT else ""))
        return sandbox.commit("cws-test/committed:1").result()


def test_what_was_written_upon_the_machines_files(committed):
    assert inspect("cws-test/committed:1")["id"] == committed
    with of_image("cws-test/committed:1") as sandbox:
        said = sh(sandbox, LOOK).splitlines()
        assert said == ["new", "new", "long", "../deep", "/etc/alternatives:", "only", "", "/srv/deep:", "again", "fifo", "file", "link",
                        "2", "640 2 1000000000.25", "one", "sandbox", "0", "/root", "b'a\\x00b'"]
        if ROOT:
            assert sh(sandbox, LOOK_AS_ROOT).splitlines() == ["usr", "only", "1", "777 12 34", "755 56 78", "4755 0 0", "755 0 0"]
        sh(sandbox, "rm -r /srv/deep; echo more > /etc/shells; mkdir /srv/other")
        assert sandbox.commit("cws-test/committed:2").result() != committed
    with of_image("cws-test/committed:2") as sandbox:
        assert sh(sandbox, "ls /srv; cat /etc/shells; ls /etc/alternatives") == f"{LONG}\nother\nmore\nonly\n"
    layers = [inspect(f"cws-test/committed:{i}")["layers"] for i in (1, 2)]
    assert layers[1][:1] == layers[0] and len(layers[1]) == 2


def rootfs(tmp_path: Path) -> Path:
    """An image archive of `docker save`'s kind, so that there is a config."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for name in ("sh", "ls", "cat", "stat", "chown", "id"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, text in (("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n"), ("etc/group", b"app:x:1000:\n")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
    import hashlib
    import platform

    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    config = json.dumps({"os": "linux", "architecture": machine, "config": {"Env": ["A=image"], "Entrypoint": ["/bin/sh", "-c"],
                         "Cmd": ["while :; do /bin/busybox sleep 1; done"], "User": "app", "WorkingDir": "/srv"},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]}}).encode()
    path = tmp_path / "image.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("config.json", config), ("layer.tar", layer.getvalue()),
                           ("manifest.json", json.dumps([{"Config": "config.json", "RepoTags": ["cws-test/app:1"], "Layers": ["layer.tar"]}]).encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.skipif(not os.access(BUSYBOX, os.X_OK), reason="no busybox-static")
def test_an_images_words_are_kept(embedded_service, tmp_path):
    image("import", rootfs(tmp_path), check=True)
    with of_image("cws-test/app:1") as sandbox:
        sandbox.write_file("/etc/own", b"x").result()
        sandbox.commit("cws-test/app:2").result()
        said = image("commit", sandbox.sandbox_id, "cws-test/app:3")
        assert (said.returncode, said.stderr) == (0, "") and said.stdout.startswith("cws-test/app:3 sha256:")
    one, two = inspect("cws-test/app:1"), inspect("cws-test/app:2")
    for word in ("env", "entrypoint", "cmd", "user", "working_dir"):
        assert one[word] == two[word]
    assert two["layers"][:-1] == one["layers"]
    with of_image("cws-test/app:2") as sandbox:
        assert sandbox.read_file("/etc/own").result() == b"x"
        assert sh(sandbox, "echo $A; pwd") == "image\n/srv\n"


@pytest.mark.parametrize("name, why", [("BAD NAME", "lower-case letters"), ("debian@sha256:" + 64 * "0", "give it a tag")])
def test_a_name_that_is_none_or_promises_what_is_in_it(sb, name, why):
    """What is pinned by a digest elsewhere is never what somebody made here."""
    with pytest.raises(SandboxValidationError, match=why):
        sb.commit(name).result()


def test_what_cannot_be_a_layer_is_said_and_leaves_nothing(embedded_service, sb):
    store = Path(os.environ["CWSANDBOX_DATA_DIR"]) / "images"
    sh(sb, "mkdir /srv/x; touch /srv/x/.wh.y")
    with pytest.raises(CWSandboxError, match=r"srv/x/\.wh\.y: has a name that means a removal"):
        sb.commit("cws-test/none:1").result()
    assert image("inspect", "cws-test/none:1").returncode == 1
    sh(sb, "rm /srv/x/.wh.y; truncate -s 8G /srv/x/holes || :")
    if "holes" in sh(sb, "ls /srv/x"):
        with pytest.raises(CWSandboxError, match="the layer is larger than|File too large|larger"):
            sb.commit("cws-test/none:1").result()
    assert image("inspect", "cws-test/none:1").returncode == 1
    for name in ("", "UPPER/case", "../up"):
        with pytest.raises((CWSandboxError, ValueError)):
            sb.commit(name).result()
    sh(sb, "rm -f /srv/x/holes")
    assert not list(store.glob("tmp/*"))
    assert sb.commit("cws-test/none:1").result().startswith("sha256:")
