"""The W&B login of this machine as call metadata. The package wandb is asked for its settings; it is loaded by nobody else."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .exceptions import CWSandboxAuthenticationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWN_HOST = "api.wandb.ai"
# 40 characters, or more with a prefix ("local-") or in newer versions; a token of an identity provider has dots
_API_KEY = re.compile(r"[\w-]{40,}")


def _package() -> Any:
    try:
        import wandb  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise CWSandboxAuthenticationError(
            'W&B credentials need the package wandb: pip install "cwsandbox[wandb]"'
        ) from error
    return wandb


def _key_of_netrc(host: str) -> str | None:
    """The password for the host. W&B's own file: NETRC, else ~/.netrc, else ~/_netrc."""
    import netrc
    import os

    named = os.environ.get("NETRC")
    for path in (named,) if named else ("~/.netrc", "~/_netrc"):
        try:
            entry = netrc.netrc(os.path.expanduser(path)).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        return entry[2] if entry else None
    return None


def wandb_headers(entity: str | None, project: str | None) -> dict[str, str]:
    """Metadata of the login and the names. CWSandboxAuthenticationError: there is no login with an API key."""
    wandb = _package()
    settings = wandb.setup().settings
    address = urlsplit(getattr(settings, "base_url", None) or f"https://{_OWN_HOST}")
    key = getattr(settings, "api_key", None) or _key_of_netrc(address.hostname or "")
    if not key:
        raise CWSandboxAuthenticationError("W&B is not logged in: run `wandb login` or set WANDB_API_KEY")
    if not _API_KEY.fullmatch(key):
        raise CWSandboxAuthenticationError("W&B's credentials are not an API key")
    run = getattr(wandb, "run", None)
    entity = entity or getattr(run, "entity", None) or getattr(settings, "entity", None)
    project = project or getattr(settings, "project", None)
    named = {
        "x-wandb-api-key": key,
        "x-wandb-sdk-version": str(wandb.__version__),
        "x-wandb-host": None if address.hostname == _OWN_HOST else address.netloc.rpartition("@")[2],
        "x-entity-id": entity,
        "x-project-name": project,
    }
    return {name: value for name, value in named.items() if value}
