"""The extension, told where the service programs of this package are."""

from __future__ import annotations

import os

from . import _core
from ._core import OperationRef, Process, StreamReader, StreamWriter, TerminalSession

__all__ = ["OperationRef", "Process", "StreamReader", "StreamWriter", "TerminalSession", "make_target"]

_programs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_bin")
if os.path.exists(os.path.join(_programs, "cwsandboxd")):
    _core.set_service_dir(_programs)  # CWSANDBOX_SERVICE_PATH still wins


def make_target(base_url: str | None) -> _core.Target:
    """Where calls go, with the credentials of this moment. No URL: the environment, else the service of this machine."""
    import sys

    auth = sys.modules.get(f"{__package__}._auth")
    if auth is None:  # nobody replaced the mode: the library reads CWSANDBOX_API_KEY itself
        return _core.Target(base_url)
    return _core.Target(base_url, auth.resolve_auth_metadata())
