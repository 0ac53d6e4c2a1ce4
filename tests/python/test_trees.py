"""Names and trees: list_dir, stat_file, make_dir, remove_file, rename_file, upload_dir, download_dir; files as a user."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import datetime, timezone

import pytest
from cwsandbox import FileKind, Sandbox, SandboxFileError, SandboxValidationError

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox of an ordinary user's service has only root: tests/security")


@pytest.fixture(scope="module")
def box(embedded_service):
    with Sandbox.run() as sandbox:
        yield sandbox


def shell(box, script, **options):
    result = box.exec(["sh", "-c", script], **options).result()
    assert result.returncode == 0, result.stderr
    return result.stdout


def reason(call):
    with pytest.raises(SandboxFileError) as info:
        call.result()
    assert info.value.reason.startswith("CWSANDBOX_FILE_"), info.value.reason
    return info.value


def tree(top):
    """Everything below, as {relative path: what it is}."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in names + files:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            relative = os.path.relpath(path, os.fsencode(top))
            if os.path.islink(path):
                found[relative] = os.readlink(path)
            elif os.path.isdir(path):
                found[relative] = oct(st.st_mode & 0o777)
            else:
                with open(path, "rb") as file:
                    found[relative] = (oct(st.st_mode & 0o777), int(st.st_mtime), file.read())
    return found


@pytest.fixture
def local(tmp_path):
    top = tmp_path / "from"
    (top / "sub" / "deeper").mkdir(parents=True)
    (top / "plain.txt").write_bytes(b"text")
    os.utime(top / "plain.txt", (1_000_000_000, 1_000_000_000))
    (top / "run").write_bytes(b"#!/bin/sh\necho ran\n")
    (top / "run").chmod(0o755)
    (top / "sub" / "deeper" / "big").write_bytes(os.urandom(3_000_000))
    (top / "sub" / "empty").write_bytes(b"")
    (top / "sub" / ("n" * 200)).write_bytes(b"long name")
    (top / "link").symlink_to("sub/deeper")
    (top / "up").mkdir()
    (top / "up" / "link").symlink_to("../plain.txt")
    os.mkdir(os.fsencode(top) + b"/odd\n\xff\xfe")
    with open(os.fsencode(top) + b"/odd\n\xff\xfe/n\xc3", "wb") as file:
        file.write(b"odd")
    os.mkfifo(top / "fifo")
    return top


def test_a_tree_comes_back_as_it_went(box, local, tmp_path):
    box.upload_dir(local, "/tmp/there").result()
    assert shell(box, "/tmp/there/run; cat /tmp/there/link/../../plain.txt; stat -c '%a %U' /tmp/there/run") == "ran\ntext755 root\n"
    box.download_dir("/tmp/there", tmp_path / "back").result()
    (local / "fifo").unlink()
    assert tree(tmp_path / "back") == tree(local)


def test_what_is_there_keeps_owner_and_mode_and_others_stay(box, tmp_path):
    shell(box, "mkdir -p /tmp/keep; echo old >/tmp/keep/f; chmod 640 /tmp/keep/f; echo other >/tmp/keep/other; ln -s /etc/passwd /tmp/keep/l")
    (tmp_path / "f").write_bytes(b"new")
    (tmp_path / "l").write_bytes(b"instead of a link")
    box.upload_dir(tmp_path, "/tmp/keep").result()
    assert shell(box, "cd /tmp/keep; stat -c %a f; cat f other l; grep -c root /etc/passwd") == "640\nnewother\ninstead of a link1\n"


@ROOT_ONLY
def test_write_file_keeps_owner_and_mode(box):
    shell(box, "echo old >/tmp/owned; chown 1000:50 /tmp/owned; chmod 604 /tmp/owned")
    for content in (b"new", b"x" * (40 << 20)):  # in one message, and as a stream
        box.write_file("/tmp/owned", content).result()
        assert shell(box, "stat -c '%u %g %a %s' /tmp/owned") == f"1000 50 604 {len(content)}\n"


def test_a_full_disk_leaves_what_was_there(embedded_service):
    with Sandbox.run() as box:
        box.write_file("/root/precious", b"old").result()
        shell(box, "df --output=avail -B1 /root | tail -1 | { read n; fallocate -l $((n - 4000000)) /root/filler; }")
        for content in (b"x" * (20 << 20), b"x" * (40 << 20)):
            reason(box.write_file("/root/precious", content))
            assert box.read_file("/root/precious").result() == b"old"


@ROOT_ONLY
def test_files_as_a_user(box, local, tmp_path):
    shell(box, "mkdir -p /tmp/ann; chown 1234:1234 /tmp/ann; echo secret >/tmp/secret; chmod 600 /tmp/secret")
    box.write_file("/tmp/ann/mine", b"hers", user="1234").result()
    box.write_file_streaming("/tmp/ann/streamed", iter([b"a", b"b"]), user="1234").result()
    box.make_dir("/tmp/ann/dir", user="1234").result()
    box.upload_dir(local, "/tmp/ann/tree", user="1234").result()
    assert shell(box, "cd /tmp/ann; stat -c %u mine streamed dir tree tree/run") == "1234\n" * 5
    assert box.read_file("/tmp/ann/streamed", user="1234").result() == b"ab"
    assert b"".join(box.read_file_streaming("/tmp/ann/mine", user="1234")) == b"hers"
    for call in (
        box.read_file("/tmp/secret", user="1234"),
        box.write_file("/tmp/secret", b"", user="1234"),
        box.remove_file("/tmp/secret", user="1234"),
        box.upload_dir(local, "/etc/ann", user="1234"),
        box.download_dir("/root", tmp_path / "root", user="1234"),
    ):
        assert reason(call).reason == "CWSANDBOX_FILE_PERMISSION_DENIED"
    assert not (tmp_path / "root").exists()
    with pytest.raises(ValueError, match="user must be"):
        box.read_file("/tmp/secret", user="").result()


def test_list_and_stat(box):
    shell(box, "mkdir -p /tmp/ls/d; cd /tmp/ls; printf 12345 >f; chmod 4751 f; touch -d @1000000000.5 f; ln -s f l; mkfifo p; touch \"$(printf 'o\\nd\\377')\"")
    found = box.list_dir("/tmp/ls").result()
    assert [(i.name, i.kind) for i in found] == [
        ("d", FileKind.DIRECTORY), ("f", FileKind.FILE), ("l", FileKind.LINK), ("o\nd\udcff", FileKind.FILE), ("p", FileKind.FIFO),
    ]  # fmt: skip
    f = found[1]
    assert (f.mode, f.uid, f.size, f.target) == (0o4751, 0, 5, None)
    assert f.modified_at == datetime.fromtimestamp(1000000000.5, timezone.utc)
    assert box.stat_file("/tmp/ls/l").result().target == "f"
    assert box.stat_file("/tmp/ls/f").result() == type(f)("/tmp/ls/f", f.kind, f.mode, f.uid, f.gid, f.size, f.modified_at)
    assert box.stat_file("/").result().kind == FileKind.DIRECTORY
    assert box.list_dir("/tmp/ls/d").result() == []
    assert len(box.list_dir("/usr/bin").result()) == int(shell(box, "ls -A /usr/bin | wc -l"))


def test_make_rename_remove(box):
    box.make_dir("/tmp/m/a/b", mode=0o2770).result()
    box.make_dir("/tmp/m/a/b").result()
    assert shell(box, "stat -c %a /tmp/m/a /tmp/m/a/b") == "755\n2770\n"
    box.write_file("/tmp/m/a/b/f", b"1").result()
    box.rename_file("/tmp/m/a", "/tmp/m/c").result()
    shell(box, "ln -s /etc /tmp/m/c/etc; mkdir /tmp/m/victim; touch /tmp/m/victim/x; ln -s ../victim /tmp/m/c/b/l")
    assert reason(box.remove_file("/tmp/m/c")).reason == "CWSANDBOX_FILE_IO_FAILED"  # not empty
    box.remove_file("/tmp/m/c", recursive=True).result()
    assert shell(box, "ls /tmp/m /tmp/m/victim; test -e /etc/passwd") == "/tmp/m:\nvictim\n\n/tmp/m/victim:\nx\n"
    box.remove_file("/tmp/m/victim/x").result()
    box.remove_file("/tmp/m/victim").result()
    assert reason(box.remove_file("/tmp/m/victim")).reason == "CWSANDBOX_FILE_NOT_FOUND"


@pytest.mark.parametrize(("call", "expected"), [
    (lambda b: b.list_dir("/tmp/no\nsuch"), "NOT_FOUND"),
    (lambda b: b.stat_file("/nowhere/x"), "NOT_FOUND"),
    (lambda b: b.list_dir("/etc/passwd"), "IO_FAILED"),
    (lambda b: b.make_dir("/etc/passwd"), "IO_FAILED"),
    (lambda b: b.rename_file("/nowhere", "/x"), "NOT_FOUND"),
    (lambda b: b.remove_file("/proc/1", recursive=True), "PERMISSION_DENIED"),
    (lambda b: b.remove_file("/"), "IO_FAILED"),
    (lambda b: b.remove_file("/tmp/.."), "IO_FAILED"),
    (lambda b: b.read_file_streaming("/nowhere"), "NOT_FOUND"),
    (lambda b: b.read_file_streaming("/etc"), "IS_DIRECTORY"),
    (lambda b: b.write_file_streaming("/proc/1/oom_score_adj", b"0"), "PERMISSION_DENIED"),
])  # fmt: skip
def test_reasons(box, call, expected):
    with pytest.raises(SandboxFileError) as info:
        handle = call(box)
        handle.result() if hasattr(handle, "result") else list(handle)
    assert info.value.reason == f"CWSANDBOX_FILE_{expected}"
    assert info.value.filepath


def test_bad_arguments_raise_at_once(box):
    for call in (
        lambda: box.make_dir("/x", mode=0o10000),
        lambda: box.rename_file("/x", "relative"),
        lambda: box.upload_dir("", "/x"),
        lambda: box.stat_file("/x\0"),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(SandboxValidationError, match="^Look at files: `relative` is not an absolute path$"):
        box.list_dir("relative").result()


def test_failures_of_this_side_name_the_file(box, tmp_path):
    assert "no-such" in str(reason(box.upload_dir(tmp_path / "no-such", "/tmp/x")))
    (tmp_path / "file").write_bytes(b"")
    assert "file" in str(reason(box.download_dir("/etc", tmp_path / "file")))
    shell(box, "mkdir -p /tmp/dl/a; echo x >/tmp/dl/a/b")
    (tmp_path / "dl" / "a" / "b").mkdir(parents=True)
    assert "a/b`: is there already, and is a directory" in str(reason(box.download_dir("/tmp/dl", tmp_path / "dl")))


def test_what_never_began_is_said_once_and_spoilt_nothing(box, local):
    for call in box.upload_dir(local, "/tmp/x", user="nobody-here"), box.write_file_streaming("/tmp/x", b"", user="nobody-here"):
        with pytest.raises(SandboxValidationError) as info:
            call.result()
        text = str(info.value)
        assert "`nobody-here` is not in the sandbox's /etc/passwd" in text and "partial" not in text
        label = text.partition(":")[0]
        assert label in ("Upload directory", "Write file") and text.count(label) == 1


def test_failures_of_the_other_side_come_back(box, local, tmp_path):
    shell(box, "mkdir -p /tmp/up/plain.txt")
    error = reason(box.upload_dir(local, "/tmp/up"))
    assert "/tmp/up/plain.txt: is there already, and is a directory" in str(error)
    assert reason(box.download_dir("/nowhere", tmp_path / "no")).reason == "CWSANDBOX_FILE_NOT_FOUND"
    assert not (tmp_path / "no").exists()


def test_cancelled_transfers_end_on_both_sides(box, tmp_path):
    import cwsandbox._core as core

    with open(tmp_path / "big", "wb") as file:
        file.truncate(1 << 34)
    ref = box.upload_dir(tmp_path, "/tmp/cancelled")
    while not shell(box, "ls /tmp/cancelled 2>/dev/null; true"):
        pass
    core.cancel(ref)
    with pytest.raises(BaseException):
        ref.result()
    while "cwsandbox-init" in shell(box, "cat /proc/[2-9]*/comm 2>/dev/null; true"):
        pass


def test_awaited(box, local, tmp_path):
    async def both():
        await box.upload_dir(local, "/tmp/awaited")
        await asyncio.gather(box.download_dir("/tmp/awaited", tmp_path / "1"), box.download_dir("/tmp/awaited", tmp_path / "2"))
        return await box.list_dir("/tmp/awaited")

    assert len(asyncio.run(both())) == len(os.listdir(local)) - 1
    assert tree(tmp_path / "1") == tree(tmp_path / "2")


def test_no_transfer_is_whole_in_memory(box, tmp_path):
    def peak():
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(600 << 20)
    before = peak()
    box.upload_dir(tmp_path, "/tmp/large").result()
    assert shell(box, "stat -c %s /tmp/large/sparse") == f"{600 << 20}\n"
    assert peak() - before < 200 << 10
    box.remove_file("/tmp/large", recursive=True).result()
    assert threading.active_count() < 50


def test_no_program_of_the_image_is_needed(embedded_service, tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 100)
    with Sandbox.run() as box:
        box.remove_file("/usr/bin", recursive=True).result()
        assert box.exec(["/bin/sh", "-c", "true"]).result().returncode == 127
        box.upload_dir(tmp_path, "/w").result()
        assert b"".join(box.read_file_streaming("/w/f")) == b"x" * 100
        box.write_file_streaming("/w/g", iter([b"1", b"2"])).result()
        assert [i.name for i in box.list_dir("/w").result()] == ["f", "g"]
