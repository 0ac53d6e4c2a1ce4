"""Fixtures: generated messages, and one scripted server per test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
PROTOS = ["coreweave/sandbox/v1/*.proto", "google/api/*.proto", "google/rpc/*.proto"]

# The tests fork elsewhere in this process; grpcio's own fork handlers are not needed for that and print warnings.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def _generate() -> tempfile.TemporaryDirectory:
    out = tempfile.TemporaryDirectory(prefix="cws-scripted-")
    files = [str(p) for pattern in PROTOS for p in sorted((REPO / "proto").glob(pattern))]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{REPO / 'proto'}", f"--python_out={out.name}", *files],
                   check=True)
    return out


_generated = _generate()  # before a test module is imported: they import the messages
sys.path[:0] = [_generated.name, str(Path(__file__).parent)]


@pytest.fixture
def server(monkeypatch):
    """A scripted server that the package finds by itself."""
    from scripted_server import ScriptedServer

    scripted = ScriptedServer()
    monkeypatch.setenv("CWSANDBOX_BASE_URL", scripted.url)
    yield scripted
    scripted.close()


@pytest.fixture
def sb(server):
    """A sandbox that was accepted; nothing is known about it yet. Nobody has to stop it: it does not exist."""
    import warnings

    from cwsandbox import Sandbox

    sandbox = Sandbox.run()
    yield sandbox
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del sandbox
