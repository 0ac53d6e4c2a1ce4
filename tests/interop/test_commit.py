"""Commits over the wire: where the operator allows them, by whom, and after the daemon was replaced."""

from types import SimpleNamespace

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from coreweave.sandbox.v1 import sandbox_pb2_grpc as rpc

from conftest import BUILD, users
from service import KEY, OPTIONS, TIMEOUT, Service, failure
from test_adoption import settled
from test_restart import kill_daemon

PROGRAM = BUILD / "src/image/cwsandbox-image"
FILES = "x-cwsandbox-exec-files"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="no cwsandbox-image")


def serve(as_user: bool, *args: str) -> Service:
    return Service(as_user=as_user, args=["--accept-unenforced-limits", "--image-path", str(PROGRAM), *args])


@pytest.fixture(scope="module", params=users())
def service(request):
    with serve(request.param == "user", "--image-commit") as service:
        yield service


def commit(box, *words: str, key: str = "", **init) -> list:
    request = pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=box.id, command=["cwsandbox-files", "commit", *words], **init))
    return list(box.stub.StreamExec(iter([request]), timeout=TIMEOUT, metadata=[(FILES, "1"), *([("authorization", f"Bearer {key}")] if key else [])]))


def test_the_answer_is_the_id(service):
    box = service.create()
    box.sh("echo kept > /srv/kept")
    ready, out, end = commit(box, "cws-test/wire:1")
    assert ready.HasField("ready") and out.output.data.startswith(b"sha256:") and len(out.output.data) == 71 and end.exit.exit_code == 0
    for words, fields in (((), {}), (("a", "b"), {}), (("a",), {"tty": True}), (("a",), {"env": {"A": "b"}}), (("UP/x",), {})):
        assert failure(commit, box, *words, **fields).code == grpc.StatusCode.INVALID_ARGUMENT
    box.delete()


def test_a_sandbox_that_was_taken_over_is_committed_as_before(service):
    box = service.create()
    box.sh("echo one > /srv/one")
    commit(box, "cws-test/wire:2")
    other = service.create(image="cws-test/wire:2")
    status = other.get(wait="stable").status
    if "mount layers: Operation not supported" in status.state_reason:
        pytest.skip("the file system of the store has no idmapped mounts here")
    other.sh("echo two > /srv/two")
    kill_daemon(service)
    settled(other.get)
    commit(other, "cws-test/wire:3")
    last = service.create(image="cws-test/wire:3")
    assert last.sh("cat /srv/one /srv/two") == "one\ntwo\n"
    for sandbox in (box, other, last):
        sandbox.delete()


@pytest.mark.parametrize("as_user", [user == "user" for user in users()])
def test_only_where_the_operator_allows_it_and_of_ones_own(as_user):
    with serve(as_user) as service:
        box = service.create()
        refused = failure(commit, box, "cws-test/wire:4")
        assert refused.code == grpc.StatusCode.UNIMPLEMENTED and "--image-commit" in refused.text
        with grpc.insecure_channel(service.tcp, OPTIONS) as channel:
            other = SimpleNamespace(stub=rpc.SandboxServiceStub(channel), id=box.id)
            assert failure(commit, other, "cws-test/wire:4", key=KEY).code == grpc.StatusCode.NOT_FOUND
