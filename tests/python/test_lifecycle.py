"""Sandboxes from construction to the end: start, wait, status, stop, find, context managers, warnings."""

from __future__ import annotations

import datetime
import gc
import logging
import os
import uuid
import warnings

import pytest
from cwsandbox import (
    Sandbox,
    SandboxDefaults,
    SandboxFailedError,
    SandboxNotFoundError,
    SandboxNotRunningError,
    SandboxStatus,
    SandboxTerminatedError,
    SandboxTimeoutError,
)


def test_a_dead_sandbox_says_why_it_is_dead(embedded_service):
    ends = {
        ("sh", "-c", "exit 3"): "it is completed: the main process ended with exit code 3",
        ("sh", "-c", "kill -9 $$"): "it is completed: the main process was killed by signal 9",
        ("true",): "it is completed",
        ("/no/such",): "it is completed: the main process ended with exit code 127",
    }
    for command, text in ends.items():
        sandbox = Sandbox.run(*command)
        sandbox.wait_until_complete().result()
        for call in (lambda: sandbox.exec(["true"]).result(), lambda: sandbox.read_file("/etc/hostname").result()):  # noqa: B023
            with pytest.raises(SandboxNotRunningError, match=f"{text}$"):
                call()
        found = Sandbox.from_id(sandbox.sandbox_id).result()
        assert found.status_reason == sandbox.status_reason == (text.partition(": ")[2] or None)
    with pytest.raises(SandboxTerminatedError, match="was terminated: lifetime ended$"):
        Sandbox.run("sleep", "60", max_lifetime_seconds=1).wait_until_complete().result()


def test_out_of_memory_is_why_a_sandbox_ended(embedded_service):
    if os.geteuid() != 0:
        pytest.skip("a memory limit needs cgroups, and those here are root's")
    hog = ("python3", "-c", "x = bytearray(1 << 30)")
    sandbox = Sandbox.run(*hog, resources={"limits": {"memory": "64Mi"}})
    assert sandbox.wait_until_complete().result().returncode == 137
    with pytest.raises(SandboxNotRunningError, match="out of memory: the main process was killed"):
        sandbox.exec(["true"]).result()


def test_the_log_of_what_never_ran_is_the_reason(embedded_service):
    sandbox = Sandbox.run(container_image="127.0.0.1:1/no-such-image:1")
    for _ in range(2):
        with pytest.raises(SandboxFailedError, match="no-such-image:1"):
            list(sandbox.stream_logs())
        sandbox = Sandbox.from_id(sandbox.sandbox_id).result()
    quiet = Sandbox.run("true")
    quiet.wait_until_complete().result()
    assert list(quiet.stream_logs()) == []


def test_a_new_sandbox_is_nothing_yet():
    sandbox = Sandbox()
    assert sandbox.sandbox_id is None and sandbox.status is None and sandbox.returncode is None
    assert sandbox.status_updated_at is None and sandbox.started_at is None
    assert sandbox.runner_id is None and sandbox.resource_limits is None
    assert repr(sandbox) == "<Sandbox id=None status=not_started>"


def test_start_gives_an_id_and_is_idempotent(consume):
    sandbox = Sandbox()
    assert consume(sandbox.start) is None
    first = sandbox.sandbox_id
    assert first
    assert consume(sandbox.start) is None
    assert sandbox.sandbox_id == first
    assert repr(sandbox) == f"<Sandbox id={first} status={sandbox.status}>"
    sandbox.stop().result()


def test_parallel_starts_are_one_create():
    sandbox = Sandbox()
    refs = [sandbox.start() for _ in range(5)]
    for ref in refs:
        ref.result()
    assert [s.sandbox_id for s in Sandbox.list().result()].count(sandbox.sandbox_id) == 1
    sandbox.stop().result()


def test_wait_returns_the_sandbox_at_running():
    sandbox = Sandbox()
    assert sandbox.wait() is sandbox
    assert sandbox.status is SandboxStatus.RUNNING and sandbox.status == "running"
    assert sandbox.get_status() is SandboxStatus.RUNNING
    now = datetime.datetime.now(datetime.UTC)
    assert abs((now - sandbox.status_updated_at).total_seconds()) < 60
    assert sandbox.started_at.tzinfo is None
    assert abs((now.replace(tzinfo=None) - sandbox.started_at).total_seconds()) < 60
    sandbox.stop().result()


def test_wait_until_complete(consume):
    with Sandbox.run("sh", "-c", "exit 3") as sandbox:
        assert consume(sandbox.wait_until_complete) is sandbox
        assert sandbox.status == "completed" and sandbox.returncode == 3
        assert sandbox.wait() is sandbox


def test_wait_until_complete_times_out_and_can_be_asked_again():
    with Sandbox.run() as sandbox:
        ref = sandbox.wait_until_complete(timeout=0.05)
        with pytest.raises(SandboxTimeoutError):
            ref.result()
        assert sandbox.status == "running"


def test_termination_raises_unless_told_not_to(consume):
    sandbox = Sandbox.run()
    waiting = sandbox.wait_until_complete()
    tolerant = sandbox.wait_until_complete(raise_on_termination=False)
    sandbox.stop(graceful_shutdown_seconds=0).result()
    with pytest.raises((SandboxTerminatedError, SandboxNotRunningError)):
        waiting.result()
    assert tolerant.result() is sandbox
    with pytest.raises(SandboxTerminatedError, match="terminated"):
        consume(sandbox.wait_until_complete)
    assert consume(lambda: sandbox.wait_until_complete(raise_on_termination=False)) is sandbox
    assert sandbox.status == "terminated"


def test_an_image_that_does_not_exist_fails_the_sandbox():
    sandbox = Sandbox(container_image="127.0.0.1:1/no-such-image:1")
    with pytest.raises(SandboxFailedError):
        sandbox.wait()
    assert sandbox.status == "failed"
    sandbox.stop(missing_ok=True).result()


def test_get_status_needs_a_start():
    with pytest.raises(SandboxNotRunningError, match="has not been started"):
        Sandbox().get_status()


def test_operations_on_a_failed_sandbox_say_why_it_failed():
    sandbox = Sandbox.run(container_image="127.0.0.1:1/no-such-image:1")
    for operation in (lambda: sandbox.exec(["true"]).result(), lambda: sandbox.read_file("/x").result()):
        with pytest.raises(SandboxNotRunningError, match="ErrImagePull: image `127.0.0.1:1/no-such-image:1`"):
            operation()


def test_stop_is_final_and_repeatable(consume):
    sandbox = Sandbox.run()
    assert consume(sandbox.stop) is None
    assert sandbox.status == "terminated"
    assert consume(sandbox.stop) is None
    with pytest.raises(SandboxNotRunningError):
        sandbox.exec(["true"]).result()
    with pytest.raises(SandboxNotRunningError):
        sandbox.read_file("/etc/passwd").result()
    assert sandbox.get_status() == "terminated"


def test_stop_before_start_makes_no_call_and_forbids_starting(consume):
    sandbox = Sandbox()
    assert consume(sandbox.stop) is None
    assert sandbox.sandbox_id is None
    with pytest.raises(SandboxNotRunningError):
        consume(sandbox.start)
    with pytest.raises(SandboxNotRunningError):
        sandbox.wait()


def test_stop_while_starting_leaves_nothing():
    before = {s.sandbox_id for s in Sandbox.list().result()}
    sandbox = Sandbox()
    start = sandbox.start()
    sandbox.stop(graceful_shutdown_seconds=0).result()
    try:
        start.result()
    except SandboxNotRunningError:
        pass
    assert {s.sandbox_id for s in Sandbox.list().result()} <= before


def test_stop_of_a_sandbox_deleted_elsewhere(consume):
    sandbox = Sandbox.run()
    Sandbox.delete(sandbox.sandbox_id).result()
    consume(lambda: sandbox.stop(missing_ok=True))


def test_stop_gives_the_main_process_its_grace():
    sandbox = Sandbox.run("sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    for line in sandbox.stream_logs(follow=True):
        assert line == "ready\n"
        break
    sandbox.stop(graceful_shutdown_seconds=10).result(timeout=9)
    assert sandbox.status in ("completed", "terminated")


def test_from_id_and_delete(consume):
    with Sandbox.run(tags=["find-me"]) as sandbox:
        found = consume(lambda: Sandbox.from_id(sandbox.sandbox_id))
        assert type(found) is Sandbox and found is not sandbox
        assert found.sandbox_id == sandbox.sandbox_id and found.status == "running"
        assert found.exec(["echo", "again"]).result().stdout == "again\n"
        assert consume(lambda: Sandbox.delete(sandbox.sandbox_id)) is None
        sandbox.wait_until_complete(raise_on_termination=False).result()
        found.wait_until_complete(raise_on_termination=False).result()


def test_ids_that_do_not_exist(consume):
    with pytest.raises(SandboxNotFoundError, match="not found") as info:
        consume(lambda: Sandbox.from_id("sandbox-abc123"))
    assert info.value.sandbox_id == "sandbox-abc123"
    assert "sandbox-abc123" in str(info.value)
    assert info.value.reason == "CWSANDBOX_SANDBOX_NOT_FOUND"
    with pytest.raises(SandboxNotFoundError):
        consume(lambda: Sandbox.delete("sandbox-abc123"))
    assert consume(lambda: Sandbox.delete("sandbox-abc123", missing_ok=True)) is None


def test_list_filters(consume):
    tag = f"listed-{uuid.uuid4()}"
    with Sandbox.run(tags=[tag, "a"]) as one, Sandbox.run(tags=[tag, "b"]) as two:
        ids = {one.sandbox_id, two.sandbox_id}
        assert {s.sandbox_id for s in consume(lambda: Sandbox.list(tags=[tag]))} == ids
        assert [s.sandbox_id for s in Sandbox.list(tags=[tag, "b"]).result()] == [two.sandbox_id]
        assert Sandbox.list(tags=["no-such-tag"]).result() == []
        assert ids <= {s.sandbox_id for s in Sandbox.list(status="running").result()}
        one.stop(graceful_shutdown_seconds=0).result()
        assert [s.sandbox_id for s in Sandbox.list(tags=[tag]).result()] == [two.sandbox_id]
        ended = Sandbox.list(tags=[tag], show_terminated=True).result()
        assert {s.sandbox_id for s in ended} == ids
        terminated = Sandbox.list(tags=[tag], status=SandboxStatus.TERMINATED).result()
        assert [s.sandbox_id for s in terminated] == [one.sandbox_id]


def test_bad_arguments_of_class_calls_raise_from_the_handle():
    ref = Sandbox.list(status="sleeping")
    with pytest.raises(ValueError, match="not a valid SandboxStatus"):
        ref.result()
    for call, error in (
        (lambda: Sandbox.list(tags="one"), TypeError),
        (lambda: Sandbox.list(profile_ids=["x"]), TypeError),
        (lambda: Sandbox.list(poll_rpc_timeout_seconds=0), ValueError),
        (lambda: Sandbox.list(base_url="ftp://x"), ValueError),
        (lambda: Sandbox.from_id("x", poll_retry_budget_seconds=-1), ValueError),
        (lambda: Sandbox.delete("x", base_url="http://host/path"), ValueError),
    ):
        ref = call()
        with pytest.raises(error):
            ref.result()
    with pytest.raises(TypeError):
        Sandbox.list(unknown=1)


# ---- context managers


def test_with_stops_at_the_end():
    with Sandbox() as sandbox:
        assert sandbox.sandbox_id
        sandbox.exec(["true"]).result()
    assert sandbox.status == "terminated"


def test_with_never_swallows_the_exception_of_its_body():
    with pytest.raises(KeyError):
        with Sandbox.run() as sandbox:
            raise KeyError("body")
    assert sandbox.status == "terminated"


def test_error_of_the_stop_is_logged_when_the_body_raised(monkeypatch, caplog):
    from cwsandbox import _core

    def failing_stop(self, **kwargs):
        original(self, **kwargs).result()
        return _core.failed(SandboxNotFoundError("gone"))

    original = Sandbox.stop
    monkeypatch.setattr(Sandbox, "stop", failing_stop)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyError):
        with Sandbox.run():
            raise KeyError("body")
    assert "gone" in caplog.text
    with pytest.raises(SandboxNotFoundError):
        with Sandbox.run():
            pass


def test_with_after_the_end_does_nothing():
    with Sandbox.run("true") as sandbox:
        sandbox.wait_until_complete().result()
    assert sandbox.status == "completed"


# ---- warnings


def test_forgotten_sandbox_warns():
    sandbox = Sandbox.run()
    sandbox_id = sandbox.sandbox_id
    with pytest.warns(ResourceWarning, match=sandbox_id):
        del sandbox
        gc.collect()
    Sandbox.delete(sandbox_id).result()


def test_no_warning_for_unstarted_and_ended_sandboxes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sandbox()
        with Sandbox.run():
            pass
        gc.collect()


# ---- options that reach the service


def test_command_environment_files_and_resources():
    with Sandbox.run(
        "sh", "-c", "echo $GREETING; cat /data/in.txt; sleep 1000",
        environment_variables={"GREETING": "hello"},
        mounted_files=[{"mount_path": "/data/in.txt", "file_content": b"from a file\n"}],
        annotations={"team": "a"},
        resources={"cpu": "500m", "memory": "256Mi"},
        network={"deny_egress": True},
        max_lifetime_seconds=3600,
    ) as sandbox:  # fmt: skip
        lines = []
        for line in sandbox.stream_logs(follow=True):
            lines.append(line)
            if len(lines) == 2:
                break
        assert lines == ["hello\n", "from a file\n"]
        sandbox.get_status()
        assert sandbox.resource_limits == {"cpu": "500m", "memory": "256Mi"}
        assert sandbox.exec(["sh", "-c", "echo $GREETING"]).result().stdout == "hello\n"


def test_defaults_reach_the_service():
    defaults = SandboxDefaults(command="sleep", args=("1000",), tags=("d",), environment_variables={"A": "1", "B": "1"})
    with Sandbox.run(defaults=defaults, tags=["e"], environment_variables={"B": "2"}) as sandbox:
        assert sandbox.exec(["sh", "-c", "echo $A$B"]).result().stdout == "12\n"
        assert [s.sandbox_id for s in Sandbox.list(tags=["d", "e"]).result()] == [sandbox.sandbox_id]
    with Sandbox.run("true", defaults=defaults) as sandbox:  # does not inherit the arguments of another command
        sandbox.wait_until_complete().result()
        assert sandbox.returncode == 0


def test_the_lifetime_ends_the_sandbox():
    with Sandbox.run(max_lifetime_seconds=1) as sandbox:
        sandbox.wait_until_complete(timeout=20, raise_on_termination=False).result()
        assert sandbox.status in ("terminated", "failed", "completed")


def test_a_sandbox_that_cannot_start_says_why(embedded_service):
    sandbox = Sandbox.run(container_image="no/such-image:1")
    with pytest.raises(SandboxFailedError, match=r"failed to start: .*no/such-image:1"):
        sandbox.wait()
    with pytest.raises(SandboxFailedError, match="no/such-image:1"):
        sandbox.wait_until_complete().result()
