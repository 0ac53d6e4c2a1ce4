"""Credentials: which headers go with each call."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from .exceptions import CWSandboxAuthenticationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class AuthHeaders:
    """Headers for every call and the name of the strategy that made them. False when there are none."""

    headers: dict[str, str] = field(default_factory=dict)
    strategy: str = "none"

    def __bool__(self) -> bool:
        return bool(self.headers)


def _from_environment() -> AuthHeaders:
    key = os.environ.get("CWSANDBOX_API_KEY")
    if not key:
        return AuthHeaders({}, "none")
    return AuthHeaders({"Authorization": f"Bearer {key}"}, "api_key")


_mode: tuple[str, Callable[[], AuthHeaders]] = ("default", _from_environment)


def set_auth_mode(name: str, get_auth: Callable[[], AuthHeaders]) -> None:
    """Replace how credentials are found, for the whole process.

    get_auth is called on the caller's thread: once per Sandbox when it is first used, once per list, from_id and delete. It returns
    AuthHeaders, or raises CWSandboxAuthenticationError. It must not block for long. TypeError: get_auth cannot be called.
    """
    if not callable(get_auth):
        raise TypeError(f"get_auth of mode {name!r} must be callable, not {type(get_auth).__name__}")
    global _mode
    _mode = (name, get_auth)


def resolve_auth() -> AuthHeaders:
    """Headers of the active mode, now. CWSandboxAuthenticationError when it returned none."""
    name, get_auth = _mode
    auth = get_auth()
    if auth is None:
        raise CWSandboxAuthenticationError(f"Authentication mode {name!r} returned no credentials")
    if not isinstance(auth, AuthHeaders):
        raise TypeError(f"get_auth of mode {name!r} must return AuthHeaders, not {type(auth).__name__}")
    return auth


def resolve_auth_metadata() -> dict[str, str]:
    """The same as lower-case call metadata."""
    return {key.lower(): value for key, value in resolve_auth().headers.items()}
