"""Services: ports of a sandbox that others may reach."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ._options import to_enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


class ServiceProtocol(StrEnum):
    """Transport protocol of a service."""

    UNSPECIFIED = "unspecified"
    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


class ServiceVisibility(StrEnum):
    """Who may reach a service."""

    UNSPECIFIED = "unspecified"
    PUBLIC = "public"
    PRIVATE = "private"
    CUSTOM = "custom"


class EndpointKind(StrEnum):
    """What stands before a public service."""

    HTTPS = "https"
    TLS_PASSTHROUGH = "tls_passthrough"


class EndpointAuth(StrEnum):
    """What an endpoint asks of its callers."""

    OPEN = "open"
    SHARE_TOKEN = "share_token"


# Numbers of the wire's enums: the place in the definition.
PROTOCOLS, VISIBILITIES = tuple(ServiceProtocol), tuple(ServiceVisibility)
_KIND_NUMBERS = {EndpointKind.HTTPS: 1, EndpointKind.TLS_PASSTHROUGH: 2}
_AUTH_NUMBERS = {EndpointAuth.OPEN: 1, EndpointAuth.SHARE_TOKEN: 2}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A way to a public service. kind: EndpointKind or its value.

    HTTPS: a URL; auth (EndpointAuth or its value) is required. request_timeout_seconds: after it a request is answered 504;
    None, 0: the service's default. TLS_PASSTHROUGH: TLS goes through to the container; neither auth nor a time-out.
    ValueError, TypeError: wrong values.
    """

    kind: EndpointKind
    auth: EndpointAuth | None = None
    request_timeout_seconds: int | None = None

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            kind: EndpointKind | str,
            auth: EndpointAuth | str | None = None,
            request_timeout_seconds: int | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", to_enum(EndpointKind, self.kind))
        timeout = self.request_timeout_seconds
        if timeout is not None and (not isinstance(timeout, int) or isinstance(timeout, bool)):
            raise TypeError(f"request_timeout_seconds must be an int, not {type(timeout).__name__}")
        if self.auth is not None:
            object.__setattr__(self, "auth", to_enum(EndpointAuth, self.auth))
        if self.kind == EndpointKind.HTTPS:
            if self.auth is None:
                raise ValueError("auth is required for an HTTPS endpoint")
            return
        if self.auth is not None:
            raise ValueError("auth must be unset for a TLS passthrough endpoint")
        if timeout is not None:
            raise ValueError("request_timeout_seconds must be unset for a TLS passthrough endpoint")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A port (1-65535) that others may reach. Enum values may be given as strings; None: the service decides.

    endpoint: an Endpoint or a dict; needs visibility PUBLIC and protocol TCP or none. ValueError, TypeError: wrong values.
    """

    port: int
    name: str | None = None
    protocol: ServiceProtocol | None = None
    visibility: ServiceVisibility | None = None
    endpoint: Endpoint | None = None

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            port: int,
            name: str | None = None,
            protocol: ServiceProtocol | str | None = None,
            visibility: ServiceVisibility | str | None = None,
            endpoint: Endpoint | Mapping[str, Any] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not isinstance(self.port, int) or isinstance(self.port, bool) or not 1 <= self.port <= 65535:
            raise ValueError(f"service port must be an int in 1-65535, not {self.port!r}")
        if self.protocol is not None:
            object.__setattr__(self, "protocol", to_enum(ServiceProtocol, self.protocol))
        if self.visibility is not None:
            object.__setattr__(self, "visibility", to_enum(ServiceVisibility, self.visibility))
        if self.endpoint is None:
            return
        endpoint = self.endpoint
        if hasattr(endpoint, "keys"):
            endpoint = Endpoint(**endpoint)
        if not isinstance(endpoint, Endpoint):
            raise TypeError(f"endpoint must be an Endpoint or a dict, not {type(endpoint).__name__}")
        object.__setattr__(self, "endpoint", endpoint)
        if self.visibility != ServiceVisibility.PUBLIC:
            raise ValueError("a service with an endpoint needs visibility PUBLIC")
        if self.protocol not in (None, ServiceProtocol.UNSPECIFIED, ServiceProtocol.TCP):
            raise ValueError("a service with an endpoint needs protocol TCP")


def to_services(values: Sequence[Service | Mapping] | None) -> tuple[Service, ...] | None:
    """A tuple of Service from Service objects and dicts; None stays."""
    if values is None:
        return None
    if isinstance(values, (str, bytes)) or hasattr(values, "keys"):
        raise TypeError(f"services must be a sequence of Service or dict, not {type(values).__name__}")
    return tuple(_to_service(value) for value in values)


def _to_service(value) -> Service:
    if isinstance(value, Service):
        return value
    if hasattr(value, "keys"):
        return Service(**value)
    raise TypeError(f"services must contain Service or dict, not {type(value).__name__}")


def service_wire(service: Service) -> dict[str, object]:
    """Service of the wire."""
    endpoint = service.endpoint
    return {
        "port": service.port,
        "name": service.name or None,
        "protocol": None if service.protocol is None else PROTOCOLS.index(service.protocol),
        "visibility": None if service.visibility is None else VISIBILITIES.index(service.visibility),
        "endpoint": None
        if endpoint is None
        else {
            "kind": _KIND_NUMBERS[endpoint.kind],
            "auth": None if endpoint.auth is None else _AUTH_NUMBERS[endpoint.auth],
            "request_timeout_seconds": endpoint.request_timeout_seconds or None,
        },
    }
