"""What a result tells beside its exit code: how the command ended and what it took."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess

import pytest
from cwsandbox import Sandbox, SandboxExecutionError, SandboxTimeoutError

HOG = ["python3", "-c", "x = bytearray(1 << 30)"]  # python3 -c: the leader itself is killed
FACTS = ("timed_out", "oom_killed", "signal", "duration", "cpu_seconds", "peak_memory_bytes")


def can_limit_memory() -> bool:
    """Cgroups of ours, that is: root. An ordinary user has them only where somebody delegated them."""
    return os.geteuid() == 0


@pytest.fixture
def small(embedded_service):
    if not can_limit_memory():
        pytest.skip("a memory limit needs cgroups, and those here are root's")
    with Sandbox.run(resources={"limits": {"memory": "64Mi"}}) as sandbox:
        yield sandbox


def test_a_result_tells_what_the_command_took(shared, consume):
    result = consume(lambda: shared.exec(["python3", "-c", "x = b'1' * (64 << 20); sum(range(10**6))"]))
    assert result.returncode == 0
    assert (result.timed_out, result.oom_killed, result.signal) == (False, False, None)
    assert 0 < result.cpu_seconds
    assert 0 < result.duration < 60
    assert 64 << 20 < result.peak_memory_bytes < 256 << 20


def test_time_asleep_is_duration_and_not_cpu(shared):
    result = shared.exec(["sleep", "0.5"]).result()
    assert result.duration >= 0.5
    assert result.cpu_seconds < 0.4


def test_children_that_were_waited_for_count(shared):
    result = shared.exec(["sh", "-c", "python3 -c 'x = b\"1\" * (64 << 20)'; true"]).result()
    assert result.peak_memory_bytes > 64 << 20


def test_a_signal_is_told(shared):
    result = shared.exec(["sh", "-c", "kill -TERM $$"]).result()
    assert (result.returncode, result.signal) == (128 + signal.SIGTERM, signal.SIGTERM)
    assert shared.exec(["sh", "-c", "exit 143"]).result().signal is None


def test_out_of_memory_is_not_kill_9(small):
    by_memory = small.exec(HOG).result()
    assert (by_memory.returncode, by_memory.signal, by_memory.oom_killed) == (137, signal.SIGKILL, True)
    by_hand = small.exec(["sh", "-c", "kill -9 $$"]).result()
    assert (by_hand.returncode, by_hand.signal, by_hand.oom_killed) == (137, signal.SIGKILL, False)
    by_itself = small.exec(["sh", "-c", "exit 137"]).result()
    assert (by_itself.signal, by_itself.oom_killed) == (None, False)
    in_a_shell = small.exec(["sh", "-c", f"python3 -c '{HOG[2]}'; exit $?"]).result()
    assert (in_a_shell.signal, in_a_shell.oom_killed) == (None, True)


def stopped(sandbox):
    """A process that waits, and how to kill it by hand."""
    process = sandbox.exec(["sh", "-c", "kill -STOP $$; exec sleep 60"])
    find = sandbox.exec(["sh", "-c", "until grep -q '^State:.T' /proc/*/status; do :; done; grep -l '^State:.T' /proc/*/status"]).result()
    number = find.stdout.split("/")[2]
    return process, lambda: sandbox.exec(["kill", "-9", number]).result()


def test_of_two_that_are_killed_each_is_told_its_own_reason(small):
    """The kernel counts for each command: also where nobody's end is explained by a kill that was counted."""
    victim, kill = stopped(small)
    assert small.exec(HOG).result().oom_killed is True
    assert small.exec(["sh", "-c", f"python3 -c '{HOG[2]}'; exit 0"]).result().oom_killed is False  # a child's
    assert kill().returncode == 0
    assert victim.result().oom_killed is False
    many = [small.exec(["sh", "-c", "kill -9 $$"] if i % 2 else HOG) for i in range(6)]
    assert [process.result().oom_killed for process in many] == [True, False] * 3


def machine_count():
    with open("/proc/vmstat") as f:
        return next(line for line in f if line.startswith("oom_kill "))


def test_without_a_limit_a_kill_is_by_hand_when_no_memory_ran_out_on_the_machine(shared):
    for _ in range(50):  # somebody else's may run out just now
        before = machine_count()
        shared.exec(["sh", "-c", "kill -9 $$"]).result()  # what was counted before is over
        killed = shared.exec(["sh", "-c", "kill -9 $$"]).result()
        if machine_count() == before:
            break
    assert (killed.signal, killed.oom_killed) == (signal.SIGKILL, False)


def test_without_a_limit_a_kill_is_not_known_when_memory_ran_out_meanwhile(shared, small):
    victim, kill = stopped(shared)
    assert small.exec(HOG).result().oom_killed is True
    assert kill().returncode == 0
    assert victim.result().oom_killed is None
    assert shared.exec(["true"]).result().oom_killed is False


def test_check_carries_the_facts(small):
    with pytest.raises(SandboxExecutionError) as info:
        small.exec(HOG, check=True).result()
    assert info.value.exec_result.oom_killed is True


def test_a_time_out_has_a_result_with_what_is_known(shared, consume):
    with pytest.raises(SandboxTimeoutError, match=r"limit: 0\.5 s") as info:
        consume(lambda: shared.exec(["sh", "-c", "echo partial; exec sleep 60"], timeout_seconds=0.5))
    result = info.value.exec_result
    assert (result.timed_out, result.signal, result.returncode) == (True, signal.SIGKILL, 137)
    assert result.stdout == "partial\n"
    assert result.duration >= 0.4


def test_a_time_out_holds_its_output_once(shared):
    with pytest.raises(SandboxTimeoutError) as info:
        shared.exec(["sh", "-c", "head -c 9000000 /dev/zero; exec sleep 60"], timeout_seconds=2).result()
    error = info.value
    assert error.exec_result.timed_out
    for name in ("stdout", "stderr", "stdout_bytes", "stderr_bytes"):
        assert getattr(error, name) is getattr(error.exec_result, name)
        assert name not in vars(error)
    assert pickle.loads(pickle.dumps(error)).stdout_bytes == error.stdout_bytes


def test_what_never_ran_tells_nothing(shared):
    result = shared.exec(["no-such-program"]).result()
    assert [getattr(result, name) for name in FACTS] == [False, None, None, None, None, None]


def test_a_large_result_has_them_and_travels(shared):
    result = shared.exec(["head", "-c", "5000000", "/dev/zero"]).result()
    assert result.duration > 0
    copy = pickle.loads(pickle.dumps(result))
    assert [getattr(copy, name) for name in FACTS] == [getattr(result, name) for name in FACTS]
    assert len(copy.stdout_bytes) == 5_000_000


def test_results_of_the_same_command_are_equal(shared):
    assert shared.exec(["echo", "x"]).result() == shared.exec(["echo", "x"]).result()
