"""Every program of examples/*.py runs as it stands and prints what it should."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from blocks import matches
from conftest import ROOT

# What each prints; "..." is any text.
PRINTS = {
    "quickstart": "hello from a sandbox\n  ... ms ...\nhello from a sandbox\n  ... ms ...",
    "basic_execution": "running\n4 words\nbrown fox quick the\nterminated",
    "async_patterns": "line 1\nline 2\nline 3\nexit 0\n[0, 1, 4, 9, 16]",
    "code_interpreter": "12.566\n...NameError: name 'diameter' is not defined...\nstill here, radius is 2",
    "large_files": "same content: True",
    "parallel_batch_job": "[2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41]",
    "function_decorator": "2.5\n[0.5, 1.5, 2.5, 3.5, 4.5]\nfailed in the sandbox: statistics.StatisticsError - ...",
    "error_handling": "a failing command is a result: 3\nwith check=True it raises: 3 why\ntoo slow: killed\n"
    "no such file: /nowhere\nno such sandbox: sb-0000000000000000\nno such service: SandboxUnavailableError",
    "reconnect_and_clean_up": "what an earlier program left\nadopted: 1\nolder than an hour: 0\nleft: 0\nremembered: True",
    "discover_infrastructure": "... healthy, ... vCPU, ...iB, ...\nfree: ... vCPU, ...iB; ... running\nwith 4096 vCPU free: 0\nran on ...: True",
    "resources_and_logs": "level = 3\nstep 1\nstep 2\nstep 3\ncompleted 5 {...}\nover its memory limit: 137",
}
ELSEWHERE = {"cpython_suite"}  # `make demo` and CI run it
INTERRUPTED = {"follow_logs"}  # ends with Ctrl-C: test_an_example_ends_with_ctrl_c


def test_every_example_is_here():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == PRINTS.keys() | ELSEWHERE | INTERRUPTED


@pytest.mark.parametrize("name", PRINTS)
def test_example_prints_what_it_should(service, name, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path, text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert matches(PRINTS[name], done.stdout), done.stdout
    assert not done.stderr


def test_an_example_ends_with_ctrl_c(service):
    program = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "follow_logs.py")], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with program:
        try:
            assert [program.stdout.readline() for _ in range(2)] == ["tick 1\n", "tick 2\n"]
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=60)
        finally:
            program.kill()
    assert out.endswith("enough\nterminated\n") and (program.returncode, err) == (0, "")
