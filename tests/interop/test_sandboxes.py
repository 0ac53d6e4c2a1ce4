"""Create, Get, List, Delete with grpcio."""

import time
import uuid

import grpc
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb

from service import TIMEOUT, failure

TERMINAL = (pb.STATE_COMPLETED, pb.STATE_FAILED, pb.STATE_TERMINATED)


def test_create_answers_with_a_running_sandbox(service):
    box = service.create()
    status = box.message.status
    assert status.state == pb.STATE_RUNNING
    assert status.start_time.seconds > 0
    assert status.runner_id.strip() and status.runner_group_id
    assert not status.HasField("exit_code")
    again = box.get()
    assert again.status.start_time == status.start_time
    box.delete()


def test_a_short_command_completes_with_its_exit_code(service):
    for code in (0, 7):
        box = service.create("/bin/sh", ["-c", f"exit {code}"])
        ended = box.get(wait="terminal")
        assert ended.status.state == pb.STATE_COMPLETED
        assert ended.status.HasField("exit_code") and ended.status.exit_code == code
        assert ended.status.HasField("end_time")


NETWORK = """
import socket
with socket.create_server(("127.0.0.1", 80)) as server, socket.create_connection(("127.0.0.1", 80)):
    server.accept()[0].close()
socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
print("ok")
"""


def test_every_sandbox_may_use_low_ports_and_ping(service):
    """More of them than are configured through one /proc (src/launch/netns.c)."""
    for _ in range(70):
        box = service.create()
        assert box.run("python3", "-I", "-c", NETWORK).stdout == b"ok\n"
        box.delete()


def test_the_spec_comes_back_verbatim(service):
    requirements = pb.ResourceRequirements(requests=pb.Resources(cpu="500m", memory="256Mi"),
                                           limits=pb.Resources(cpu="1", memory="1Gi"))
    box = service.create("/bin/sh", ["-c", "sleep infinity"], environment_variables={"A": "1"},
                         resource_requirements=requirements, tags=["t1", "t2"], annotations={"k": "v"},
                         max_lifetime_seconds=60, network=pb.NetworkOptions(deny_egress=True, deny_ingress=False))
    got = box.get()
    spec = got.spec
    assert spec.containers[0].image == "python:3.11" and list(spec.containers[0].args) == ["-c", "sleep infinity"]
    assert dict(spec.containers[0].environment_variables) == {"A": "1"}
    assert list(spec.tags) == ["t1", "t2"] and dict(spec.annotations) == {"k": "v"}
    assert not spec.HasField("network")  # INPUT_ONLY
    assert got.status.effective_resource_requirements == requirements
    assert got.status.effective_max_lifetime_seconds == 60
    box.delete()


def test_mounted_files_are_there_before_the_command_runs(service):
    box = service.create("/bin/cat", ["/workspace/deep/a.txt"],
                         files=[pb.FileMount(path="/workspace/deep/a.txt", content=b"mounted\n")])
    box.get(wait="terminal")
    assert b"".join(e.data for e in box.logs()) == b"mounted\n"
    assert list(box.get().spec.containers[0].files) == [pb.FileMount(path="/workspace/deep/a.txt", content=b"mounted\n")]


def test_files_that_answers_cannot_hold_are_left_out_of_them(service):
    """Without their content they would be empty files in whatever is made from the answer."""
    files = [pb.FileMount(path="/workspace/small", content=b"x"), pb.FileMount(path="/workspace/big", content=bytes(2 << 20))]
    box = service.create(files=files)
    assert not box.message.spec.containers[0].files and not box.get().spec.containers[0].files
    assert box.sh("wc -c </workspace/small; wc -c </workspace/big").split() == ["1", str(2 << 20)]
    box.delete()


def test_the_same_request_id_gives_the_same_sandbox(service):
    request = pb.CreateSandboxRequest(request_id=str(uuid.uuid4()), sandbox=pb.Sandbox(spec=pb.SandboxSpec(
        containers=[pb.Container(name="main", image="host")])))
    first = service.stub.CreateSandbox(request, timeout=TIMEOUT)
    futures = [service.stub.CreateSandbox.future(request, timeout=TIMEOUT) for _ in range(5)]
    assert {f.result().sandbox_id for f in futures} == {first.sandbox_id}
    service.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=first.sandbox_id), timeout=TIMEOUT)


@pytest.mark.parametrize("change", [
    {"command": "/bin/true"}, {"environment_variables": {"A": "2"}}, {"files": [pb.FileMount(path="/a", content=b"y")]},
    {"display_name": "other"}, {"tags": ["t2"]}])
def test_a_request_id_is_good_for_one_request(service, change):
    def create(**fields):
        spec = {"tags": fields.pop("tags", ["t"])}
        name = fields.pop("display_name", "one")
        container = {"environment_variables": {"A": "1", "B": "2"}, "files": [pb.FileMount(path="/a", content=b"x")]} | fields
        return service.stub.CreateSandbox(pb.CreateSandboxRequest(request_id=request_id, sandbox=pb.Sandbox(
            display_name=name, spec=pb.SandboxSpec(containers=[pb.Container(image="host", **container)], **spec))), timeout=TIMEOUT)

    request_id = str(uuid.uuid4())
    first = create()
    assert create(environment_variables={"B": "2", "A": "1"}).sandbox_id == first.sandbox_id
    error = failure(create, **change)
    assert error.code == grpc.StatusCode.ALREADY_EXISTS and error.reason == "CWSANDBOX_REQUEST_ID_CONFLICT"
    assert error.metadata == {"sandbox_id": first.sandbox_id}
    service.stub.DeleteSandbox(pb.DeleteSandboxRequest(sandbox_id=first.sandbox_id), timeout=TIMEOUT)


def test_a_full_service_says_so_and_when_to_ask_again(own_service):
    service = own_service(args=["--max-sandboxes", "1"])
    box = service.create()
    error = failure(service.create)
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED and error.reason == "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED"
    assert 0 < error.retry_delay <= 10 and "max-sandboxes" in error.text
    box.delete()
    box.get(wait="terminal")
    service.create().delete()


def test_an_unknown_image_fails_the_sandbox_with_a_reason(service):
    message = service.stub.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=pb.SandboxSpec(
        containers=[pb.Container(name="main", image="127.0.0.1:1/no-such-image:1")]))), timeout=TIMEOUT)
    got = service.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=message.sandbox_id), timeout=TIMEOUT,
                                  metadata=[("x-cwsandbox-wait", "terminal")])
    assert got.status.state == pb.STATE_FAILED
    assert "no-such-image:1" in got.status.state_reason


def test_answers_name_the_server_version(service):
    _, call = service.stub.ListSandboxes.with_call(pb.ListSandboxesRequest(), timeout=TIMEOUT)
    assert dict(call.initial_metadata())["x-cwsandbox-server"]


def test_a_wait_ends_shortly_before_the_deadline_with_the_state_as_it_is(service, sandbox):
    begin = time.monotonic()
    got = service.stub.GetSandbox(pb.GetSandboxRequest(sandbox_id=sandbox.id), timeout=0.4,
                                  metadata=[("x-cwsandbox-wait", "terminal")])
    assert got.status.state == pb.STATE_RUNNING
    assert 0.2 < time.monotonic() - begin < 0.4


def test_a_wait_ends_with_the_state(service):
    box = service.create()
    future = service.stub.GetSandbox.future(pb.GetSandboxRequest(sandbox_id=box.id), timeout=TIMEOUT,
                                            metadata=[("x-cwsandbox-wait", "terminal")])
    box.delete()
    assert future.result().status.state in TERMINAL


def test_a_stopped_sandbox_ends_terminated_and_stays_readable(service):
    box = service.create("/bin/sleep", ["infinity"])
    answer = box.delete(grace=10)
    assert answer.sandbox.sandbox_id == box.id
    assert answer.sandbox.status.state in (pb.STATE_TERMINATING, *TERMINAL)
    begin = time.monotonic()
    ended = box.get(wait="terminal")
    assert ended.status.state in (pb.STATE_TERMINATED, pb.STATE_COMPLETED)
    assert time.monotonic() - begin < 5, "sleep dies of SIGTERM, not of the grace period"
    assert box.delete().sandbox.status.state in TERMINAL


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(service):
    box = service.create("/bin/sh", ["-c", "trap '' TERM; while :; do sleep 1; done"])
    box.delete(grace=1)
    assert box.get(wait="terminal").status.state in (pb.STATE_TERMINATED, pb.STATE_COMPLETED)


def test_deletes_at_once_are_all_answered_with_the_sandbox(service):
    box = service.create("/bin/sleep", ["infinity"])
    request = pb.DeleteSandboxRequest(sandbox_id=box.id, grace_period_seconds=0)
    answers = [f.result() for f in [service.stub.DeleteSandbox.future(request, timeout=TIMEOUT) for _ in range(20)]]
    assert {a.sandbox.sandbox_id for a in answers} == {box.id}
    assert {a.sandbox.status.state for a in answers} <= {pb.STATE_TERMINATING, *TERMINAL}
    assert box.get(wait="terminal").status.state == pb.STATE_TERMINATED


def test_the_end_of_a_lifetime_is_a_termination(service):
    ended = service.create("/bin/sleep", ["infinity"], max_lifetime_seconds=1).get(wait="terminal")
    assert ended.status.state == pb.STATE_TERMINATED
    assert "lifetime" in ended.status.state_reason


def test_mounted_files_are_read_only_for_those_who_are_not_root(service):
    box = service.create(files=[pb.FileMount(path="/workspace/a", content=b"x")])
    assert box.sh("stat -c %a /workspace/a") == "444\n"
    box.delete()


def test_deleting_what_is_not_there(service):
    missing = pb.DeleteSandboxRequest(sandbox_id="sb-0000000000000000", allow_missing=True)
    answer = service.stub.DeleteSandbox(missing, timeout=TIMEOUT)
    assert not answer.HasField("sandbox") and not answer.file_system_snapshot_ids
    missing.allow_missing = False
    error = failure(service.stub.DeleteSandbox, missing, timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.NOT_FOUND and error.reason == "CWSANDBOX_SANDBOX_NOT_FOUND"


def listed(service, **fields):
    """All ids through all pages; checks that no page is empty."""
    ids, token = [], ""
    while True:
        page = service.stub.ListSandboxes(pb.ListSandboxesRequest(page_token=token, **fields), timeout=TIMEOUT)
        assert page.sandboxes or not token, "an empty page"
        ids += [s.sandbox_id for s in page.sandboxes]
        if not page.next_page_token:
            return ids
        assert page.next_page_token != token
        token = page.next_page_token


def test_pages_of_one_hold_matching_entries_only(service):
    tag = f"page-{uuid.uuid4().hex[:8]}"
    mine = []
    for i in range(3):
        mine.append(service.create(tags=[tag, f"n{i}"]))
        service.create(tags=["other"]).delete()
    assert listed(service, tags=[tag], page_size=1) == [b.id for b in mine]
    assert listed(service, tags=[tag, "n1"]) == [mine[1].id]
    assert listed(service, tags=[tag, "absent"]) == []
    mine[1].delete()
    mine[1].get(wait="terminal")
    assert listed(service, tags=[tag], page_size=1) == [mine[0].id, mine[2].id]
    assert listed(service, tags=[tag], page_size=2, show_terminated=True) == [b.id for b in mine]
    ended = mine[1].get().status.state
    assert listed(service, tags=[tag], state=ended) == [mine[1].id]
    assert listed(service, tags=[tag], runner_ids=["elsewhere"]) == []
    for b in (mine[0], mine[2]):
        b.delete()


@pytest.mark.parametrize("field", ["tags", "runner_ids"])
def test_a_filter_is_no_longer_than_what_a_sandbox_can_have(service, field):
    assert listed(service, **{field: ["absent"] * 100}) == []
    error = failure(listed, service, **{field: ["absent"] * 101})
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == [field]



def test_a_list_tells_what_each_uses(service):
    """More than are asked for at once, in both directions, across pages."""
    tag = f"usage-{uuid.uuid4().hex[:8]}"
    boxes = [service.create(tags=[tag]) for _ in range(20)]
    ids = [b.id for b in boxes]
    for box in boxes:
        assert box.get(wait="running").status.state == pb.STATE_RUNNING
    for size, direction, expected in [(7, pb.SORT_DIRECTION_ASCENDING, ids), (100, pb.SORT_DIRECTION_DESCENDING, ids[::-1])]:
        told, token = [], ""
        while True:
            wish = pb.ListSandboxesRequest(tags=[tag], page_size=size, sort_direction=direction, page_token=token)
            page = service.stub.ListSandboxes(wish, timeout=TIMEOUT)
            told += page.sandboxes
            token = page.next_page_token
            if not token:
                break
        assert [s.sandbox_id for s in told] == expected
        told_of = {s.status.HasField("resource_usage") for s in told}
        assert told_of == {True} or (told_of == {False} and service.as_user), "of all, or nobody counts"
    for box in boxes:
        box.delete()


def test_a_list_may_begin_with_the_newest(service):
    tag = f"sort-{uuid.uuid4().hex[:8]}"
    boxes = [service.create(tags=[tag]) for _ in range(4)]
    ids = [b.id for b in boxes]
    for size in (1, 3, 100):
        assert listed(service, tags=[tag], page_size=size, sort_direction=pb.SORT_DIRECTION_DESCENDING) == ids[::-1]
        assert listed(service, tags=[tag], page_size=size, sort_direction=pb.SORT_DIRECTION_ASCENDING) == ids
        assert listed(service, tags=[tag], page_size=size) == ids
    newest = pb.ListSandboxesRequest(tags=[tag], page_size=2, sort_direction=pb.SORT_DIRECTION_DESCENDING)
    page = service.stub.ListSandboxes(newest, timeout=TIMEOUT)
    late = service.create(tags=[tag])
    newest.page_token = page.next_page_token
    rest = service.stub.ListSandboxes(newest, timeout=TIMEOUT)
    assert [s.sandbox_id for s in rest.sandboxes] == ids[1::-1]
    newest.sort_direction = pb.SORT_DIRECTION_ASCENDING
    assert failure(service.stub.ListSandboxes, newest, timeout=TIMEOUT).violations == ["page_token"]
    wrong = pb.ListSandboxesRequest(sort_direction=3)
    assert failure(service.stub.ListSandboxes, wrong, timeout=TIMEOUT).violations == ["sort_direction"]
    for b in [*boxes, late]:
        b.delete()


def test_filters_that_nothing_here_matches_are_empty_lists(service, sandbox):
    assert listed(service, state=pb.STATE_PREPARING) == []
    assert listed(service, volume_ids=["vol-1"]) == []
    assert listed(service, state=pb.STATE_PAUSED) == []


def test_a_page_stays_right_while_sandboxes_come_and_go(service):
    tag = f"flux-{uuid.uuid4().hex[:8]}"
    boxes = [service.create(tags=[tag]) for _ in range(4)]
    first = service.stub.ListSandboxes(pb.ListSandboxesRequest(tags=[tag], page_size=2), timeout=TIMEOUT)
    boxes[0].delete()
    boxes[0].get(wait="terminal")
    late = service.create(tags=[tag])
    rest = service.stub.ListSandboxes(
        pb.ListSandboxesRequest(tags=[tag], page_size=100, page_token=first.next_page_token), timeout=TIMEOUT)
    assert [s.sandbox_id for s in rest.sandboxes] == [boxes[2].id, boxes[3].id, late.id]
    for b in [*boxes, late]:
        b.delete()


def test_a_list_that_takes_long_is_made_in_turns(service):
    """100 tags held against 100 tags: what the loop may be kept for is over after a few of these records."""
    tags = [f"turns-{n:03}" for n in range(100)]
    boxes = [service.create(tags=tags) for _ in range(60)]
    wanted = [b.id for b in boxes]

    def page(**fields):
        return service.stub.ListSandboxes(pb.ListSandboxesRequest(tags=tags[::-1], **fields), timeout=TIMEOUT)

    whole = page()
    assert [s.sandbox_id for s in whole.sandboxes] == wanted and not whole.next_page_token
    got, token = [], ""
    while True:
        part = page(page_size=7, page_token=token)
        got += [s.sandbox_id for s in part.sandboxes]
        if not (token := part.next_page_token):
            break
    assert got == wanted
    down = page(sort_direction=pb.SORT_DIRECTION_DESCENDING)
    assert [s.sandbox_id for s in down.sandboxes] == wanted[::-1]
    page(page_size=60)
    assert not page(page_size=60).next_page_token  # nothing matching is left
    for box in boxes:
        box.delete()


@pytest.mark.parametrize("token", ["x", "p1" + "0" * 32, "ÿ"])
def test_a_bad_page_token_is_refused(service, token):
    error = failure(service.stub.ListSandboxes, pb.ListSandboxesRequest(page_token=token), timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == ["page_token"]


def test_a_token_is_bound_to_its_filters(service):
    tag = f"bind-{uuid.uuid4().hex[:8]}"
    boxes = [service.create(tags=[tag]) for _ in range(2)]
    page = service.stub.ListSandboxes(pb.ListSandboxesRequest(tags=[tag], page_size=1), timeout=TIMEOUT)
    error = failure(service.stub.ListSandboxes,
                    pb.ListSandboxesRequest(page_token=page.next_page_token, tags=["zz"]), timeout=TIMEOUT)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT and error.violations == ["page_token"]
    for b in boxes:
        b.delete()


def test_a_limit_that_cannot_be_enforced_is_refused_by_name(own_service):
    service = own_service()
    limits = pb.ResourceRequirements(limits=pb.Resources(memory="64Mi"))
    if "limit_memory=1" in service.log():
        box = service.create(resource_requirements=limits)
        killed = box.run("/bin/sh", "-c", "head -c 200000000 /dev/zero | tail -c 150000000 | wc -c")
        assert killed.stdout != b"150000000\n"
    else:
        error = failure(service.create, resource_requirements=limits)
        assert error.code == grpc.StatusCode.FAILED_PRECONDITION and "memory limit" in error.text
