"""Fixtures: generated messages, and one scripted server per test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import messages  # noqa: E402, F401  before a test module is imported: they import the messages


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
