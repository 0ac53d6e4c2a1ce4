"""ls, get, stop, delete: formats and exit codes of the published client."""

import json
import re
from datetime import datetime, timezone

from scripted_server import ID, pb, sandbox as described

TABLE_HEAD = f"{'SANDBOX ID':<40} {'STATUS':<14} {'RUNNER':<20} STARTED AT"
TABLE_RULE = " ".join("-" * width for width in (40, 14, 20, 24))
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def test_ls_prints_a_table(home, sandbox):
    lines = home.run("ls").stdout.decode().splitlines()
    assert lines[:2] == [TABLE_HEAD, TABLE_RULE]
    row = next(line for line in lines if line.startswith(sandbox))
    assert re.fullmatch(rf"{sandbox:<40} running        \S.{{19}} {TIME}", row), row


def test_ls_prints_json(home, sandbox):
    text = home.run("ls", "-o", "json").stdout.decode()
    parsed = json.loads(text)
    assert text == json.dumps(parsed, indent=2) + "\n"  # the very bytes
    entry = next(entry for entry in parsed if entry["sandbox_id"] == sandbox)
    assert list(entry) == ["sandbox_id", "status", "runner_id", "runner_group_id", "started_at"]
    assert entry["status"] == "running"
    started = datetime.fromisoformat(entry["started_at"])
    assert started.isoformat() == entry["started_at"]
    assert abs((datetime.now(timezone.utc) - started).total_seconds()) < 60


def test_an_empty_list_says_so(home, nothing_left):
    assert home.run("ls", "--tag", "nobody-has-this").stdout == b"No sandboxes found.\n"
    assert home.run("ls", "--tag", "nobody-has-this", "--output", "JSON").stdout == b"[]\n"


def test_ls_selects_by_tag_status_and_runner(home):
    one = home.run("run", "--keep", "--tag", "red", "--tag", "big").stdout.decode().strip()
    two = home.run("run", "--keep", "--tag", "red").stdout.decode().strip()

    def ids(*words):
        return {entry["sandbox_id"] for entry in json.loads(home.run("ls", "-o", "json", *words).stdout)}

    assert ids("-t", "red") == {one, two}
    assert ids("-t", "red", "-t", "big") == {one}
    assert ids("-t", "red", "-s", "RUNNING") == {one, two}
    assert ids("-t", "red", "-s", "failed") == set()
    assert ids("-t", "red", "-T", "no-such-runner") == set()
    assert home.run("stop", "-q", two).returncode == 0
    assert ids("-t", "red") == {one}
    assert ids("-t", "red", "-s", "terminated") == {two}
    assert home.run("delete", "-q", one).stdout == b""


def test_get_prints_a_table(home, sandbox):
    lines = home.run("get", sandbox).stdout.decode().splitlines()
    labels = ["SANDBOX ID", "STATUS", "RUNNER ID", "RUNNER GROUP ID", "STARTED AT", "RETURNCODE"]
    assert [line[:17] for line in lines] == [f"{label:<15}  " for label in labels]
    values = [line[17:] for line in lines]
    assert values[0] == sandbox and values[1] == "running" and values[5] == "-"
    assert re.fullmatch(TIME, values[4])


def test_get_prints_json(home, sandbox):
    text = home.run("get", sandbox, "-o", "json").stdout.decode()
    parsed = json.loads(text)
    assert text == json.dumps(parsed, indent=2) + "\n"
    assert list(parsed) == ["sandbox_id", "status", "runner_id", "runner_group_id", "started_at", "returncode"]
    assert parsed["sandbox_id"] == sandbox and parsed["returncode"] is None


def test_stop_waits_for_the_end(home):
    sandbox_id = home.run("run", "-d", "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done").stdout.decode().strip()
    result = home.run("stop", sandbox_id)
    assert (result.returncode, result.stdout.decode()) == (0, f"Stopped sandbox {sandbox_id}.\n")
    assert json.loads(home.run("get", sandbox_id, "-o", "json").stdout)["status"] == "terminated"
    assert home.run("stop", sandbox_id).returncode == 0  # already ended is no error


def test_stop_kills_what_ignores_sigterm(home):
    sandbox_id = home.run("run", "-d", "--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done").stdout.decode().strip()
    assert home.run("stop", "--graceful-shutdown-seconds", "0.2", "--quiet", sandbox_id).stdout == b""
    assert sandbox_id not in home.ids()


def test_a_missing_sandbox_may_be_allowed(home):
    result = home.run("stop", "--missing-ok", "sb-none")
    assert (result.returncode, result.stdout) == (0, b"Sandbox sb-none is already missing.\n")
    result = home.run("delete", "--missing-ok", "sb-none")
    assert (result.returncode, result.stdout) == (0, b"Deleted sandbox sb-none.\n")


def test_delete_kills_at_once(home):
    sandbox_id = home.run("run", "-d", "--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done").stdout.decode().strip()
    result = home.run("delete", sandbox_id)
    assert (result.returncode, result.stdout.decode()) == (0, f"Deleted sandbox {sandbox_id}.\n")
    # Deleting does not wait for the end; stopping what is already ending does nothing else.
    assert home.run("stop", "--missing-ok", sandbox_id).returncode == 0
    assert sandbox_id not in home.ids()


def test_what_a_service_does_not_say_is_null_or_a_dash(ordinary_home, scripted):
    env = {"CWSANDBOX_BASE_URL": scripted.url}
    scripted.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[described("pending"), described("running", "sb-2", runner_id="r")],
                                                          next_page_token="more"),
                pb.ListSandboxesResponse(sandboxes=[described(99, "sb-3")]))
    nothing = {"runner_id": None, "runner_group_id": None, "started_at": None}
    expected = [{"sandbox_id": ID, "status": "pending", **nothing}, {"sandbox_id": "sb-2", "status": "running", **nothing, "runner_id": "r"},
                {"sandbox_id": "sb-3", "status": "unspecified", **nothing}]
    assert ordinary_home.run("ls", "-o", "json", env=env).stdout.decode() == json.dumps(expected, indent=2) + "\n"
    scripted.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[described(99)]))
    assert ordinary_home.run("ls", env=env).stdout.decode().splitlines()[2] == f"{ID:<40} {'unspecified':<14} {'-':<20} -"


def test_ls_asks_for_what_was_selected(ordinary_home, scripted):
    words = ["-s", "Terminated", "-t", "a", "--tag", "b", "-T", "r1", "--runner-id", "r2"]
    assert ordinary_home.run("ls", *words, env={"CWSANDBOX_BASE_URL": scripted.url}).returncode == 0
    (call,) = scripted.of("ListSandboxes")
    assert (list(call.request.tags), list(call.request.runner_ids)) == (["a", "b"], ["r1", "r2"])
    assert call.request.state == pb.STATE_TERMINATED
    assert not call.request.show_terminated


def test_stop_and_delete_send_what_was_said(ordinary_home, scripted):
    env = {"CWSANDBOX_BASE_URL": scripted.url}
    assert ordinary_home.run("stop", "--graceful-shutdown-seconds", "0.3", "--missing-ok", ID, env=env).returncode == 0
    scripted.deleted = False
    assert ordinary_home.run("stop", ID, env=env).returncode == 0
    assert ordinary_home.run("delete", "-t", "50", ID, env=env).returncode == 0
    requests = [call.request for call in scripted.of("DeleteSandbox")]
    assert [(r.grace_period_seconds, r.allow_missing) for r in requests] == [(1, True), (10, False), (0, False)]
    assert 40 < scripted.of("DeleteSandbox")[2].time_left <= 50
