"""Files of the machine that the image `host` shows: what not every user of the machine may read stays closed, whoever asks
inside, and the rest is as it is outside. Needs root, to put such files below /usr; an ordinary user tries those it finds."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

import cwsandbox
import pytest
from conftest import SECONDS

SECRET = "not for everybody\n"
ADM = 4  # a group that exists inside, too
MODES = {"owner": (0o600, 0, 0), "group": (0o640, 0, ADM), "owner_nobody_inside": (0o600, 70000, 70000),
         "setuid": (0o4711, 0, 0), "user_inside": (0o600, 33, 33), "none": (0o000, 0, 0)}


@pytest.fixture
def closed(request):
    """A directory below /usr with one file per row of MODES, and a directory that only root may enter."""
    if os.geteuid() != 0:
        pytest.skip("only root can put files below /usr")
    directory = Path(f"/usr/local/share/cws-security-{uuid.uuid4().hex[:8]}")
    request.addfinalizer(lambda: shutil.rmtree(directory))
    directory.mkdir(0o755)
    for name, (mode, uid, gid) in MODES.items():
        path = directory / name
        path.write_text(SECRET)
        os.chown(path, uid, gid)
        path.chmod(mode)
    (directory / "closed").mkdir(0o700)
    (directory / "closed" / "open").write_text(SECRET)
    (directory / "everybody").write_text("open\n")
    return directory


# Each prints SECRET when it works. $1 is the directory, $2 a name in it.
WAYS = {
    "read": 'cat "$1/$2"',
    "chmod": 'chmod 0644 "$1/$2"; cat "$1/$2"',
    "chown": 'chown 0:0 "$1/$2" && chmod 0600 "$1/$2"; cat "$1/$2"',
    "append": 'echo >> "$1/$2"; cat "$1/$2"',
    "hard link": 'ln "$1/$2" "$1/link-$2"; cat "$1/link-$2"',
    "symbolic link": 'ln -s "$1/$2" /tmp/l; cat /tmp/l; ln -sf "$1" /tmp/d; cat "/tmp/d/$2"',
    "rename": 'mv "$1/$2" "$1/moved"; cat "$1/moved"',
    "rename of the directory": 'mv "$1" "$1-moved"; cat "$1-moved/$2"; mv "$1-moved" "$1"',
    "setxattr": 'python3 -c "import os, sys; os.setxattr(sys.argv[1], \'user.x\', b\'1\')" "$1/$2"; cat "$1/$2"',
    "mmap and O_RDWR": 'python3 -c "import mmap, os, sys; fd = os.open(sys.argv[1], os.O_RDWR); '
                       'print(mmap.mmap(fd, 0)[:].decode())" "$1/$2"',
    "as a user inside": 'setpriv --reuid 33 --regid 33 --clear-groups cat "$1/$2"',
    "in the group": 'setpriv --groups 0,4,33 cat "$1/$2"',
    "chroot": 'mkdir -p /tmp/root && chroot / cat "$1/$2"',
}


@pytest.mark.parametrize("way", WAYS)
def test_what_not_everybody_may_read_stays_closed(service, closed, way):
    with service.sandbox() as sandbox:
        for name in [*MODES, "closed/open"]:
            result = sandbox.exec(["sh", "-c", WAYS[way], "sh", str(closed), name]).result(SECONDS)
            assert SECRET.strip() not in result.stdout, f"{way}: {name}"
            assert result.stderr, f"{way}: {name}: nothing was tried"


def test_the_service_opens_them_for_nobody(service, closed):
    """Files are opened by init, with the capabilities of the sandbox's root."""
    with service.sandbox() as sandbox:
        for name in [*MODES, "closed/open"]:
            with pytest.raises(cwsandbox.SandboxFileError):
                sandbox.read_file(str(closed / name)).result(SECONDS)
        assert sandbox.read_file(str(closed / "everybody")).result(SECONDS) == b"open\n"


def test_what_the_machine_has_closed_is_closed_inside(shared_box, service):
    """The files as they are on this machine, tried by name."""
    found = []
    for directory, names, files in os.walk("/usr"):
        for name in files + names:
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode
            if not mode & 0o004 and not os.path.islink(path):
                found.append(path)
    if not found:
        pytest.skip("this machine has no such file in /usr")
    code = "import os, sys\nfor p in sys.stdin.read().split('\\0'):\n    try: os.listdir(p) if os.path.isdir(p) else open(p).close(); print(p)\n" \
           "    except OSError: pass"
    process = shared_box.exec(["python3", "-c", code], stdin=True)
    process.stdin.write("\0".join(found).encode()).result(SECONDS)
    process.stdin.close().result(SECONDS)
    assert process.result(SECONDS).stdout == ""


def test_files_of_the_machine_are_shown_with_their_owners_and_can_be_replaced(service, closed):
    if service.as_user:
        pytest.skip("root is not an owner of the machine's files in an ordinary user's sandboxes")
    with service.sandbox() as sandbox:
        script = 'cd "$1" && stat -c "%n %a %u:%g" everybody owner group closed; echo new >> everybody; cat everybody; ' \
                 'rm owner && echo replaced > owner && cat owner; mkdir made && ls made'
        result = sandbox.exec(["sh", "-c", script, "sh", str(closed)]).result(SECONDS)
        assert result.stdout == "everybody 644 0:0\nowner 600 0:0\ngroup 640 0:4\nclosed 700 0:0\nopen\nnew\nreplaced\n"
        assert result.stderr == ""
    assert (closed / "owner").read_text() == SECRET and (closed / "everybody").read_text() == "open\n"


def test_what_is_installed_on_the_machine_shows_in_new_sandboxes(service, closed):
    """Also a name that was looked for, or read, before. Sandboxes made ahead of time may still be the old ones."""
    name, other = closed / "installed", closed / "everybody"
    script = 'cat "$1" "$2"; true'

    def look():
        with service.sandbox() as sandbox:
            return sandbox.exec(["sh", "-c", script, "sh", str(name), str(other)]).result(SECONDS).stdout

    assert look() == "open\n"
    name.write_text("now\n")
    (closed / "replacement").write_text("upgraded\n")
    (closed / "replacement").rename(other)
    deadline = time.monotonic() + SECONDS
    while (seen := look()) != "now\nupgraded\n":
        assert time.monotonic() < deadline, seen


def libc_outside():
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/libc.so" in line or "/libc-" in line:
            return line.split()[-1]
    pytest.skip("this interpreter does not map a C library of the machine")


def inodes(service, *paths):
    with service.sandbox() as sandbox:
        return [int(n) for n in sandbox.exec(["stat", "-Lc", "%i", *paths]).result(SECONDS).stdout.split()]


def test_the_c_library_inside_is_a_file_that_nothing_outside_maps(service):
    """Or the lock of its mappings, in the hands of a crowd inside, holds up every fork of the machine."""
    libc = libc_outside()
    inside = inodes(service, libc, "/usr/bin/env")
    assert inside[1] == os.stat("/usr/bin/env").st_ino  # what is not copied shows the number that it has outside
    assert inside[0] != os.stat(libc).st_ino
    with service.sandbox() as sandbox:
        assert sandbox.read_file(libc).result(SECONDS) == Path(libc).read_bytes()


def test_a_c_library_that_has_changed_on_the_machine_is_copied_again(service):
    libc = libc_outside()
    if os.geteuid() != 0:
        pytest.skip("only root can touch the C library")
    [before] = inodes(service, libc)
    st = os.stat(libc)
    os.utime(libc, ns=(st.st_atime_ns, st.st_mtime_ns))  # a new time of change, and nothing else
    deadline = time.monotonic() + SECONDS
    while inodes(service, libc) == [before]:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("command", ["runuser -u nobody -- id -u", "su -s /bin/sh nobody -c 'id -u'", "setpriv --reuid 65534 id -u"])
def test_root_inside_becomes_another_user_by_the_usual_programs(shared_box, service, command):
    """They ask PAM and the accounts, of which a sandbox has its own. An ordinary user's sandboxes have one user."""
    if service.as_user:
        pytest.skip("only root exists in an ordinary user's sandboxes")
    result = shared_box.exec(["sh", "-c", command]).result(SECONDS)
    assert (result.stdout, result.stderr) == ("65534\n", "")


def test_manual_pages_are_found(shared_box):
    result = shared_box.exec(["sh", "-c", "command -v man >/dev/null || { echo none; exit; }; ls /usr/share/man/man1 | head -1 | sed 's/[.].*//' | xargs man -w"])
    assert result.result(SECONDS).returncode == 0 and not result.result(SECONDS).stderr
