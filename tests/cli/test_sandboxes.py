"""ls, get, stop, delete: formats and exit codes of the published client."""

import json
import re
import signal
import time
from datetime import datetime, timezone

from scripted_server import ID, pb, sandbox as described

TABLE_HEAD = f"{'SANDBOX ID':<40} {'STATUS':<14} {'RUNNER':<20} STARTED AT"
TABLE_RULE = " ".join("-" * width for width in (40, 14, 20, 24))
PUBLISHED_KEYS = ["sandbox_id", "status", "runner_id", "runner_group_id", "started_at"]
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
    assert list(entry)[:5] == PUBLISHED_KEYS
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
    ours = ["REASON", "CREATED AT", "AGE", "TAGS", "COMMAND", "LIMITS", "USAGE"]
    end = lines.index("")
    assert [line[:17] for line in lines[:end]] == [f"{label:<15}  " for label in labels + ours]
    values = dict(zip(labels + ours, (line[17:] for line in lines)))
    assert values["SANDBOX ID"] == sandbox and values["STATUS"] == "running" and values["RETURNCODE"] == "-"
    assert re.fullmatch(TIME, values["STARTED AT"]) and re.fullmatch(TIME, values["CREATED AT"]) and re.fullmatch(r"\d+[sm]", values["AGE"])
    assert lines[end:] == ["", "CONTAINERS", "  main (primary)  -", "", "CONTAINER STATUS", "  main  running  restarts=0"]


def test_get_prints_json(home, sandbox):
    text = home.run("get", sandbox, "-o", "json").stdout.decode()
    parsed = json.loads(text)
    assert text == json.dumps(parsed, indent=2) + "\n"
    assert list(parsed)[:6] == [*PUBLISHED_KEYS, "returncode"]
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
    nothing = {"runner_id": None, "runner_group_id": None, "started_at": None, "returncode": None, "created_at": None, "ended_at": None,
               "status_reason": None, "tags": [], "command": [], "limits": None, "usage": None}
    expected = [{"sandbox_id": ID, "status": "pending", **nothing}, {"sandbox_id": "sb-2", "status": "running", **nothing, "runner_id": "r"},
                {"sandbox_id": "sb-3", "status": "unspecified", **nothing}]
    assert ordinary_home.run("ls", "-o", "json", env=env).stdout.decode() == json.dumps(expected, indent=2) + "\n"
    scripted.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[described(99)]))
    assert ordinary_home.run("ls", env=env).stdout.decode().splitlines()[2] == f"{ID:<40} {'unspecified':<14} {'-':<20} -"


def full():
    """A sandbox of which the service tells everything."""
    now = time.time()
    message = described("failed", exit_code=3, state_reason="out\nof memory", runner_id="r", container_statuses=[
        pb.ContainerStatus(name="app", state=pb.STATE_FAILED, exit_code=3, restart_count=2), pb.ContainerStatus(name="db", state=pb.STATE_RUNNING)])
    message.status.create_time.FromSeconds(int(now) - 3 * 3600)
    message.status.end_time.FromSeconds(int(now) - 60)
    limits = pb.Resources(cpu="500m", memory="512Mi", gpu=pb.Gpu(count=1))
    message.status.effective_resource_requirements.limits.CopyFrom(limits)
    message.status.resource_usage.CopyFrom(pb.ResourceUsage(cpu_millicores=250, memory_mb=100))
    message.status.services.add(port=80, name="web", visibility=pb.VISIBILITY_PUBLIC, url="http://80-x.localhost")
    message.status.services.add(port=81, visibility=pb.VISIBILITY_PUBLIC).endpoint.url = "https://81-x.localhost"
    message.status.services.add(port=82)
    message.spec.tags.extend(["a", "b"])
    message.spec.containers.add(name="db", image="postgres")
    message.spec.containers.add(name="app", image="python:3.11", command="sh", args=["-c", "echo it's\ndone"], primary=True)
    return message


def test_why_a_sandbox_is_dead_is_shown(home):
    tag = f"dead-{time.monotonic_ns()}"
    died = home.run("run", "-d", "--tag", tag, "--", "sh", "-c", "exit 3").stdout.decode().strip()
    home.run("logs", "-f", died)
    stopped = home.run("run", "-d", "--tag", tag, "--", "sleep", "60").stdout.decode().strip()
    assert home.run("stop", stopped).returncode == 0
    assert home.run("run", "--tag", tag, "127.0.0.1:1/no-such-image:1", "--", "true").returncode == 1
    for status, reason in [("completed", "the main process ended with exit code 3"), ("terminated", "deleted by a client"),
                           ("failed", "ErrImagePull: image `127.0.0.1:1/no-such-image:1`")]:
        (listed,) = json.loads(home.run("ls", "-o", "json", "-s", status, "-t", tag).stdout)
        assert reason in listed["status_reason"]
        assert reason in home.run("ls", "-o", "wide", "-s", status, "-t", tag).stdout.decode()
        sandbox_id = listed["sandbox_id"]
        assert json.loads(home.run("get", "-o", "json", sandbox_id).stdout) == listed
        assert re.search(f"^REASON +{re.escape(reason)}", home.run("get", sandbox_id).stdout.decode(), re.MULTILINE)
        result = home.run("exec", sandbox_id, "true")
        assert (result.returncode, reason in result.stderr.decode()) == (1, True), result.stderr
    assert listed["container_statuses"][0]["exit_code"] is None  # it never ran
    for words in (["logs"], ["logs", "-f"]):
        result = home.run(*words, sandbox_id)
        assert (result.returncode, reason in result.stderr.decode()) == (1, True), result.stderr


def test_what_a_sandbox_uses_is_shown(root_home):
    holder = "x = bytearray(64 << 20); print('held', flush=True); import signal; signal.pause()"
    sandbox_id = root_home.run("run", "-d", "--memory", "256Mi", "--", "python3", "-c", holder).stdout.decode().strip()
    with root_home.start("logs", "-f", sandbox_id) as process:
        process.read_until(b"held")
        process.kill(signal.SIGINT)
    for _ in range(1000):  # figures may be a second old
        shown = json.loads(root_home.run("get", "-o", "json", sandbox_id).stdout)["usage"]
        if shown["memory_mb"] >= 64:
            break
    assert 64 <= shown["memory_mb"] <= 256 and shown["cpu_millicores"] >= 0 == shown["gpu_count"]
    (listed,) = [entry["usage"] for entry in json.loads(root_home.run("ls", "-o", "json").stdout) if entry["sandbox_id"] == sandbox_id]
    assert listed["memory_mb"] >= 64
    assert re.search(r"^USAGE +cpu=\d+m memory=\d+M$", root_home.run("get", sandbox_id).stdout.decode(), re.MULTILINE)
    assert root_home.run("stop", "--graceful-shutdown-seconds", "0", sandbox_id).returncode == 0
    assert json.loads(root_home.run("get", "-o", "json", sandbox_id).stdout)["usage"] is None


def test_everything_that_is_told_is_shown(ordinary_home, scripted):
    env = {"CWSANDBOX_BASE_URL": scripted.url}
    told = full()
    scripted.on("GetSandbox", told)
    lines = ordinary_home.run("get", ID, env=env).stdout.decode().splitlines()
    shown = {line[:15].strip(): line[17:] for line in lines[:13]}
    assert shown["REASON"] == "out of memory" and shown["AGE"] == "3h"
    assert shown["TAGS"] == "a,b" and shown["COMMAND"] == "sh -c 'echo it'\\''s done'"
    assert shown["LIMITS"] == "cpu=500m memory=512Mi gpu=1" and shown["USAGE"] == "cpu=250m memory=100M"
    assert lines[13:] == ["", "CONTAINERS", "  db (helper)  postgres", "  app (primary)  python:3.11",
                          "", "CONTAINER STATUS", "  app  failed  exit=3  restarts=2", "  db  running  restarts=0",
                          "", "SERVICES", "  80  web  public  http://80-x.localhost", "  81  -  public  https://81-x.localhost",
                          "  82  -  unspecified  -"]
    text = ordinary_home.run("get", ID, "-o", "json", env=env).stdout.decode()
    parsed = json.loads(text)
    assert text == json.dumps(parsed, indent=2) + "\n"
    assert (parsed["status_reason"], parsed["tags"]) == ("out\nof memory", ["a", "b"])
    assert parsed["command"] == ["sh", "-c", "echo it's\ndone"]
    assert parsed["limits"] == {"cpu": "500m", "memory": "512Mi", "gpu_count": 1}
    assert parsed["usage"] == {"cpu_millicores": 250, "memory_mb": 100, "gpu_count": 0}
    assert parsed["containers"] == [{"name": "db", "image": "postgres", "primary": False}, {"name": "app", "image": "python:3.11", "primary": True}]
    assert parsed["container_statuses"] == [{"name": "app", "state": "failed", "exit_code": 3, "restart_count": 2},
                                            {"name": "db", "state": "running", "exit_code": None, "restart_count": 0}]
    assert parsed["services"] == [{"port": 80, "name": "web", "visibility": "public", "address": "http://80-x.localhost"},
                                  {"port": 81, "name": None, "visibility": "public", "address": "https://81-x.localhost"},
                                  {"port": 82, "name": None, "visibility": "unspecified", "address": None}]
    scripted.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[told]))
    assert json.loads(ordinary_home.run("ls", "-o", "json", env=env).stdout) == [parsed]


def test_the_wide_table_is_as_wide_as_its_cells(ordinary_home, scripted):
    scripted.on("ListSandboxes", pb.ListSandboxesResponse(sandboxes=[full(), described("pending", "sb-2")]))
    head, rule, one, two = ordinary_home.run("ls", "-o", "wide", env={"CWSANDBOX_BASE_URL": scripted.url}).stdout.decode().splitlines()
    widths = [len(dashes) for dashes in rule.split(" ")]
    starts = [sum(widths[:i]) + i for i in range(len(widths))]
    cells = {head[a:a + w].strip(): one[a:a + w].strip() for a, w in zip(starts, widths)}
    assert cells == {"SANDBOX ID": ID, "STATUS": "failed", "RUNNER": "r", "STARTED AT": "-", "AGE": "3h", "LIMITS": "cpu=500m memory=512Mi gpu=1",
                     "USAGE": "cpu=250m memory=100M", "CONTAINERS": "app=failed(3),db=running", "TAGS": "a,b", "REASON": "out of memory",
                     "COMMAND": "sh -c 'echo it'\\''s done'"}
    assert two.split() == ["sb-2", "pending", *["-"] * 9]


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
