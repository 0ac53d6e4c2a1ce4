"""Images into files, and foreign programs that read and write them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile

import pytest
from making import DIRECTORY, config_of, docker_archive, sha256, tar_of

LOWER = tar_of(("etc/", DIRECTORY), ("etc/a", b"1", {"mode": 0o640}), ("etc/b", b"1"), ("var/", DIRECTORY), ("var/old", b""),
               ("gone/", DIRECTORY), ("gone/f", b""), ("one", b"x"), ("two", (tarfile.LNKTYPE, "one")),
               ("l", (tarfile.SYMTYPE, "/nowhere/" + "n" * 120)))
UPPER = tar_of(("etc/", DIRECTORY), ("etc/.wh.a", b""), ("etc/b", b"2"), ("var/", DIRECTORY), ("var/.wh..wh..opq", b""), ("var/new", b""),
               (".wh.gone", b""), ("x" * 120, b"long", {"mtime": 1.5, "pax_headers": {"SCHILY.xattr.user.note": "hi"}}))


def add(images) -> None:
    images.ok("import", "-", data=docker_archive([LOWER, UPPER], config_of(LOWER, UPPER, Env=["A=b"], User="7"), ["app:1"]))


def export(images, *words: str) -> bytes:
    images.ok("export", *words, str(images.directory / "out.tar"))
    return (images.directory / "out.tar").read_bytes()


def tree(layer) -> dict:
    found = {}
    for directory, dirs, files in os.walk(layer):
        for name in dirs + files:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else open(path, "rb").read() if os.path.isfile(path) else None
            opaque = "user.overlay.opaque" in os.listxattr(path, follow_symlinks=False)
            time = None if st.st_mode >> 12 == 2 else st.st_mtime_ns  # whiteouts have none
            found[os.path.relpath(path, layer)] = (oct(st.st_mode), st.st_uid, st.st_nlink, time, content, opaque)
    return found


def test_what_is_exported_is_imported_as_the_same(images):
    add(images)
    archive = export(images, "app:1")
    images.ok("import", "-", "again:1", data=archive)
    again = images.inspect("again:1")
    assert again["env"] == ["A=b"] and again["user"] == "7"
    for before, after in zip(images.layers("app:1"), images.layers("again:1"), strict=True):
        assert tree(before) == tree(after)
    images.ok("export", "again:1", str(images.directory / "second.tar"))
    images.ok("import", str(images.directory / "second.tar"), "third:1")
    assert images.inspect("third:1")["layers"] == again["layers"]  # packed again they are the same


def test_the_archive_is_a_layout_and_what_docker_loads(images):
    add(images)
    with tarfile.open(fileobj=io.BytesIO(export(images, "app:1"))) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar if m.isfile()}
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (docker,) = json.loads(files["manifest.json"])
    assert docker["RepoTags"] == ["docker.io/library/app:1"]
    (descriptor,) = json.loads(files["index.json"])["manifests"]
    manifest = files["blobs/sha256/" + descriptor["digest"][7:]]
    assert len(manifest) == descriptor["size"] and sha256(manifest) == descriptor["digest"][7:]
    for part in [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]:
        data = files["blobs/sha256/" + part["digest"][7:]]
        assert len(data) == part["size"] and sha256(data) == part["digest"][7:]
    assert docker["Layers"] == ["blobs/sha256/" + layer["digest"][7:] for layer in json.loads(manifest)["layers"]]


def test_a_root_file_system_is_its_layers_merged(images):
    add(images)
    with tarfile.open(fileobj=io.BytesIO(export(images, "--rootfs", "app:1"))) as tar:
        found = {m.name: m for m in tar}
        assert sorted(found) == sorted([".", "etc", "etc/b", "l", "one", "two", "var", "var/new", "x" * 120])
        assert tar.extractfile("etc/b").read() == b"2"
    assert found["two"].islnk() and found["two"].linkname == "one"
    assert found["l"].linkname == "/nowhere/" + "n" * 120
    assert found["x" * 120].pax_headers["SCHILY.xattr.user.note"] == "hi" and found["x" * 120].mtime == 1.5


def test_an_export_that_fails_leaves_no_half_file(images):
    assert "not in the store" in images.refused("export", "app:1", str(images.directory / "out.tar"))
    assert (images.directory / "out.tar").read_bytes() == b""


@pytest.mark.skipif(not shutil.which("umoci") or os.geteuid() != 0, reason="umoci, which keeps owners as root only, is not installed")
@pytest.mark.parametrize("images", ["root"], indirect=True)
def test_umoci_unpacks_what_we_export_and_we_what_it_makes(images):
    add(images)
    layout = images.directory / "layout"
    layout.mkdir()
    with tarfile.open(fileobj=io.BytesIO(export(images, "app:1"))) as tar:
        for member in tar:
            (layout / member.name).parent.mkdir(parents=True, exist_ok=True)
            (layout / member.name).write_bytes(tar.extractfile(member).read())
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = "1"  # umoci takes tags only
    (layout / "index.json").write_text(json.dumps(index))
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:1", images.directory / "bundle"], check=True, capture_output=True)
    root = images.directory / "bundle" / "rootfs"
    assert sorted(os.listdir(root)) == sorted(["etc", "l", "one", "two", "var", "x" * 120])
    assert (root / "etc/b").read_bytes() == b"2" and os.listdir(root / "var") == ["new"]
    (root / "etc/added").write_bytes(b"by umoci")
    (root / "one").unlink()
    subprocess.run(["umoci", "repack", "--image", f"{layout}:2", images.directory / "bundle"], check=True, capture_output=True)
    index = json.loads((layout / "index.json").read_text())
    index["manifests"] = [m for m in index["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == "2"]
    (layout / "index.json").write_text(json.dumps(index))
    images.ok("import", str(layout), "umoci:2")
    *_, top = images.layers("umoci:2")
    assert (top / "etc/added").read_bytes() == b"by umoci" and os.lstat(top / "one").st_rdev == 0
