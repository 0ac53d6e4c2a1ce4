"""trio and anyio, in a process of their own: see trio_tests.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("trio_tests.py")


def test_trio_and_anyio_await_handles_and_streams():
    for name in ("trio", "trio_asyncio", "anyio"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("CWS_TEST_RUNTIME_DIR", None)  # its session ends its own service
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PROGRAM)],
                          env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) == PROGRAM.read_text().count("\ndef test_") + 2  # two run on two loops
