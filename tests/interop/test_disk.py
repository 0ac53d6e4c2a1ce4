"""Sandboxes that write to a disk of their own: `--root-backing disk`."""

import os
import signal
from pathlib import Path

import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from test_adoption import settled
from test_renew import renew
from test_restart import kill_daemon

MIB = 1 << 20
ARGS = ["--root-backing", "disk", "--root-size", "64Mi"]


@pytest.fixture
def disk_service(own_service):
    if own_service.as_user:
        pytest.skip("an ordinary user has no disks")
    if not os.path.exists("/dev/loop-control") or not os.path.exists("/sbin/mkfs.ext4"):
        pytest.skip("no loop devices, or no mkfs.ext4, here")
    return own_service(args=ARGS)


def backing_files(service):
    """Of loop devices whose files are in the service's data directory."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.append(path.read_text())
        except OSError:
            pass  # it went
    return [text for text in found if text.startswith(str(service.dir))]


def test_a_disk_is_limited_and_says_that_it_is_full(disk_service):
    box = disk_service.create()
    assert box.sh("stat -f -c %T /tmp /dev/shm") == "ext2/ext3\ntmpfs\n"
    said = box.sh("dd if=/dev/zero of=/root/f bs=1M 2>&1; rm /root/f; echo still > /root/f; cat /root/f")
    assert "No space left on device" in said and said.endswith("still\n")


def test_disks_outlive_the_programs_and_go_with_their_sandboxes(disk_service):
    box = disk_service.create()
    box.write("/root/f", b"kept")
    assert backing_files(disk_service)
    kill_daemon(disk_service)
    assert settled(lambda: box.read("/root/f")) == b"kept"
    renew(disk_service, signal.SIGUSR2)  # cwsandbox-launch, too
    assert box.read("/root/f") == b"kept"
    box.write("/root/g", b"x" * MIB)
    assert box.get().status.state == pb.STATE_RUNNING
    box.delete()


def test_a_user_is_told_that_there_are_no_disks(own_service):
    if not own_service.as_user:
        pytest.skip("root has disks")
    service = own_service(args=ARGS, expect_ready=False)
    assert "root-backing: disk: sandboxes cannot have one: an ordinary user" in service.ready
