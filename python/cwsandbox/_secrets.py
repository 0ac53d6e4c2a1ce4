"""Secrets: values that the service fetches from a secret store, and this client never sees."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def _check_given(owner: object, *names: str) -> None:
    for name in names:
        if not getattr(owner, name):
            raise ValueError(f"{type(owner).__name__}: {name} cannot be empty")


@dataclass(frozen=True, kw_only=True)
class Secret:
    """An environment variable (env_var, default: name) with the value of a secret in a store; field: a part of it."""

    store: str
    name: str
    field: str = ""
    env_var: str | None = None

    def __post_init__(self) -> None:
        if self.env_var is None:
            object.__setattr__(self, "env_var", self.name)
        _check_given(self, "store", "name", "env_var")


@dataclass(frozen=True, kw_only=True)
class ImagePullCredentials:
    """The secret with which the image is pulled from a registry."""

    registry: str
    store: str
    name: str
    field: str = ""

    def __post_init__(self) -> None:
        _check_given(self, "registry", "store", "name")


def to_secrets(values: Sequence[Secret | Mapping] | None) -> tuple[Secret, ...]:
    """A tuple of Secret from Secret objects and dicts; None: none."""
    if values is None:
        return ()
    if isinstance(values, (str, bytes)) or hasattr(values, "keys"):
        raise TypeError(f"secrets must be a sequence of Secret or dict, not {type(values).__name__}")
    return tuple(_to_secret(value) for value in values)


def _to_secret(value) -> Secret:
    if isinstance(value, Secret):
        return value
    if hasattr(value, "keys"):
        return Secret(**value)
    raise TypeError(f"secrets must contain Secret or dict, not {type(value).__name__}")


def merge_secrets(secrets: Iterable[Secret]) -> tuple[Secret, ...]:
    """Without what is there twice. ValueError: two different secrets for one variable."""
    by_variable: dict[str | None, Secret] = {}
    for secret in secrets:
        known = by_variable.setdefault(secret.env_var, secret)
        if known != secret:
            raise ValueError(
                f"Conflicting secrets for env_var {secret.env_var!r}: "
                f"{known.store}/{known.name} and {secret.store}/{secret.name}"
            )
    return tuple(by_variable.values())


def to_pull_credentials(value) -> ImagePullCredentials | None:
    """ImagePullCredentials from itself, a mapping or None."""
    if value is None or isinstance(value, ImagePullCredentials):
        return value
    if hasattr(value, "keys"):
        return ImagePullCredentials(**value)
    raise TypeError(f"image_pull_credentials must be ImagePullCredentials or a dict, not {type(value).__name__}")
