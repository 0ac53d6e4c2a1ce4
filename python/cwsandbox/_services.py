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


class EndpointAuth(StrEnum):
    """What an endpoint asks of its callers."""

    OPEN = "open"


# Numbers of the wire's enums: the place in the definition.
PROTOCOLS, VISIBILITIES = tuple(ServiceProtocol), tuple(ServiceVisibility)
_KIND_NUMBERS = {EndpointKind.HTTPS: 1}
_AUTH_NUMBERS = {EndpointAuth.OPEN: 1}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A URL for a public service. kind: EndpointKind or its value; auth: EndpointAuth or its value."""

    kind: EndpointKind
    auth: EndpointAuth

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(self, *, kind: EndpointKind | str, auth: EndpointAuth | str) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", to_enum(EndpointKind, self.kind))
        object.__setattr__(self, "auth", to_enum(EndpointAuth, self.auth))


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


def service_tuple(service: Service) -> tuple[int, str | None, int, int, int, int]:
    """The form that the extension takes."""
    endpoint = service.endpoint
    return (
        service.port,
        service.name or None,
        0 if service.protocol is None else PROTOCOLS.index(service.protocol),
        0 if service.visibility is None else VISIBILITIES.index(service.visibility),
        0 if endpoint is None else _KIND_NUMBERS[endpoint.kind],
        0 if endpoint is None else _AUTH_NUMBERS[endpoint.auth],
    )
