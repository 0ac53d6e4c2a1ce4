"""What is left to somebody who took the daemon over: its user, its groups, its capabilities, as /proc tells them.

The filter of system calls is tried in src/server/test-confine.c; here is what the calls it lets through can reach."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import daemon_below

# Opens for writing only, and writes nothing; prints what succeeded.
ATTEMPTS = r"""
import os, sys
opened = []
def attempt(name, call):
    try:
        call()
    except OSError:
        return
    opened.append(name)
for path in ("/etc/passwd", "/etc/shadow", "/etc/ld.so.cache", "/usr/bin/env", "/proc/sys/kernel/core_pattern",
             "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/dev/mem", "/dev/kvm"):
    attempt("write " + path, lambda: os.close(os.open(path, os.O_WRONLY)))
attempt("create in /etc", lambda: os.close(os.open("/etc/cws-takeover", os.O_CREAT | os.O_WRONLY)))
attempt("read /etc/shadow", lambda: os.close(os.open("/etc/shadow", os.O_RDONLY)))
data, pids = sys.argv[1], map(int, sys.argv[2:])
os.chdir(data)
attempt("write the lock", lambda: os.close(os.open("lock", os.O_WRONLY)))
attempt("take launch/ away", lambda: os.rename("launch", "elsewhere"))
attempt("look into launch/", lambda: os.listdir("launch"))
for pid in pids:
    attempt("signal launch", lambda: os.kill(pid, 0))
    attempt("memory of launch", lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)))
print(opened)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a daemon with a uid of its own needs root")
def test_a_daemon_that_was_taken_over_changes_nothing_of_the_machine(own_service):
    service = own_service()
    daemon = daemon_below(service.process.pid)
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{daemon}/status").read_text().splitlines() if ":\t" in line)
    uid, gid = fields["Uid"].split()[0], fields["Gid"].split()[0]
    assert uid != "0" and fields["Groups"].strip() == "" and int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    # The way to the data directory may be closed to the daemon, which stands in it; what it can do there is tried with the way open.
    data = os.readlink(f"/proc/{daemon}/cwd")
    parent = Path(data).parent
    mode = parent.stat().st_mode
    parent.chmod(mode | 0o111)
    try:
        done = subprocess.run(
            ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
             "--ambient-caps=-all", "--no-new-privs", "/usr/bin/python3", "-c", ATTEMPTS, data, str(service.process.pid)],
            capture_output=True, text=True, check=True)
    finally:
        parent.chmod(mode)
    assert done.stdout == "[]\n", done.stdout + done.stderr
