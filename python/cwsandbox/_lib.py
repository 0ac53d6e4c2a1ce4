"""The extension, told where the service programs of this package are."""

from __future__ import annotations

import os

from . import _core
from ._core import OperationRef, PortForward, Process, StreamReader, StreamWriter, TerminalSession

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._auth import AuthConfig

__all__ = ["OperationRef", "PortForward", "Process", "StreamReader", "StreamWriter", "TerminalSession", "make_target"]

_programs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_bin")
if os.path.exists(os.path.join(_programs, "cwsandboxd")):
    _core.set_service_dir(_programs)  # CWSANDBOX_SERVICE_PATH still wins


def url_of(base_url: str | None, auth: AuthConfig | None) -> str:
    """The URL of make_target(); no credentials are asked for."""
    if auth is None:
        return _core.Target(base_url, {}).url
    from ._auth import url_with

    return url_with(base_url, auth)


def make_target(base_url: str | None, auth: AuthConfig | None = None) -> _core.Target:
    """Where calls go, with the credentials of this moment. No URL: the environment, else the service of this machine.

    With an auth of its own: see target_with() in _auth.py.
    """
    if auth is not None:
        from ._auth import target_with

        return target_with(base_url, auth)
    import sys

    auth = sys.modules.get(f"{__package__}._auth")
    if auth is None:  # nobody replaced the mode: the library reads CWSANDBOX_API_KEY itself
        return _core.Target(base_url)
    return _core.Target(base_url, auth.resolve_auth_metadata())
