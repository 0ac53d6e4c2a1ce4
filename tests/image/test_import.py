"""Images from files: what is in the store afterwards, and what is refused."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import signal
import stat
import subprocess
import tarfile

import pytest
from making import ARCHITECTURE, DIRECTORY, Layout, config_of, docker_archive, sha256, tar_of


def whiteout(path) -> bool:
    st = os.lstat(path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


NFD = "cafe\u0301"
TREE = tar_of(("./", DIRECTORY, {"mode": 0o750}), ("bin/", DIRECTORY), ("bin/a", b"#!", {"mode": 0o4755, "uid": 7, "gid": 8}),
              ("bin/b", (tarfile.LNKTYPE, "bin/a")), ("etc/deep/down/f", b"x"), ("l", (tarfile.SYMTYPE, "/etc/passwd")),
              ("d/", DIRECTORY, {"mode": 0o555}), ("d/f", b"in d"), ("none", b"", {"mode": 0}), (NFD, b""), ("caf\u00e9", b""),
              ("n" * 255, b""), ("x", b"v", {"pax_headers": {"SCHILY.xattr.user.note": "hello"}}), ("pipe", (tarfile.FIFOTYPE, "")))


def test_a_plain_root_file_system_is_as_it_was_packed(images):
    images.ok("import", "-", "sys:1", data=TREE)
    layer = images.layer("sys:1")
    assert layer.name == sha256(TREE)
    assert stat.S_IMODE(layer.stat().st_mode) == 0o750
    assert (layer / "bin/a").stat().st_ino == (layer / "bin/b").stat().st_ino
    assert os.readlink(layer / "l") == "/etc/passwd"
    assert stat.S_IMODE((layer / "d").stat().st_mode) == 0o555 and (layer / "d/f").read_bytes() == b"in d"
    assert stat.S_IMODE((layer / "etc/deep").stat().st_mode) == 0o755
    assert {NFD, "caf\u00e9", "n" * 255} <= set(os.listdir(layer))
    assert os.getxattr(layer / "x", "user.note") == b"hello"
    assert (layer / "bin/a").stat().st_mtime == 1_000_000_000 and os.lstat(layer / "d").st_mtime == 1_000_000_000
    assert stat.S_ISFIFO((layer / "pipe").stat().st_mode)
    own = (layer / "bin/a").stat()
    if images.uid == 0:
        assert (own.st_uid, own.st_gid, stat.S_IMODE(own.st_mode)) == (7, 8, 0o4755)
    else:
        assert (own.st_uid, own.st_gid, stat.S_IMODE(own.st_mode)) == (images.uid, images.uid, 0o755)


def test_a_tar_may_be_packed_and_a_directory_is_as_good(images):
    images.ok("import", "-", "sys:1", data=gzip.compress(TREE))
    assert images.layer("sys:1").name == sha256(TREE)
    source = images.directory / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / NFD).write_bytes(b"1" * 100_000)
    os.link(source / "sub" / NFD, source / "again")
    os.symlink("sub", source / "link")
    os.chmod(source, 0o755)
    subprocess.run(["chown", "-hR", f"{images.uid}:{images.uid}", source], check=True)
    images.ok("import", str(source), "sys:2")
    layer = images.layer("sys:2")
    assert (layer / "sub" / NFD).read_bytes() == b"1" * 100_000
    assert (layer / "again").stat().st_nlink == 2 and os.readlink(layer / "link") == "sub"
    images.ok("import", str(source), "sys:3")
    assert images.layer("sys:3") == layer  # the same tree is the same layer


LOWER = tar_of(("etc/", DIRECTORY), ("etc/a", b"1"), ("etc/b", b"1"), ("var/", DIRECTORY), ("var/old", b""))
UPPER = tar_of(("etc/.wh.a", b""), ("var/.wh..wh..opq", b""), ("var/new", b""), (".wh.gone", b""), (".wh..wh.plnk", b""))


def check_layers(images, reference: str) -> None:
    low, high = images.layers(reference)
    assert (low / "etc/a").read_bytes() == b"1"
    assert whiteout(high / "etc/a") and whiteout(high / "gone")
    assert os.getxattr(high / "var", "user.overlay.opaque") == b"y"
    assert not [n for _, dirs, files in os.walk(high) for n in dirs + files if n.startswith(".wh.")]


def test_an_archive_of_docker_save_has_its_names_and_its_words(images):
    config = config_of(LOWER, UPPER, Env=["A=b"], Entrypoint=["/e"], Cmd=["c", "d"], User="7:8", WorkingDir="/w",
                       StopSignal="SIGQUIT", Volumes={"/v": {}})
    images.ok("import", "-", data=docker_archive([LOWER, UPPER], config, ["own:1", "quay.io/x/y:2"]))
    value = images.inspect("quay.io/x/y:2")
    assert value["id"] == images.inspect("own:1")["id"] == "sha256:" + sha256(config)
    assert value["layers"] == [sha256(LOWER), sha256(UPPER)]
    words = {key: value[key] for key in ("env", "entrypoint", "cmd", "user", "working_dir", "stop_signal", "volumes")}
    assert words == {"env": ["A=b"], "entrypoint": ["/e"], "cmd": ["c", "d"], "user": "7:8", "working_dir": "/w",
                     "stop_signal": signal.SIGQUIT, "volumes": ["/v"]}
    check_layers(images, "own:1")


def test_a_layout_gives_the_image_of_this_machine(images):
    layout = Layout()
    here = layout.image([LOWER, UPPER], Env=["HERE=1"])
    there = layout.image([LOWER])
    index = layout.index({**there, "platform": {"os": "linux", "architecture": "mips"}},
                         {**here, "platform": {"os": "linux", "architecture": ARCHITECTURE}})
    path = layout.directory(images.directory / "layout", index)
    subprocess.run(["chown", "-R", f"{images.uid}", path], check=True)
    images.ok("import", str(path), "multi")
    assert images.inspect("multi")["env"] == ["HERE=1"]
    check_layers(images, "multi")
    name = {"annotations": {"org.opencontainers.image.ref.name": "reg.example/named:3"}}
    images.ok("import", "-", data=layout.tar({**here, **name}))
    assert images.inspect("reg.example/named:3")["manifest"] == here["digest"]
    only_there = layout.tar(layout.index({**there, "platform": {"os": "linux", "architecture": "mips"}}))
    assert "only for: linux/mips" in images.refused("import", "-", "x", data=only_there)


HOSTILE = {
    "dots": ([("a/../../x", b"")], "a/../../x", "`..`"),
    "absolute": ([("/etc/x", b"")], "/etc/x", "absolute"),
    "link": ([("l", (tarfile.SYMTYPE, "/tmp")), ("l/x", b"")], "l/x", "no directory"),
    "link to a directory of its own": ([("d/", DIRECTORY), ("l", (tarfile.SYMTYPE, "d")), ("l/x", b"")], "l/x", "no directory"),
    "hard link out": ([("h", (tarfile.LNKTYPE, "../../../../etc/passwd"))], "h", "`..`"),
    "hard link to the machine": ([("h", (tarfile.LNKTYPE, "/etc/passwd"))], "h", "absolute"),
    "hard link through a link": ([("l", (tarfile.SYMTYPE, "/etc")), ("h", (tarfile.LNKTYPE, "l/passwd"))], "h", "this layer has not"),
    "hard link to a directory": ([("d/", DIRECTORY), ("h", (tarfile.LNKTYPE, "d"))], "h", "a directory"),
    "hard link to itself": ([("h", b""), ("h", (tarfile.LNKTYPE, "./h"))], "h", "itself"),
    "hard link to a whiteout": ([(".wh.w", b""), ("h", (tarfile.LNKTYPE, "w"))], "h", "whiteout"),
    "block device": ([("sda", (tarfile.BLKTYPE, ""), {"devmajor": 8})], "sda", "device"),
    "character device": ([("etc/mem", (tarfile.CHRTYPE, ""), {"devmajor": 1, "devminor": 1})], "etc/mem", "device"),
    "whiteout of dots": ([(".wh...", b"")], ".wh...", "removes nothing"),
    "below a whiteout": ([("d/.wh.x/y", b"")], "d/.wh.x/y", "whiteout"),
    "long component": ([("n" * 256, b"")], "nnnn", "too long"),
    "deep": ([("d/" * 257 + "f", b"")], "d/d/d", "deep"),
    "overlay attribute": ([("x", b"", {"pax_headers": {"SCHILY.xattr.user.overlay.redirect": "/"}})], "x", "overlayfs"),
    "trusted attribute": ([("x", b"", {"pax_headers": {"SCHILY.xattr.trusted.overlay.opaque": "y"}})], "x", "overlayfs"),
    "root as a link": ([(".", (tarfile.SYMTYPE, "/"))], ".", "root directory"),
    "sparse": ([("s", b"", {"pax_headers": {"GNU.sparse.major": "1"}})], "entry 2", "sparse"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_by_the_name_of_its_entry(images, kind):
    entries, name, why = HOSTILE[kind]
    said = images.refused("import", "-", "evil", data=tar_of(("fine", b""), *entries))
    assert name in said and why in said, said
    assert images.rest() == []


def test_devices_below_dev_are_left_out(images):
    images.ok("import", "-", "whole", data=tar_of(("dev/", DIRECTORY), ("dev/null", (tarfile.CHRTYPE, ""), {"devmajor": 1, "devminor": 3})))
    assert os.listdir(images.layer("whole") / "dev") == []


def test_an_owner_out_of_range_is_refused_where_owners_are_kept(images):
    data = tar_of(("f", b"", {"uid": 70000}))
    if images.uid == 0:
        assert "`f` is refused: its owner" in images.refused("import", "-", "x", data=data)
    else:
        images.ok("import", "-", "x", data=data)


def test_a_bomb_ends_at_the_limit(images):
    info = tarfile.TarInfo("bomb")
    info.size = 1 << 50
    header = info.tobuf(tarfile.GNU_FORMAT)
    said = images.refused("import", "-", "x", data=docker_archive([header], config_of(header), ["x:1"]))
    assert "`bomb` is refused: the layer is larger" in said
    assert images.rest() == []


def test_what_is_cut_or_not_what_was_promised_is_refused(images):
    whole = tar_of(("a", b"x" * 5000), ("b", b""))
    assert "ends within" in images.refused("import", "-", "x", data=whole[:3000])
    assert "ends early" in images.refused("import", "-", "x", data=gzip.compress(os.urandom(5000))[:-9])
    wrong = docker_archive([whole], config_of(whole[:-512] + b"\1" * 512), ["x:1"])
    assert "was promised" in images.refused("import", "-", data=wrong)
    layout = Layout()
    image = layout.image([whole])
    name = next(n for n, data in layout.blobs.items() if data[:2] == b"\x1f\x8b")
    layout.blobs[name] = gzip.compress(tar_of(("a", b"y")))
    assert "was promised" in images.refused("import", "-", "x", data=layout.tar(image))
    layout.blobs[image["digest"][7:]] += b" "
    assert "its digest is" in images.refused("import", "-", "x", data=layout.tar(image))
    assert images.rest() == []


@pytest.mark.parametrize("change, why", [
    ({"rootfs": {}}, "no layers"), ({"architecture": "mips"}, "this machine"), ({"config": {"Env": [1]}}, "`Env`"),
    ({"config": {"Env": "A=b"}}, "`Env`"), ({"config": {"Env": ["novalue"]}}, "NAME=VALUE"),
    ({"config": {"StopSignal": "SIGNONE"}}, "stop signal"), ({"config": {"User": "u" * 256}}, "user"),
    ({"rootfs": {"diff_ids": ["sha256:x"]}}, "diff_ids"), ({"rootfs": {"diff_ids": ["sha256:" + "0" * 64] * 128}}, "127 layers"),
])
def test_a_config_that_says_nonsense_is_refused(images, change, why):
    config = {**json.loads(config_of(LOWER)), **change}
    said = images.refused("import", "-", data=docker_archive([LOWER], json.dumps(config).encode(), ["x:1"]))
    assert why in said
    assert images.rest() == []


def test_json_with_a_key_twice_is_refused(images):
    config = config_of(LOWER)[:-1] + b', "os": "linux"}'
    assert "duplicate" in images.refused("import", "-", data=docker_archive([LOWER], config, ["x:1"]))


def test_many_at_once_make_one_layer(images):
    data = docker_archive([LOWER, UPPER], config_of(LOWER, UPPER), ["x:1"])
    (images.directory / "a.tar").write_bytes(data)
    running = [images.start("import", str(images.directory / "a.tar"), f"x:{i}") for i in range(8)]
    for process in running:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert sorted(p.name for p in (images.store / "layers").iterdir()) == sorted([sha256(LOWER), sha256(UPPER)])
    assert list((images.store / "tmp").iterdir()) == []


def test_who_is_killed_leaves_no_layer(images):
    process = images.start("import", "-", "x")
    first = tar_of(("a", b"x" * 200_000))
    process.stdin.write(docker_archive([first], config_of(first), ["x:1"])[:150_000])
    process.stdin.flush()
    process.kill()
    process.communicate()
    assert images.ok("ls") == "No images found.\n"
    assert [p for p in images.rest() if p.startswith("layers")] == []


def test_what_is_removed_is_what_no_other_needs(images):
    images.ok("import", "-", data=docker_archive([LOWER, UPPER], config_of(LOWER, UPPER), ["two:1"]))
    images.ok("import", "-", data=docker_archive([LOWER], config_of(LOWER), ["one:1"]))
    assert "Removed 1 layers" in images.ok("rm", "two:1")
    assert images.layer("one:1").name == sha256(LOWER)
    assert "not in the store" in images.refused("rm", "two:1")
    images.ok("rm", "one:1")
    assert images.rest() == []


def test_a_layer_that_is_held_stays_until_it_is_not(images):
    images.ok("import", "-", data=docker_archive([LOWER], config_of(LOWER), ["one:1"]))
    layer = images.layer("one:1")
    fd = os.open(layer, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert "Removed 0 layers" in images.ok("rm", "one:1")
    assert (layer / "etc/a").exists()
    os.close(fd)
    assert "Removed 1 layers" in images.ok("prune")
    assert not layer.exists()


def test_prune_takes_what_was_unused_for_long_and_what_is_too_much(images):
    for name, when in (("old", 1_000), ("mid", 2_000_000_000), ("new", None)):
        layer = tar_of(("f", name.encode() * 1000))
        images.ok("import", "-", data=docker_archive([layer], config_of(layer), [f"{name}:1"]))
        if when:
            ref = next(p for p in (images.store / "refs").iterdir() if f"{name}:1" in p.read_text())
            os.utime(ref, (when, when))
    images.ok("prune", "--unused-for", "86400")
    assert [i["reference"] for i in json.loads(images.ok("ls", "-o", "json"))] == ["docker.io/library/mid:1", "docker.io/library/new:1"]
    images.ok("prune", "--keep-bytes", "3000")
    assert len(json.loads(images.ok("ls", "-o", "json"))) == 1


def test_a_store_that_lost_a_layer_says_so(images):
    images.ok("import", "-", data=docker_archive([LOWER], config_of(LOWER), ["one:1"]))
    subprocess.run(["rm", "-rf", images.layer("one:1")], check=True)
    assert "damaged in the store" in images.refused("inspect", "one:1")
    assert "Warning: " in images.run("ls").stderr
