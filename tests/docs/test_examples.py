"""Every program of examples/*.py runs as it stands and prints what it should."""

from __future__ import annotations

import json
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
    "code_interpreter": "12.566\n...NameError: name 'diameter' is not defined\na child may print\n4\n"
    "...SystemExit: not so fast\nstill here, radius is 2",
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


# Code -> a part of the answer, and whether the variables of before are still there.
HOSTILE = {
    "1 + 1": ("2\n", True),
    "print('a', end='')": ("a", True),
    "x = 5": ("", True),
    "None": ("", True),
    "input()": ("EOFError", True),
    "import os; os.system('echo from a child; echo error >&2')": ("from a child\nerror\n0\n", True),
    "raise SystemExit(3)": ("SystemExit: 3", True),
    "raise KeyboardInterrupt": ("KeyboardInterrupt", True),
    "1 +": ("SyntaxError", True),
    "def f():\n    return 1 / 0\nf()": ("line 2, in f\nZeroDivisionError", True),
    "print('x' * 10_000_000)": ("... (10,000,001 bytes)", True),
    "import sys; sys.stdout = None": ("", True),
    "print('\\ud800')": ("UnicodeEncodeError", True),
    "import os; os._exit(1)": ("variables are lost", False),
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": ("variables are lost", False),
}
ENDLESS = {
    "while True: pass": ("TimeoutError: interrupted after 3 s", True),
    "import time; time.sleep(1000)": ("TimeoutError", True),
    "import time\nwhile True:\n    try:\n        time.sleep(1000)\n    except BaseException: pass": ("variables are lost", False),
}


@pytest.mark.parametrize("codes, seconds", [(HOSTILE, 60), (ENDLESS, 3)], ids=["hostile", "endless"])
def test_the_code_interpreter_survives_what_it_is_given(service, codes, seconds):
    program = (
        "import json, sys\nfrom code_interpreter import Interpreter\n"
        "with Interpreter(float(sys.argv[2])) as interpreter:\n"
        "    for code in json.loads(sys.argv[1]):\n"
        "        interpreter.run('kept = 41')\n"
        "        print(json.dumps([interpreter.run(code), interpreter.run('kept + 1')]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(list(codes)), str(seconds)],
        cwd=ROOT / "examples", text=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for (code, (part, kept)), line in zip(codes.items(), done.stdout.splitlines(), strict=True):
        answer, after = json.loads(line)
        assert part in answer and (part or not answer), (code, answer[-500:])
        assert (after == "42\n") == kept and (kept or "NameError" in after), (code, after)


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
