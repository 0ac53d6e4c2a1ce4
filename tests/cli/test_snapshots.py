"""snapshots, and stop with snapshots: against a scripted service, because ours has none, and its refusal."""

import json
import signal

import messages  # noqa: F401  makes the next imports work
import pytest
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from scripted_server import ID, Status, sandbox

HEAD = f"{'SNAPSHOT ID':<40} {'STATUS':<10} {'SOURCE SANDBOX':<40} {'TRIGGER':<10} {'SIZE':>12} CREATED AT"
RULE = " ".join("-" * width for width in (40, 10, 40, 10, 12, 24))


@pytest.fixture
def cli(ordinary_home, scripted):
    """Runs the program against the scripted service."""

    def run(*words):
        return ordinary_home.run(*words, env={"CWSANDBOX_BASE_URL": scripted.url})

    return run


def snapshot(state="READY", snapshot_id="fss-1", **fields):
    number = pb.SnapshotState.Value("SNAPSHOT_STATE_" + state) if isinstance(state, str) else state
    return pb.FileSystemSnapshot(file_system_snapshot_id=snapshot_id, state=number, **fields)


def full():
    message = snapshot(source_sandbox_id=ID, size_bytes=123456789, trigger="SNAPSHOT_TRIGGER_ON_DELETE", request_id="r-1",
                       object_bucket="bucket", source_volume_name="work", state_reason='said "so"')
    message.create_time.FromJsonString("2026-01-02T03:04:05.000006Z")
    message.updated_at.FromJsonString("2026-01-02T03:04:06Z")
    return message


FULL = {
    "file_system_snapshot_id": "fss-1", "status": "ready", "status_reason": 'said "so"', "size_bytes": 123456789,
    "source_sandbox_id": ID, "trigger": "on_delete", "request_id": "r-1", "object_bucket": "bucket",
    "source_volume_name": "work", "created_at": "2026-01-02T03:04:05.000006+00:00",
    "updated_at": "2026-01-02T03:04:06+00:00", "completed_at": None,
}
EMPTY = {**dict.fromkeys(FULL, ""), "file_system_snapshot_id": "fss-2", "status": "creating", "size_bytes": 0,
         "trigger": "unspecified", "created_at": None, "updated_at": None, "completed_at": None}
FULL_ROW = f"{'fss-1':<40} {'ready':<10} {ID:<40} {'on_delete':<10} {'123456789':>12} 2026-01-02 03:04:05 UTC"
EMPTY_ROW = f"{'fss-2':<40} {'creating':<10} {'-':<40} {'unspecified':<10} {'0':>12} -"


# ---- create ----

def test_create_waits_until_the_snapshot_is_ready_and_prints_its_id(cli, scripted):
    scripted.on("CreateFileSystemSnapshot", snapshot("CREATING"))
    scripted.on("GetFileSystemSnapshot", snapshot("CREATING"), snapshot())
    result = cli("snapshots", "create", ID)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"fss-1\n", b"")
    assert len(scripted.of("GetFileSystemSnapshot")) == 2
    (call,) = scripted.of("CreateFileSystemSnapshot")
    assert call.request.sandbox_id == ID and len(call.request.request_id) == 32


@pytest.mark.parametrize("words", [["--no-wait"], ["--wait", "--no-wait"]], ids=" ".join)
def test_create_need_not_wait(cli, scripted, words):
    scripted.on("CreateFileSystemSnapshot", snapshot("CREATING"))
    result = cli("snapshots", "create", *words, "--request-id", "mine", "-o", "json", ID)
    assert (result.returncode, result.stdout) == (0, b'{\n  "file_system_snapshot_id": "fss-1"\n}\n')
    assert not scripted.of("GetFileSystemSnapshot")
    assert scripted.of("CreateFileSystemSnapshot")[0].request.request_id == "mine"


def test_the_time_limit_of_create_is_that_of_finding_the_sandbox(cli, scripted):
    scripted.on("CreateFileSystemSnapshot", snapshot())
    scripted.on("GetFileSystemSnapshot", snapshot())
    assert cli("snapshots", "create", "-t", "50", ID).returncode == 0
    assert 40 < scripted.of("GetSandbox")[0].time_left <= 50
    assert scripted.of("CreateFileSystemSnapshot")[0].time_left > 590


def test_a_snapshot_that_failed_is_an_error_with_its_reason(cli, scripted):
    scripted.on("CreateFileSystemSnapshot", snapshot("CREATING"))
    scripted.on("GetFileSystemSnapshot", snapshot("FAILED", state_reason="the disk is gone"))
    result = cli("snapshots", "create", ID)
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"Error: ") and b"the disk is gone" in result.stderr


def test_an_interrupt_ends_the_wait_for_a_snapshot(ordinary_home, scripted, monkeypatch):
    monkeypatch.setitem(ordinary_home.env, "CWSANDBOX_BASE_URL", scripted.url)
    scripted.on("CreateFileSystemSnapshot", snapshot("CREATING"))
    scripted.on("GetFileSystemSnapshot", snapshot("CREATING"))
    with ordinary_home.start("snapshots", "create", ID) as process:
        scripted.wait_for("GetFileSystemSnapshot")
        assert process.kill(signal.SIGINT) == 130


# ---- get ----

def test_get_prints_one_row(cli, scripted):
    scripted.on("GetFileSystemSnapshot", full())
    result = cli("snapshots", "get", "fss-1")
    assert (result.returncode, result.stdout.decode().splitlines()) == (0, [HEAD, RULE, FULL_ROW])


@pytest.mark.parametrize("message, expected", [(full(), FULL), (snapshot("CREATING", "fss-2"), EMPTY)], ids=["all", "nothing known"])
def test_get_prints_json(cli, scripted, message, expected):
    scripted.on("GetFileSystemSnapshot", message)
    text = cli("snapshots", "get", "-o", "json", "fss-1").stdout.decode()
    assert text == json.dumps(expected, indent=2) + "\n"  # the very bytes
    assert scripted.of("GetFileSystemSnapshot")[0].request.file_system_snapshot_id == "fss-1"


def test_states_of_a_newer_service_are_unspecified(cli, scripted):
    scripted.on("GetFileSystemSnapshot", snapshot(77, trigger=88))
    shown = json.loads(cli("snapshots", "get", "-o", "json", "fss-1").stdout)
    assert (shown["status"], shown["trigger"]) == ("unspecified", "unspecified")


def test_get_has_a_time_limit(cli, scripted):
    scripted.on("GetFileSystemSnapshot", full())
    cli("snapshots", "get", "--timeout", "50", "fss-1")
    assert 40 < scripted.of("GetFileSystemSnapshot")[0].time_left <= 50


# ---- list ----

def listed(*snapshots, token=""):
    return pb.ListFileSystemSnapshotsResponse(file_system_snapshots=snapshots, next_page_token=token)


def test_list_prints_all_pages_as_a_table(cli, scripted):
    scripted.on("ListFileSystemSnapshots", listed(full(), token="more"), listed(snapshot("CREATING", "fss-2")))
    result = cli("snapshots", "list")
    assert result.stdout.decode().splitlines() == [HEAD, RULE, FULL_ROW, EMPTY_ROW]


def test_list_prints_json(cli, scripted):
    scripted.on("ListFileSystemSnapshots", listed(full(), snapshot("CREATING", "fss-2")))
    text = cli("snapshots", "list", "--output", "json").stdout.decode()
    assert text == json.dumps([FULL, EMPTY], indent=2) + "\n"


def test_an_empty_list_says_so(cli, scripted):
    scripted.on("ListFileSystemSnapshots", listed())
    assert cli("snapshots", "list").stdout == b"No snapshots found.\n"
    assert cli("snapshots", "list", "-o", "json").stdout == b"[]\n"


def test_list_selects_by_source_and_status(cli, scripted):
    scripted.on("ListFileSystemSnapshots", listed(full(), snapshot("CREATING", "fss-2"), snapshot("FAILED", "fss-3", source_sandbox_id=ID)))

    def ids(*words):
        return [s["file_system_snapshot_id"] for s in json.loads(cli("snapshots", "list", "-o", "json", *words).stdout)]

    assert ids("--source-sandbox-id", ID) == ["fss-1", "fss-3"]
    assert ids("-s", "CREATING") == ["fss-2"]
    assert ids("--source-sandbox-id", ID, "--status", "failed") == ["fss-3"]
    assert ids("-s", "deleting") == []


# ---- delete ----

def test_delete_says_what_it_deleted(cli, scripted):
    scripted.on("DeleteFileSystemSnapshot", snapshot("DELETING"))
    assert cli("snapshots", "delete", "fss-1").stdout == b"Deleted fss-1.\n"
    assert cli("snapshots", "delete", "-q", "-t", "50", "fss-1").stdout == b""
    assert 40 < scripted.of("DeleteFileSystemSnapshot")[1].time_left <= 50


def test_a_missing_snapshot_is_an_error_unless_allowed(cli, scripted):
    for method in ("GetFileSystemSnapshot", "DeleteFileSystemSnapshot"):
        scripted.on(method, Status("NOT_FOUND", "no snapshot fss-none", reason="CWSANDBOX_FSS_NOT_FOUND"))
    for verb in ("get", "delete"):
        result = cli("snapshots", verb, "fss-none")
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.startswith(b"Error: ") and b"fss-none" in result.stderr
    result = cli("snapshots", "delete", "--missing-ok", "fss-none")
    assert (result.returncode, result.stdout) == (0, b"Deleted fss-none.\n")


# ---- stop ----

@pytest.fixture
def kept(scripted):
    """The sandbox has a scratch volume, and deleting it captures fss-1."""

    def get(call):
        message = sandbox("terminated" if scripted.deleted else "running")
        message.spec.volumes.add(name="work").scratch.SetInParent()
        return message

    def delete(call):
        scripted.deleted = True
        return pb.DeleteSandboxResponse(sandbox=sandbox("terminating"), file_system_snapshot_ids=["fss-1"])

    scripted.on("GetSandbox", get)
    scripted.on("DeleteSandbox", delete)
    scripted.on("GetFileSystemSnapshot", snapshot("CREATING"), snapshot())
    return scripted


def test_stop_keeps_the_files_and_says_where(cli, kept):
    result = cli("stop", "--snapshot-on-stop", ID)
    assert (result.returncode, result.stdout.decode()) == (0, f"Stopped sandbox {ID}. Snapshot fss-1.\n"), result.stderr
    (call,) = kept.of("DeleteSandbox")
    assert (list(call.request.snapshot_volumes), call.request.grace_period_seconds) == (["work"], 10)
    assert len(kept.of("GetFileSystemSnapshot")) == 2


def test_stop_names_the_snapshot_of_every_volume(cli, kept):
    def delete(call):
        kept.deleted = True
        return pb.DeleteSandboxResponse(sandbox=sandbox("terminating"), file_system_snapshot_ids=["fss-1", "fss-2"])

    kept.on("DeleteSandbox", delete)
    result = cli("stop", "--snapshot-on-stop", ID)
    assert result.stdout.decode() == f"Stopped sandbox {ID}. Snapshot fss-1. Snapshot fss-2.\n"


def test_stop_need_not_wait_for_the_snapshot(cli, kept):
    result = cli("stop", "--snapshot-on-stop", "--no-wait-for-snapshot", "--request-id", "mine", "-q", ID)
    assert (result.returncode, result.stdout) == (0, b"")
    assert not kept.of("GetFileSystemSnapshot")
    assert kept.of("DeleteSandbox")[0].request.request_id == "mine"


@pytest.mark.parametrize("words", [["--no-wait-for-snapshot"], ["--request-id", "x"]], ids=" ".join)
def test_words_for_a_snapshot_need_one(cli, scripted, words):
    result = cli("stop", *words, ID)
    assert result.returncode == 2
    assert words[0] in result.stderr.decode() and "requires '--snapshot-on-stop'" in result.stderr.decode()
    assert not scripted.calls


def test_waiting_is_the_default_and_needs_no_snapshot(cli, scripted):
    result = cli("stop", "--wait-for-snapshot", ID)
    assert (result.returncode, result.stdout.decode()) == (0, f"Stopped sandbox {ID}.\n")
    assert not scripted.of("DeleteSandbox")[0].request.snapshot_volumes


def test_a_sandbox_without_a_scratch_volume_has_nothing_to_keep(cli, scripted):
    result = cli("stop", "--snapshot-on-stop", ID)
    assert result.returncode == 1
    assert b"no known scratch volumes" in result.stderr
    assert not scripted.of("DeleteSandbox")


def test_stop_with_a_snapshot_allows_a_missing_sandbox(cli, scripted):
    scripted.on("GetSandbox", Status("NOT_FOUND", "gone"))
    result = cli("stop", "--snapshot-on-stop", "--missing-ok", ID)
    assert (result.returncode, result.stdout.decode()) == (0, f"Sandbox {ID} is already missing.\n")


# ---- completion, and our own service ----

def test_snapshots_are_offered_by_id(cli, scripted):
    scripted.on("ListFileSystemSnapshots", listed(full(), snapshot("CREATING", "fss-2")))
    assert cli("__complete", "snapshots", "get", "fss").stdout.decode() == "fss-1\tready\nfss-2\tcreating\n"


@pytest.mark.parametrize("words", [["create", "ID"], ["get", "fss-1"], ["list"], ["delete", "fss-1"], ["delete", "--missing-ok", "fss-1"]],
                         ids=" ".join)
def test_our_service_has_no_snapshots_and_says_so(home, sandbox, words):
    result = home.run("snapshots", *[word.replace("ID", sandbox) for word in words])
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"Error: ")
    assert b"snapshots are not implemented by this service" in result.stderr
