"""What code in a sandbox tries against the machine, the sandbox's init and its neighbours, and what it must get."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import cwsandbox
import pytest
from conftest import SECONDS, family

SOURCE = Path(__file__).parent / "attempts.c"
# Every other attempt of attempts.c may end with any error, but not with success.
EXPECTED = {
    "x32": "ENOSYS",  # another table of system calls, past any filter by number
    "clone3_user": "ENOSYS",  # libc falls back to clone, whose flags are seen
    "socket_vsock": "EAFNOSUPPORT", "socket_alg": "EAFNOSUPPORT", "socketpair_vsock": "EAFNOSUPPORT",
    "socket_packet": "EAFNOSUPPORT",
    "io_uring_setup": "EPERM", "userfaultfd": "EPERM", "bpf": "EPERM", "keyctl": "EPERM",
    "io_setup": "ENOSYS", "mmap_huge": "EPERM", "memfd_huge": "EPERM", "shm_huge": "EPERM",
    **{f"netlink_{n}": "EPROTONOSUPPORT" for n in range(40)}, "given_0": "EOPNOTSUPP", "given_4": "EOPNOTSUPP", "given_16": "EOPNOTSUPP",
    **dict.fromkeys(("mincore", "cachestat", "kcmp", "process_madvise", "ustat", "vmsplice", "sched_setattr_idle"), "ENOSYS"),
    "sched_idle": "EPERM", "sched_idle_high": "EPERM", "preadv2_nowait": "EOPNOTSUPP",
    "open_kmsg": "ENOENT", "init_after_64_signals": "alive",
}


@pytest.fixture(scope="module")
def attempts(shared_box):
    """A function that runs one group of attempts.c inside and returns {name: errno or OPEN}."""
    shared_box.write_file("/tmp/attempts.c", SOURCE.read_bytes()).result(SECONDS)
    built = shared_box.exec(["cc", "-O1", "-o", "/tmp/attempts", "/tmp/attempts.c"]).result(SECONDS)
    if built.returncode == 127:
        pytest.skip("no C compiler in /usr")
    assert built.returncode == 0, built.stderr

    def run(group):
        result = shared_box.exec(["/tmp/attempts", group], timeout_seconds=SECONDS).result()
        assert result.returncode == 0, result
        return dict(line.split() for line in result.stdout.splitlines())

    return run


@pytest.mark.parametrize("group", ["kernel", "namespaces", "devices", "proc", "init", "sockets", "filters", "netlink",
                                   "others"])
def test_no_attempt_succeeds(attempts, group):
    got = attempts(group)
    assert len(got) > 4
    assert [name for name, answer in got.items() if answer == "OPEN"] == []
    assert {name: got[name] for name in EXPECTED if name in got} == {k: v for k, v in EXPECTED.items() if k in got}


def test_wishes_of_little_consequence_are_still_granted(shared_box):
    """Programs that ask for a lower priority run; one that tests what it got sees it (CPython's test_os)."""
    script = "nice -n 19 ionice -c 3 echo ran; nice -n 2 python3 -c 'import os; print(os.getpriority(0, 0))'; chrt -b 0 echo batch"
    result = shared_box.exec(["sh", "-c", script]).result(SECONDS)
    assert (result.stdout, result.stderr) == ("ran\n2\nbatch\n", "")


UEVENTS = """
import socket
try:
    s = socket.socket(16, 2, 15)
    s.bind((0, 1))
except OSError as e:
    print(e.errno, flush=True)
else:
    print("bound", flush=True)
    s.settimeout(10)
    print(s.recv(4096), flush=True)
"""


def test_device_events_of_the_machine_do_not_arrive(shared_box):
    """They are sent to every network namespace that the machine's user namespace owns."""
    assert shared_box.exec(["python3", "-c", UEVENTS]).result(SECONDS).stdout == "93\n"  # EPROTONOSUPPORT


def test_addresses_and_sockets_of_the_sandbox_are_told(shared_box):
    """What the remaining protocols of netlink are for."""
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(socket.if_nameindex(), flush=True); input()"
    process = shared_box.exec(["python3", "-c", code], stdin=True)
    assert next(process.stdout) == "[(1, 'lo')]\n"
    listing = shared_box.exec(["sh", "-c", "command -v ss >/dev/null && ss -Hltn || echo 127.0.0.1"]).result(SECONDS)
    assert "127.0.0.1" in listing.stdout and not listing.stderr
    process.stdin.close().result(SECONDS)


def test_descriptors_inherited_are_stdio_and_nothing_else(shared_box):
    listing = shared_box.exec(["python3", "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:4])"]).result()
    assert listing.stdout == "[0, 1, 2, 3]\n"  # 3: the directory being listed


def test_the_environment_of_the_service_stays_outside(shared_box):
    script = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; env"
    assert "HOST_SECRET" not in shared_box.exec(["sh", "-c", script]).result().stdout


@pytest.mark.parametrize("path", [
    "/proc/1/root/etc/passwd", "/proc/self/root/etc/passwd", "/proc/1/cwd/etc/passwd", "/proc/self/exe", "/proc/1/exe",
    "/proc/1/fd/3", "/proc/self/fd/3", "/proc/self/fd/4", "/dev/fd/3", "/dev/stdin", "/proc/1/task/1/root/etc/passwd",
    "/proc/1/map_files", "/proc/self/ns/mnt", "/proc/kcore", "/proc/kmsg", "/proc/1/mem",
])
def test_magic_links_of_init_lead_nowhere(shared_box, path):
    """Files are opened by init, so /proc/self is init there: its links must not be followed for the client."""
    with pytest.raises(cwsandbox.SandboxFileError):
        shared_box.read_file(path).result(SECONDS)
    assert shared_box.exec(["true"]).result().returncode == 0


@pytest.mark.parametrize("target", ["/proc/1/root", "/proc/self/root", "/proc/1/cwd", "/proc/self/fd/4"])
def test_a_link_to_a_magic_link_is_no_way_round(box, target):
    box.exec(["ln", "-s", target, "/tmp/link"]).result()
    with pytest.raises(cwsandbox.SandboxFileError):
        box.read_file("/tmp/link/etc/passwd").result(SECONDS)
    with pytest.raises(cwsandbox.SandboxFileError):
        box.write_file("/tmp/link/tmp/x", b"x").result(SECONDS)


@pytest.mark.parametrize("path", ["/proc/self/mem", "/proc/1/mem", "/proc/1/oom_score_adj", "/proc/sys/kernel/core_pattern",
                                  "/proc/sys/user/max_user_namespaces", "/proc/self/uid_map", "/dev/null", "/proc/1/fd/3"])
def test_writing_through_init_reaches_nothing(box, path):
    box.exec(["ln", "-s", path, "/tmp/link"]).result()
    for name in (path, "/tmp/link"):
        with pytest.raises(cwsandbox.SandboxFileError):
            box.write_file(name, b"-999").result(SECONDS)
    assert box.exec(["cat", "/proc/1/oom_score_adj"]).result().stdout == "0\n"


def test_paths_do_not_climb_out(box, service):
    (service.dir / "outside").write_text("host")
    for path in ("/../" * 40 + str(service.dir / "outside"), str(service.dir / "outside"), str(service.log_path)):
        with pytest.raises(cwsandbox.SandboxFileError):
            box.read_file(path).result(SECONDS)


def test_a_program_of_the_host_cannot_be_changed(service, box):
    """Writes go to the sandbox's own layer, also through hard links and /proc/self/exe."""
    before = os.stat("/usr/bin/env")
    script = """
        ln /usr/bin/env /usr/bin/env2; echo changed > /usr/bin/env2; echo changed > /usr/bin/env
        rm -f /usr/bin/true; mv /usr/bin/false /usr/bin/moved; chmod 4777 /usr/bin/cat; chown 1:1 /usr/bin/ls
        mkdir -p /usr/bin/dir && rm -rf /usr/share/doc; cat /usr/bin/env
    """
    text = box.exec(["sh", "-c", script]).result(SECONDS).stdout
    if not service.as_user:  # whose sandboxes cannot write to files of other users of the machine, not even to a copy
        assert text == "changed\n"
    after = os.stat("/usr/bin/env")
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)
    assert os.path.exists("/usr/bin/true") and os.path.exists("/usr/bin/false") and os.path.isdir("/usr/share/doc")
    assert not os.stat("/usr/bin/cat").st_mode & 0o4000
    write_self = "try: open('/proc/self/exe', 'wb')\nexcept OSError as e: print(e.errno)"
    assert box.exec(["python3", "-c", write_self]).result().stdout.strip() in ("26", "13", "30")


def test_setuid_and_file_capabilities_are_void(box):
    code = "import os; print(os.geteuid(), [l for l in open('/proc/self/status') if l.startswith(('CapEff', 'NoNew'))])"
    script = f"""
        cp /usr/bin/python3.11 /tmp/py 2>/dev/null || cp "$(readlink -f /usr/bin/python3)" /tmp/py
        chmod 4755 /tmp/py; grep CapBnd /proc/self/status; /tmp/py -c "{code}"
    """
    out = box.exec(["sh", "-c", script]).result(SECONDS).stdout
    mask = int(out.split()[1], 16)
    assert mask & (1 << 21 | 1 << 12 | 1 << 13 | 1 << 19 | 1 << 27 | 1 << 16) == 0  # SYS_ADMIN NET_* PTRACE MKNOD MODULE
    assert "NoNewPrivs:\\t1" in out


def test_abstract_sockets_of_the_host_are_elsewhere(shared_box):
    name = f"\0cws-security-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(name)
        s.listen()
        code = f"import socket; s = socket.socket(socket.AF_UNIX); print(s.connect_ex({name!r}))"
        assert shared_box.exec(["python3", "-c", code]).result().stdout == "111\n"


def test_loopback_of_the_host_is_elsewhere(shared_box):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        code = f"import socket; s = socket.socket(); print(s.connect_ex(('127.0.0.1', {port})))"
        assert shared_box.exec(["python3", "-c", code]).result().stdout == "111\n"
        outside = "import socket; s = socket.socket(); s.settimeout(5); print(s.connect_ex(('192.0.2.1', 80)))"
        assert shared_box.exec(["python3", "-c", outside]).result().stdout == "101\n"  # ENETUNREACH


def test_mounts_of_the_sandbox_name_no_directory_of_the_host(shared_box, service):
    mountinfo = shared_box.exec(["cat", "/proc/self/mountinfo"]).result().stdout
    assert str(service.dir) not in mountinfo and "/home" not in mountinfo and "/var/lib" not in mountinfo


MAKE_SHARED_THINGS = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
assert libc.shmget(4242, 4096, 0o1666) >= 0
assert libc.msgget(4242, 0o1666) >= 0
assert libc.semget(4242, 1, 0o1666) >= 0
open("/dev/shm/shared", "w").write("x"); open("/tmp/shared", "w").write("x"); os.mkfifo("/tmp/fifo")
import socket
s = socket.socket(socket.AF_UNIX); s.bind("\\0neighbour"); s.listen()
t = socket.create_server(("127.0.0.1", 4242))
print(os.getpid(), flush=True)
time.sleep(1000)
"""
LOOK_FOR_THEM = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
found = []
for name, args in (("shmget", (4242, 4096, 0)), ("msgget", (4242, 0)), ("semget", (4242, 1, 0))):
    if getattr(libc, name)(*args) >= 0: found.append(name)
found += [p for p in ("/dev/shm/shared", "/tmp/shared", "/tmp/fifo") if os.path.exists(p)]
if socket.socket(socket.AF_UNIX).connect_ex("\\0neighbour") == 0: found.append("abstract")
if socket.socket().connect_ex(("127.0.0.1", 4242)) == 0: found.append("loopback")
for pid in range(2, 5000):
    if pid != os.getpid():
        try:
            os.kill(pid, 9); found.append(pid)
        except ProcessLookupError:
            pass
print(found)
"""


def test_neighbours_share_nothing(service, box):
    """The same outside users, the same names, the same pids: namespaces alone keep them apart."""
    process = box.exec(["python3", "-c", MAKE_SHARED_THINGS])
    assert next(process.stdout).strip().isdigit()
    with service.sandbox() as other:
        assert other.exec(["python3", "-c", LOOK_FOR_THEM]).result(SECONDS).stdout == "[]\n"
    assert process.poll() is None
    assert "shmget" in box.exec(["python3", "-c", LOOK_FOR_THEM]).result(SECONDS).stdout  # the look does find them
    service.alive()


def test_a_new_sandbox_has_nothing_of_an_old_one(service):
    for _ in range(3):
        with service.sandbox() as sandbox:
            script = "ls -A /tmp /root /dev/shm /home /run/lock /var/tmp; ls /proc | grep -c '^[0-9]'; echo x > /tmp/x; " \
                     "echo x > /dev/shm/x; echo x > /root/x; echo x > /usr/x; (sleep 1000 &) >/dev/null 2>&1"
            out = sandbox.exec(["sh", "-c", script]).result().stdout
            assert "x" not in out.split()


@pytest.mark.parametrize("attack", [
    "import resource; resource.prlimit(1, resource.RLIMIT_NOFILE, (4, 4))",  # init receives no descriptor any more
    "import resource; resource.prlimit(1, resource.RLIMIT_AS, (4096, 4096))",
    "open('/proc/1/oom_score_adj', 'w').write('1000')",
    "import os; os.kill(-1, 9)",
    "import os; os.killpg(0, 9)",
])
def test_a_sandbox_that_hurts_itself_hurts_nobody_else(service, attack):
    with service.sandbox() as neighbour:
        witness = neighbour.exec(["cat"], stdin=True)
        with service.sandbox() as sandbox:
            for command in (["python3", "-c", attack], ["echo", "still here"]):
                try:
                    sandbox.exec(command, timeout_seconds=20).result(SECONDS)
                except cwsandbox.CWSandboxError:
                    pass  # it may have ended itself
        witness.stdin.writeline("ping").result(SECONDS)
        assert next(witness.stdout) == "ping\n"
        witness.stdin.close().result(SECONDS)
    service.alive()


def test_nothing_runs_as_root_of_the_machine(service, box):
    process = box.exec(["sh", "-c", "echo up; exec sleep 4243"])
    assert next(process.stdout) == "up\n"
    with service.sandbox():
        pids = family(service.process.pid)
    uids = {}
    for pid, _ in pids:
        try:
            text = Path(f"/proc/{pid}/status").read_text()
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        if b"4243" in words:
            uids = {int(u) for u in fields["Uid"].split() + fields["Gid"].split()}
            assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    assert uids and 0 not in uids
    assert process.cancel()
