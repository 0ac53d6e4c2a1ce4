"""How the public services of a sandbox are reached, as the service tells it."""

from __future__ import annotations

from dataclasses import dataclass

from ._services import EndpointAuth, EndpointKind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


@dataclass(frozen=True, kw_only=True)
class HttpsEndpointStatus:
    """An HTTPS endpoint. url: "" when the service does not tell it. request_timeout_seconds: after it a request is answered 504."""

    port: int
    name: str
    kind: EndpointKind
    auth: EndpointAuth
    url: str
    request_timeout_seconds: int


@dataclass(frozen=True, kw_only=True)
class TlsPassthroughEndpointStatus:
    """A TLS endpoint. address: "host:port"; the host is also the name for SNI."""

    port: int
    name: str
    kind: EndpointKind
    address: str


class EndpointShareToken:
    """The secret that requests to an endpoint with auth SHARE_TOKEN need. Texts of it show nothing of the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"EndpointShareToken: value must be str, not {type(value).__name__}")
        if not value:
            raise ValueError("EndpointShareToken: value must not be empty")
        self._value = value

    def get_secret_value(self) -> str:
        """The token itself."""
        return self._value

    def as_headers(self) -> dict[str, str]:
        """The header of a request that passes."""
        return {"X-Sandbox-Share-Token": self._value}

    def __str__(self) -> str:
        return "<redacted>"

    def __repr__(self) -> str:
        return "EndpointShareToken(<redacted>)"


_KIND_HTTPS = 1
_AUTHS = {1: EndpointAuth.OPEN, 2: EndpointAuth.SHARE_TOKEN}


def https_endpoints(services: Iterable[Mapping[str, Any]]) -> tuple[HttpsEndpointStatus, ...]:
    """Rows of the services that have an HTTPS endpoint with a time-out and an auth that is known."""
    rows = []
    for service in services:
        endpoint = service.get("endpoint", {})
        auth = _AUTHS.get(endpoint.get("auth", 0))
        timeout = endpoint.get("request_timeout_seconds", 0)
        if endpoint.get("kind") == _KIND_HTTPS and auth is not None and timeout > 0:
            row = HttpsEndpointStatus(
                port=service.get("port", 0),
                name=service.get("name", ""),
                kind=EndpointKind.HTTPS,
                auth=auth,
                url=endpoint.get("url", ""),
                request_timeout_seconds=timeout,
            )
            rows.append(row)
    return tuple(rows)
