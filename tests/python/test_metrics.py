"""Session metrics, and their way into a W&B run. wandb itself needs an account, so a module with a `run` stands in for it."""

from __future__ import annotations

import logging
import sys
import types

import cwsandbox
import pytest
from cwsandbox import SandboxExecutionError, Session

ALWAYS = {"sandboxes_created", "executions", "exec_completed_ok", "exec_completed_nonzero", "exec_failures"}
RATES = {"exec_completion_rate", "exec_failure_rate"}
STARTUP = {"startup_count", "avg_startup_seconds", "min_startup_seconds", "max_startup_seconds"}
PER_SANDBOX = {"avg_execs_per_sandbox", "min_execs_per_sandbox", "max_execs_per_sandbox"}


class Run:
    def __init__(self) -> None:
        self.logged: list[tuple[dict, dict]] = []
        self.error: Exception | None = None

    def log(self, numbers, **options):
        if self.error is not None:
            raise self.error
        self.logged.append((short(numbers), options))


@pytest.fixture
def run(monkeypatch):
    module = types.ModuleType("wandb")
    module.run = Run()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module.run  # type: ignore[attr-defined]


def short(numbers):
    assert all(name.startswith("cwsandbox/") for name in numbers)
    return {name.removeprefix("cwsandbox/"): value for name, value in numbers.items()}


def metrics(session):
    return short(session.get_metrics())


def test_nothing_has_happened():
    with Session() as session:
        assert metrics(session) == dict.fromkeys(ALWAYS, 0)
        assert session.log_metrics() is False


def test_commands_are_counted_by_outcome():
    with Session() as session:
        a, b, _ = session.sandbox(), session.sandbox(), session.sandbox()
        cwsandbox.results([a.exec(["true"]), a.exec(["false"]), b.exec(["true"])])
        with pytest.raises(SandboxExecutionError):
            b.exec(["false"], check=True).result()
        assert b.shell(["true"]).result().returncode == 0
        found = metrics(session)
        assert set(found) == ALWAYS | RATES | STARTUP
        assert found["sandboxes_created"] == 3
        assert found["executions"] == 5
        assert (found["exec_completed_ok"], found["exec_completed_nonzero"], found["exec_failures"]) == (3, 2, 0)
        assert (found["exec_completion_rate"], found["exec_failure_rate"]) == (0.6, 0.0)
        assert found["startup_count"] == 2
        assert 0 < found["min_startup_seconds"] <= found["avg_startup_seconds"] <= found["max_startup_seconds"] < 60


def test_failures_are_commands_without_an_exit_code():
    with Session() as session:
        sandbox = session.sandbox()
        process = sandbox.exec(["sleep", "100"], timeout_seconds=0.1)
        with pytest.raises(cwsandbox.SandboxTimeoutError):
            process.result()
        found = metrics(session)
        assert (found["executions"], found["exec_failures"], found["exec_failure_rate"]) == (1, 1, 1.0)


def test_stopped_sandboxes_stay_in_the_numbers():
    with Session() as session:
        for _ in range(2):
            with session.sandbox() as sandbox:
                sandbox.exec(["true"]).result()
        assert session.sandbox_count == 0
        found = metrics(session)
        assert (found["sandboxes_created"], found["executions"], found["startup_count"]) == (2, 2, 2)


def test_adopted_sandboxes_report_what_follows(shared):
    shared.exec(["true"]).result()
    session = Session()
    session.adopt(shared)
    assert metrics(session)["executions"] == 0
    shared.exec(["true"]).result()
    found = metrics(session)
    assert (found["sandboxes_created"], found["executions"]) == (0, 1)
    assert "startup_count" not in found
    session._forget(shared)  # others use it
    session.close().result()


def test_function_calls_are_executions_and_their_worker_is_not():
    with Session() as session:

        @session.function()
        def f(x):
            return 1 // x

        cwsandbox.results(f.map([(1,)] * 5))
        with pytest.raises(SandboxExecutionError):
            f.remote(0).result()
        found = metrics(session)
        assert (found["executions"], found["exec_completed_ok"], found["exec_completed_nonzero"]) == (6, 5, 1)


def test_log_sends_and_resets(run):
    with Session() as session:
        a, b = session.sandbox(), session.sandbox()
        cwsandbox.results([a.exec(["true"]), a.exec(["true"]), b.exec(["true"])])
        assert session.log_metrics(step=7, reset=False) is True
        assert session.log_metrics() is True
        assert metrics(session) == dict.fromkeys(ALWAYS, 0)
        assert session.log_metrics() is False
        a.exec(["true"]).result()
        assert session.log_metrics(3) is True
    first, second, third = run.logged
    assert first[1] == {"step": 7} and second[1] == {} and third[1] == {"step": 3}
    assert first[0] == second[0]
    assert set(first[0]) == ALWAYS | RATES | STARTUP | PER_SANDBOX
    assert (first[0]["min_execs_per_sandbox"], first[0]["max_execs_per_sandbox"]) == (1, 2)
    assert first[0]["avg_execs_per_sandbox"] == 1.5
    assert set(third[0]) == ALWAYS | RATES | PER_SANDBOX
    assert third[0]["executions"] == 1 and third[0]["sandboxes_created"] == 0


def test_closing_sends_what_is_left(run, consume):
    session = Session()
    session.sandbox().exec(["true"]).result()
    consume(session.close)
    consume(session.close)
    assert len(run.logged) == 1
    assert run.logged[0][0]["executions"] == 1


def test_a_run_that_begins_later_is_found(run):
    module = sys.modules["wandb"]
    module.run = None
    with Session(report_to=["wandb"]) as session:
        session.sandbox()
        assert session.log_metrics() is False
        assert metrics(session)["sandboxes_created"] == 1  # nothing was lost
        module.run = run
        assert session.log_metrics() is True
        module.run = None  # it stays with the run it found
        session.sandbox()
        assert session.log_metrics() is True
    assert len(run.logged) == 2


def test_a_run_that_refuses_loses_nothing(run, caplog):
    with Session() as session:
        session.sandbox()
        run.error = RuntimeError("run is finished")
        with caplog.at_level(logging.WARNING, "cwsandbox"):
            assert session.log_metrics() is False
        assert "run is finished" in caplog.text
        run.error = None
        assert session.log_metrics() is True


def test_reporting_can_be_off(run, caplog):
    with caplog.at_level(logging.WARNING, "cwsandbox"):
        for report_to in ([], ["tensorboard"]):
            with Session(report_to=report_to) as session:
                session.sandbox()
                assert session.get_metrics() == {}
                assert session.log_metrics() is False
    assert "tensorboard" in caplog.text
    with Session(report_to=["tensorboard", "wandb"]) as session:
        session.sandbox()
        assert metrics(session)["sandboxes_created"] == 1
    assert len(run.logged) == 1


def test_wandb_is_never_imported(monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, *_):
            assert name != "wandb"

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with Session(report_to=["wandb"]) as session:
        session.sandbox()
        assert session.log_metrics() is False
