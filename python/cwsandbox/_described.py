"""What the service says about a sandbox, as properties. The words are taken apart in _echo."""

from __future__ import annotations

from . import _core, _echo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import datetime

    from ._config import Config
    from ._containers import Container, ContainerStatus
    from ._endpoints import EndpointShareToken, HttpsEndpointStatus, TlsPassthroughEndpointStatus
    from ._file import SandboxControl
    from ._network import EgressRule, IngressRule


class Described(_core.SandboxBase):
    """Base of Sandbox; asks for nothing, repeats the last answer."""

    _config: Config | None = None
    _endpoint_token: EndpointShareToken | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags: as asked for, then as the service tells them."""
        heard = self._described
        if heard is None:
            return () if self._config is None else tuple(self._config.tags)
        return _echo.tags(heard)

    @property
    def created_at(self) -> datetime | None:
        """datetime (UTC) when the service made it, or None."""
        return _echo.created_at(self._described)

    @property
    def control(self) -> SandboxControl | None:
        """SandboxControl: who runs its containers; None before the first answer."""
        return _echo.control(self._described)

    @property
    def containers(self) -> tuple[Container, ...]:
        """Its containers as the service tells them; may be used for another create."""
        return _echo.containers(self._described)

    @property
    def container_statuses(self) -> tuple[ContainerStatus, ...]:
        """How each container is, as last heard."""
        return _echo.container_statuses(self._described)

    @property
    def service_endpoints(self) -> tuple[HttpsEndpointStatus, ...]:
        """Its HTTPS endpoints, as last heard."""
        return _echo.service_endpoints(self._described)

    @property
    def service_addresses(self) -> tuple[TlsPassthroughEndpointStatus, ...]:
        """Its TLS passthrough endpoints while it is created or runs."""
        rows = self._tls_addresses
        if not rows:
            return ()
        from ._endpoints import EndpointKind, TlsPassthroughEndpointStatus

        kind = EndpointKind.TLS_PASSTHROUGH
        return tuple(TlsPassthroughEndpointStatus(port=p, name=n, kind=kind, address=a) for p, n, a in rows)

    @property
    def endpoint_share_token(self) -> EndpointShareToken | None:
        """EndpointShareToken for its endpoints with auth SHARE_TOKEN; only the object that created the sandbox has it."""
        value = self._share_token
        if value is None or self._config is None or self._config.from_file is not None:
            return None
        if self._endpoint_token is None or self._endpoint_token.get_secret_value() != value:
            from ._endpoints import EndpointShareToken

            self._endpoint_token = EndpointShareToken(value)
        return self._endpoint_token

    @property
    def effective_runtime_class(self) -> str | None:
        """How it is isolated, as the service tells it, or None."""
        return _echo.effective_runtime_class(self._described)

    @property
    def attached_volume_ids(self) -> tuple[str, ...]:
        """Registered volumes that it has."""
        return _echo.attached_volume_ids(self._described)

    @property
    def effective_egress(self) -> tuple[EgressRule, ...]:
        """What it may connect to, as the service applies it."""
        return _echo.effective_egress(self._described)

    @property
    def effective_ingress(self) -> tuple[IngressRule, ...]:
        """Who may connect to it, as the service applies it."""
        return _echo.effective_ingress(self._described)

    def _repr_html_(self) -> str:
        from ._display import sandbox_html

        return sandbox_html(self)
