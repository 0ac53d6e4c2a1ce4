"""Scratch volumes: empty directories that go with their sandbox, on its disk or in its memory."""

import uuid

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from service import failure
from test_adoption import settled
from test_disk import disk_service  # noqa: F401
from test_restart import kill_daemon

DISK, MEMORY = pb.STORAGE_MEDIUM_DISK, pb.STORAGE_MEDIUM_MEMORY


def volume(name="v", **scratch):
    return pb.SandboxVolume(name=name, scratch=pb.ScratchVolume(**scratch))


def at(path, name="v", **more):
    return pb.VolumeMount(volume=name, mount_path=path, **more)


def test_a_volume_is_everybodys_and_takes_the_place_of_tmp(service):
    box = service.create(volumes=[volume(size="10Gi")], volume_mounts=[at("/tmp")])
    assert box.sh("ls -A /tmp; stat -c %a /tmp") == "1777\n"
    box.write("/tmp/from-outside", b"x")
    other = {} if service.as_user else {"metadata": [("x-cwsandbox-exec-user", "1000")]}
    box.stub.Exec(pb.ExecRequest(sandbox_id=box.id, command=["/bin/sh", "-c", "id -u > /tmp/who"]), timeout=60, **other)
    assert box.sh("cat /tmp/who") == ("0\n" if service.as_user else "1000\n")
    assert box.read("/tmp/from-outside") == b"x"
    echoed = box.get().spec
    assert [v.name for v in echoed.volumes] == ["v"] and echoed.volumes[0].scratch.size == "10Gi"
    assert echoed.containers[0].volume_mounts[0].mount_path == "/tmp"
    box.delete()


def test_one_volume_at_several_places(service):
    mounts = [at("/srv/a/deep/part/", sub_path="part/two"), at("/srv/a"), at("/srv/read", read_only=True), at("/dev/shm")]
    box = service.create(volumes=[volume(), volume("unused")], volume_mounts=mounts)
    assert box.sh("echo 1 > /srv/a/one; cat /srv/read/one /dev/shm/one") == "1\n1\n"
    assert box.sh("echo 2 > /srv/a/deep/part/two; cat /srv/read/part/two/two") == "2\n"
    assert box.sh("stat -c %a /srv/a/part /srv/a/part/two") == "1777\n1777\n"
    done = box.run("/bin/sh", "-c", "echo 3 > /srv/read/three")
    assert done.exit_code != 0 and b"Read-only file system" in done.stderr
    box.delete()


def test_a_volume_of_memory_has_its_size(service):
    box = service.create(volumes=[volume(size="2Mi", medium=MEMORY)], volume_mounts=[at("/fast"), at("/part", sub_path="p")])
    assert box.sh("stat -f -c '%T %b %S' /fast") == "tmpfs 512 4096\n"
    said = box.sh("dd if=/dev/zero of=/part/f bs=1M 2>&1; stat -c %s /fast/p/f; stat -c %a /fast")
    assert "No space left on device" in said and said.endswith(f"{2 << 20}\n1777\n")
    box.delete()


def test_more_than_a_sandbox_has_in_memory_is_memory_of_that_size(service):
    box = service.create(volumes=[volume("large", size="3Gi"), volume("small", size="1Mi")],
                         volume_mounts=[at("/large", "large"), at("/small", "small")])
    assert box.sh("stat -f -c %b /large") == f"{3 << 18}\n"
    assert box.sh("test $(stat -c %d /small) = $(stat -c %d /tmp) && echo shared") == "shared\n"
    box.delete()


def test_volumes_stay_as_they_are_with_another_daemon(own_service):
    service = own_service(args=["--accept-unenforced-limits"])
    box = service.create(volumes=[volume()], volume_mounts=[at("/data")])
    box.write("/data/f", b"kept")
    kill_daemon(service)
    assert settled(lambda: box.read("/data/f")) == b"kept"
    assert box.get().spec.volumes[0].name == "v"


def test_volumes_share_the_disk_and_cannot_be_larger(disk_service):  # noqa: F811
    box = disk_service.create(volumes=[volume("a", size="32Mi"), volume("b", size="32Mi", medium=DISK)],
                              volume_mounts=[at("/a", "a"), at("/b", "b")])
    assert box.sh("stat -f -c %T /a /b") == "ext2/ext3\next2/ext3\n"
    said = box.sh("dd if=/dev/zero of=/a/f bs=1M 2>&1; rm /a/f; echo still > /b/f; cat /b/f")
    assert "No space left on device" in said and said.endswith("still\n")
    error = failure(disk_service.create, volumes=[volume("a", size="32Mi"), volume("b", size="33Mi")])
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_RESOURCE_CEILING_EXCEEDED")
    assert error.violations == ["sandbox.spec.volumes.scratch.size"] and "--root-size" in error.text


@pytest.mark.parametrize("volumes, mounts, field", [
    ([volume("No Label")], [], "volumes.name"),
    ([volume(""), ], [], "volumes.name"),
    ([volume(), volume()], [], "volumes.name"),
    ([volume(size="much")], [], "volumes.scratch.size"),
    ([volume(size="0")], [], "volumes.scratch.size"),
    ([volume(medium=7)], [], "volumes.scratch.medium"),
    ([volume(f"v{i}") for i in range(17)], [], "volumes"),
    ([volume()], [at(f"/m{i}") for i in range(17)], "containers[0].volume_mounts"),
    ([volume()], [at("/v", "other")], "containers[0].volume_mounts.volume"),
    *[([volume()], [at(path)], "containers[0].volume_mounts.mount_path")
      for path in ("", "relative", "/", "//", "/a/../b", "/a/./b", "/a//b", "/..", "/proc", "/proc/1", "/sys/", "/dev", "/dev/pts", "/" + "x" * 255)],
    ([volume()], [at("/v"), at("/v/")], "containers[0].volume_mounts.mount_path"),
    *[([volume()], [at("/v", sub_path=path)], "containers[0].volume_mounts.sub_path")
      for path in ("/abs", "..", "a/../../b", "a//b", "a/", "x" * 255)],
])
def test_a_volume_that_cannot_be_names_its_field(service, volumes, mounts, field):
    error = failure(service.create, volumes=volumes, volume_mounts=mounts)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.violations == [f"sandbox.spec.{field}"]


def test_what_volumes_are_not_built_for_is_refused_by_name(service):
    error = failure(service.create, volumes=[volume(restore_from_snapshot_id="snap")])
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "CWSANDBOX_FSS_NOT_SUPPORTED")
    assert error.violations == ["sandbox.spec.volumes.scratch.restore_from_snapshot_id"]
    error = failure(service.create, volumes=[volume(medium=DISK)])
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "CWSANDBOX_NOT_IMPLEMENTED")
    assert error.violations == ["sandbox.spec.volumes.scratch.medium"]


def test_a_volume_may_not_be_where_a_file_is(service):
    box = service.create(volumes=[volume()], volume_mounts=[at("/etc/passwd")])
    assert box.message.status.state == pb.STATE_FAILED and "mount volume: Not a directory" in box.message.status.state_reason


def test_a_request_with_volumes_repeats(service):
    request = pb.CreateSandboxRequest(request_id=str(uuid.uuid4()), sandbox=pb.Sandbox(spec=pb.SandboxSpec(
        volumes=[volume()], containers=[pb.Container(name="main", image="host", volume_mounts=[at("/v")])])))
    first, again = (service.stub.CreateSandbox(request, timeout=60) for _ in range(2))
    assert first.sandbox_id == again.sandbox_id
    service.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=first.sandbox_id), timeout=60)
