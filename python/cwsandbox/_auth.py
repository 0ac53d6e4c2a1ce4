"""Credentials: which headers go with each call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from . import _core
from .exceptions import CWSandboxAuthenticationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class AuthHeaders:
    """Headers for every call and the name of the strategy that made them. False when there are none."""

    headers: dict[str, str]
    strategy: str

    def __bool__(self) -> bool:
        return bool(self.headers)


def _from_environment() -> AuthHeaders:
    key = os.environ.get("CWSANDBOX_API_KEY")
    if not key:
        return AuthHeaders({}, "none")
    return AuthHeaders({"Authorization": f"Bearer {key}"}, "api_key")


class AuthStrategy(StrEnum):
    """Where credentials come from, as an argument ``auth=``."""

    COREWEAVE_API_KEY = "coreweave_api_key"
    WANDB = "wandb"


@runtime_checkable
class AuthProvider(Protocol):
    """Anything that makes credentials itself, as an argument ``auth=``."""

    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        """Credentials for the service at base_url.

        Called on the thread that makes the call: once per Sandbox when it is first used, once per call of the class. It must not
        block for long. What it raises is raised by the call.
        """
        ...


@dataclass(frozen=True)
class WandbAuth:
    """The W&B login of this machine, for an entity and a project; None: the active run's entity, then W&B's settings.

    Needs the package wandb. ValueError: a name is blank.
    """

    entity: str | None = None
    project: str | None = None

    def __post_init__(self) -> None:
        for name in ("entity", "project"):
            value = getattr(self, name)
            if value is not None and not value.strip():
                raise ValueError(f"WandbAuth.{name} cannot be blank")

    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        """Headers of the login of this moment. CWSandboxAuthenticationError: there is none, or no package wandb."""
        from ._wandb_auth import wandb_headers

        return AuthHeaders(wandb_headers(self.entity, self.project), "wandb_api_key")


AuthConfig = AuthStrategy | AuthProvider | AuthHeaders


def _by_strategy(strategy: AuthStrategy, url: str) -> AuthHeaders:
    if strategy is AuthStrategy.WANDB:
        return WandbAuth().resolve_auth(base_url=url)
    auth = _from_environment()
    if not auth:
        raise CWSandboxAuthenticationError("auth=AuthStrategy.COREWEAVE_API_KEY: CWSANDBOX_API_KEY is not set")
    return auth


def _by_provider(provider: AuthProvider, url: str) -> AuthHeaders:
    auth = provider.resolve_auth(base_url=url)
    if not isinstance(auth, AuthHeaders):
        what = "" if auth is None else f", but a {type(auth).__name__}"
        raise CWSandboxAuthenticationError(f"{type(provider).__name__}.resolve_auth() returned no credentials{what}")
    return auth


def _resolve(auth: object, url: str) -> AuthHeaders:
    if isinstance(auth, AuthStrategy):
        return _by_strategy(auth, url)
    if isinstance(auth, AuthHeaders):
        return auth
    return _by_provider(auth, url)  # type: ignore[arg-type]


def url_with(base_url: str | None, auth: AuthConfig) -> str:
    """The URL of target_with()."""
    if base_url or os.environ.get("CWSANDBOX_BASE_URL") or (isinstance(auth, AuthHeaders) and not auth):
        return _core.Target(base_url, {}).url
    from ._defaults import HOSTED_URL

    return str(HOSTED_URL)


def target_with(base_url: str | None, auth: AuthConfig) -> _core.Target:
    """Where calls go with credentials of their own. No URL: the environment, else the hosted service, as with an API key.

    TypeError: auth is none of AuthConfig.
    """
    if isinstance(auth, type) or not isinstance(auth, (AuthStrategy, AuthHeaders, AuthProvider)):
        raise TypeError(f"auth must be an AuthStrategy, AuthHeaders or an AuthProvider, not {type(auth).__name__}")
    if isinstance(auth, AuthHeaders) and not auth:
        return _core.Target(base_url, {})  # no credentials are none for the hosted service
    url = url_with(base_url, auth)
    return _core.Target(url, {key.lower(): value for key, value in _resolve(auth, url).headers.items()})


_mode: tuple[str, Callable[[], AuthHeaders]] = ("default", _from_environment)


def set_auth_mode(name: str, get_auth: Callable[[], AuthHeaders]) -> None:
    """Replace how credentials are found, for the whole process, where no ``auth=`` was given.

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
        raise CWSandboxAuthenticationError(f"Configured auth mode {name} returned no credentials")
    if not isinstance(auth, AuthHeaders):
        what = type(auth).__name__
        raise CWSandboxAuthenticationError(f"Configured auth mode {name} returned {what}, expected AuthHeaders")
    return auth


def resolve_auth_metadata() -> dict[str, str]:
    """The same as lower-case call metadata."""
    return {key.lower(): value for key, value in resolve_auth().headers.items()}
