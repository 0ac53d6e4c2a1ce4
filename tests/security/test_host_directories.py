"""Directories of the machine that a service shows: those below the operator's list, read-only, and of them what anybody may
read. Whoever asks for one, and whatever stands in it, gets nothing else of the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from pathlib import Path

import cwsandbox
import pytest
from conftest import SECONDS, USER_ID, Service
from cwsandbox import HostDirectory

SECRET = "of another directory\n"


@pytest.fixture(scope="module", params=["root", "user"] if os.geteuid() == 0 else ["user"])
def shown(request):
    """(service, listed directory): the service's user owns what is in it; beside it is a directory that is not listed."""
    as_user = request.param == "user"
    top = Path(tempfile.mkdtemp(prefix="cws-shown-"))
    request.addfinalizer(lambda: shutil.rmtree(top))
    top.chmod(0o755)
    listed, other = top / "listed", top / "other"
    for directory in (listed, other, top / "listed-too", listed / "sub"):
        directory.mkdir(mode=0o755)
    (other / "secret").write_text(SECRET)
    (listed / "open").write_text("open\n")
    (listed / "closed").write_text(SECRET)
    (listed / "closed").chmod(0o600)
    (listed / "sub" / "deep").write_text("deep\n")
    (listed / "sub").chmod(0o777)
    shutil.copy("/bin/true", listed / "setuid")
    (listed / "setuid").chmod(0o4755)
    (listed / "out").symlink_to("../other")
    (listed / "absolute").symlink_to(other)
    (listed / "within").symlink_to("sub")
    os.mkfifo(listed / "fifo")
    (listed / "fifo").chmod(0o666)
    if os.geteuid() == 0:
        os.mknod(listed / "null", 0o20666, os.makedev(1, 3))
    if as_user and os.geteuid() == 0:
        for path in [top, *top.rglob("*")]:
            os.chown(path, USER_ID, USER_ID, follow_symlinks=False)
    service = Service(as_user, "--host-directories", str(listed))
    yield service, listed
    service.stop()


def run(service, directory, command, mount_path="/shown"):
    with service.sandbox(volumes=[HostDirectory(directory, mount_path)]) as sandbox:
        return sandbox.exec(["sh", "-c", command]).result(SECONDS)


def test_what_is_listed_is_shown_with_what_is_below_it(shown):
    service, listed = shown
    assert run(service, listed, "cat /shown/open /shown/sub/deep").stdout == "open\ndeep\n"
    assert run(service, listed / "sub", "cat /a/b/deep", "/a/b").stdout == "deep\n"
    assert run(service, listed / "within", "cat /shown/deep").stdout == "deep\n"


def test_what_is_not_listed_is_refused_with_the_remedy(shown):
    service, listed = shown
    for path in ["/", "/etc", listed.parent, listed.parent / "other", f"{listed}-too"]:
        with pytest.raises(cwsandbox.SandboxError, match="--host-directories"):
            run(service, path, "true")
    for path in [f"{listed}/../other", f"{listed}/./sub", f"{listed}//sub"]:
        with pytest.raises(cwsandbox.SandboxError, match="without empty"):
            run(service, path, "true")


def test_no_link_leads_out_of_the_list(shown):
    service, listed = shown
    for name in ["out", "absolute", "out/sub"]:
        with pytest.raises(cwsandbox.SandboxError, match=f"/{name}`: Operation not permitted"):
            run(service, listed / name, "cat /shown/secret")
    assert SECRET not in run(service, listed, "cat /shown/out/secret /shown/absolute/secret /other/secret").stdout


def test_nothing_in_it_changes(shown):
    service, listed = shown
    before = sorted((p, p.lstat().st_mtime_ns, p.lstat().st_mode, p.lstat().st_uid) for p in listed.rglob("*"))
    for command in ["echo > /shown/open", "echo > /shown/sub/new", "rm -rf /shown/sub", "chmod 777 /shown/open", "chown 5 /shown/open",
                    "touch /shown/open", "ln /shown/open /shown/sub/link", "mv /shown/sub /shown/bus", "mkdir /shown/sub/d",
                    "mount -o remount,rw /shown", "mount -o remount,bind,rw /shown", "umount /shown; rmdir /shown"]:
        assert run(service, listed, command).returncode != 0, command
    assert sorted((p, p.lstat().st_mtime_ns, p.lstat().st_mode, p.lstat().st_uid) for p in listed.rglob("*")) == before


def test_root_inside_reads_what_everybody_may(shown):
    """An ordinary user's service has that user's rights and no more, so there the user's own are readable."""
    service, listed = shown
    result = run(service, listed, "cat /shown/closed; chmod 0644 /shown/closed; cp /shown/closed /tmp; setpriv --reuid 33 cat /shown/closed")
    assert (SECRET in result.stdout) == service.as_user
    assert run(service, listed, "/shown/setuid && stat -c %u /shown/setuid && cat /shown/null").returncode != 0 or service.as_user


def test_what_listens_in_it_is_not_reached(shown):
    """A read-only mount alone would let both through."""
    service, listed = shown
    if service.as_user:
        pytest.skip("an ordinary user's service has that user's rights: told in docs/privileges.md")
    path = listed / "socket"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        result = run(service, listed, "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"/shown/socket\")'; echo > /shown/fifo")
        path.unlink()
    assert "Permission denied" in result.stderr and "/shown/fifo" in result.stderr
    assert result.returncode != 0


def test_another_sandbox_has_nothing_of_it(shown):
    service, listed = shown
    with service.sandbox(volumes=[HostDirectory(listed, "/shown")]) as one, service.sandbox() as other:
        assert one.exec(["cat", "/shown/open"]).result(SECONDS).stdout == "open\n"
        result = other.exec(["sh", "-c", "cat /shown/open; cat /proc/self/mountinfo"]).result(SECONDS)
        assert "open" not in result.stdout and str(listed) not in result.stdout


def test_nothing_is_mounted_over_what_is_the_sandboxs_own(shown):
    service, listed = shown
    for target in ["/proc", "/proc/self", "/sys/fs/cgroup", "/dev/null"]:
        with pytest.raises(cwsandbox.SandboxError, match="the sandbox's own"):
            run(service, listed, "true", target)
    with pytest.raises(cwsandbox.SandboxError, match="more than 8"), service.sandbox(
        volumes=[HostDirectory(listed, f"/shown/{i}") for i in range(9)]
    ):
        pass


def test_a_service_without_a_list_shows_nothing(service):
    with pytest.raises(cwsandbox.SandboxError, match="--host-directories"):
        run(service, "/usr", "true")
