"""Trees through whatever code in the sandbox has prepared: planted links, things that change while they are read, odd names."""

from __future__ import annotations

import os

import pytest
from conftest import SECONDS
from cwsandbox import SandboxFileError

# One name after the other is a directory, a link out of the tree, a file, and so on, until it is killed.
FLIP = """
import os, sys
os.chdir(sys.argv[1])
def clear(name):
    try: os.unlink(name)
    except IsADirectoryError:
        for below in os.listdir(name): os.unlink(name + '/' + below)
        os.rmdir(name)
    except FileNotFoundError: pass
print('begun', flush=True)
while True:
    for name in 'abc':
        for make in (lambda: os.mkdir(name), lambda: os.symlink(sys.argv[2], name), lambda: open(name, 'w').write('mine' * 5000)):
            try:
                clear(name)
                make()
            except OSError: pass
"""


@pytest.fixture
def flipping(box):
    box.make_dir("/tmp/tree").result(SECONDS)
    box.make_dir("/root/outside").result(SECONDS)
    box.write_file("/root/outside/secret", b"secret").result(SECONDS)
    process = box.exec(["python3", "-c", FLIP, "/tmp/tree", "/root/outside"], timeout_seconds=300)
    assert next(iter(process.stdout)).startswith("begun")
    yield box


def outcome(call) -> str | None:
    """None: it went well."""
    try:
        call.result(SECONDS)
    except SandboxFileError as error:
        return str(error)


def test_an_upload_goes_through_no_planted_link(flipping, tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_bytes(b"overwritten")
        (tmp_path / name / "new").write_bytes(b"planted")
    for _ in range(100):
        outcome(flipping.upload_dir(tmp_path, "/tmp/tree"))
    assert [i.name for i in flipping.list_dir("/root/outside").result(SECONDS)] == ["secret"]
    assert flipping.read_file("/root/outside/secret").result(SECONDS) == b"secret"


def test_a_removal_goes_through_no_planted_link(flipping):
    for _ in range(100):
        outcome(flipping.remove_file("/tmp/tree", recursive=True))
        outcome(flipping.make_dir("/tmp/tree"))
    assert flipping.read_file("/root/outside/secret").result(SECONDS) == b"secret"


def test_a_download_of_what_changes_stays_within(flipping, tmp_path):
    for n in range(100):
        top = tmp_path / str(n)
        outcome(flipping.download_dir("/tmp/tree", top))
        for directory, names, files in os.walk(top):
            for name in names + files:
                path = os.path.join(directory, name)
                assert not os.path.islink(path) and name in ("a", "b", "c")
                assert os.path.isdir(path) or open(path, "rb").read().strip(b"mine") == b""
    assert sorted(os.listdir(tmp_path)) == sorted(str(n) for n in range(100))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "..", "d/../../outside"])
def test_a_download_with_a_link_out_is_refused(box, tmp_path, target):
    done = box.exec(["sh", "-c", 'mkdir -p /tmp/links/d; ln -sf "$0" /tmp/links/l', target]).result(SECONDS)
    assert done.returncode == 0, done.stderr
    text = outcome(box.download_dir("/tmp/links", tmp_path / "to"))
    assert "l`: is a link that leads out of the tree" in text
    assert not os.path.lexists(tmp_path / "to" / "l")


def test_a_link_on_this_side_is_not_followed(box, tmp_path):
    done = box.exec(["sh", "-c", "mkdir -p /tmp/mine/d; echo theirs | tee /tmp/mine/f >/tmp/mine/d/f"]).result(SECONDS)
    assert done.returncode == 0, done.stderr
    (tmp_path / "outside").mkdir()
    (tmp_path / "precious").write_bytes(b"mine")
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "f").symlink_to("../precious")
    (tmp_path / "to" / "d").symlink_to("../outside")
    assert "d`: is there already, and is no directory" in outcome(box.download_dir("/tmp/mine", tmp_path / "to"))
    assert (tmp_path / "precious").read_bytes() == b"mine" and os.listdir(tmp_path / "outside") == []


def test_odd_names_arrive_as_they_are(box, tmp_path):
    names = [b"line\nbreak", b"\xff\xfe", b"-r", b"a\\b", b"\x1b[2J", b"n" * 255, "\u00e9".encode(), "e\u0301".encode()]
    os.mkdir(tmp_path / "from")
    for name in names:
        with open(os.fsencode(tmp_path / "from") + b"/" + name, "wb") as file:
            file.write(name)
    box.upload_dir(tmp_path / "from", "/tmp/odd").result(SECONDS)
    assert sorted(os.fsencode(i.name) for i in box.list_dir("/tmp/odd").result(SECONDS)) == sorted(names)
    box.download_dir("/tmp/odd", tmp_path / "to").result(SECONDS)
    found = os.listdir(os.fsencode(tmp_path / "to"))
    assert sorted(found) == sorted(names)
    for name in names:
        assert box.read_file(b"/tmp/odd/" + name).result(SECONDS) == name
        box.remove_file(b"/tmp/odd/" + name).result(SECONDS)
    assert box.list_dir("/tmp/odd").result(SECONDS) == []


def test_nothing_of_init_is_a_place_to_write(box, tmp_path):
    (tmp_path / "comm").write_bytes(b"x")
    for path in ("/proc/1", "/proc/self", "/proc/1/root/../proc/1"):
        assert outcome(box.upload_dir(tmp_path, path)), path
    for path in ("/proc/self/fd/0", "/proc/1/fd/3", "/proc/1/mem"):
        assert outcome(box.write_file_streaming(path, b"x")), path
        assert outcome(box.rename_file(path, "/tmp/x")), path
