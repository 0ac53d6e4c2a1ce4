"""What a sandbox may connect to, and who may connect to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ._options import to_enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123 2.1
_DNS_NAME_MAX = 253  # RFC 1035 2.3.4
_PORT_MAX = 65535
_HTTPS_PORT = 443


class TenantScope(StrEnum):
    """Which other sandboxes are meant."""

    UNSPECIFIED = "unspecified"
    SAME_USER = "same_user"
    SAME_ORG = "same_org"
    SANDBOX_NETWORK = "sandbox_network"


TENANTS = tuple(TenantScope)  # the wire's numbers are the places


@dataclass(frozen=True, kw_only=True)
class CidrBlock:
    """Addresses such as "10.0.0.0/8" without those of except_cidrs; the service reads the text. ValueError: an empty one."""

    cidr: str
    except_cidrs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cidr:
            raise ValueError("CidrBlock.cidr cannot be empty")
        object.__setattr__(self, "except_cidrs", tuple(self.except_cidrs))


@dataclass(frozen=True, kw_only=True)
class SelectorBlock:
    """Workloads of the cluster with these labels. ValueError: no pod_labels."""

    pod_labels: dict[str, str]
    namespace_labels: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.pod_labels:
            raise ValueError("SelectorBlock.pod_labels cannot be empty")
        object.__setattr__(self, "pod_labels", dict(self.pod_labels))
        if self.namespace_labels is not None:
            object.__setattr__(self, "namespace_labels", dict(self.namespace_labels))


@dataclass(frozen=True, kw_only=True)
class PortRange:
    """A port, or those from port to end_port; protocol: "TCP", "UDP", None: any. ValueError: not 1-65535, or the end comes first."""

    port: int
    end_port: int | None = None
    protocol: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.port <= _PORT_MAX:
            raise ValueError(f"PortRange.port must be in 1-65535, not {self.port!r}")
        if self.end_port is not None and not self.port <= self.end_port <= _PORT_MAX:
            raise ValueError(f"PortRange.end_port must be in {self.port}-65535, not {self.end_port!r}")


def _to_port(value: object) -> PortRange:
    if isinstance(value, PortRange):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return PortRange(port=value)
    if hasattr(value, "keys"):
        return PortRange(**value)  # type: ignore[arg-type]
    raise TypeError(f"ports must contain PortRange, dict or int, not {type(value).__name__}")


def _to_ports(value) -> tuple[PortRange, ...] | None:
    if value is None:
        return None
    if isinstance(value, (str, bytes)):
        raise TypeError(f"ports must be a sequence, not {type(value).__name__}")
    return tuple(_to_port(item) for item in value)


def _to_cidr(value) -> CidrBlock:
    if isinstance(value, CidrBlock):
        return value
    if isinstance(value, str):
        return CidrBlock(cidr=value)
    if hasattr(value, "keys"):
        fields = dict(value)
        if "except" in fields:
            fields["except_cidrs"] = fields.pop("except")
        return CidrBlock(**fields)
    raise TypeError(f"cidr must be CidrBlock, str or dict, not {type(value).__name__}")


def _to_selector(value) -> SelectorBlock:
    if isinstance(value, SelectorBlock):
        return value
    if hasattr(value, "keys"):
        return SelectorBlock(**value)
    raise TypeError(f"selector must be SelectorBlock or a dict, not {type(value).__name__}")


def _check_one(rule: object, word: str, *names: str) -> None:
    given = [name for name in names if (getattr(rule, name) is True if name == "any" else getattr(rule, name) is not None)]
    if len(given) != 1:
        raise ValueError(f"{type(rule).__name__} needs exactly one {word} of {', '.join(names)}; given: {given or 'none'}")


def _coerce(rule: object) -> None:
    """The parts that both kinds of rules have."""
    for name, convert in (("cidr", _to_cidr), ("tenant", lambda value: to_enum(TenantScope, value))):
        if getattr(rule, name) is not None:
            object.__setattr__(rule, name, convert(getattr(rule, name)))
    object.__setattr__(rule, "ports", _to_ports(rule.ports))  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class EgressRule:
    """One destination that a sandbox may connect to: exactly one of

    dns_name: by HTTPS, "api.example.org", or "*.example.com" for every name below it. cidr: CidrBlock, str or dict.
    tenant: TenantScope, other sandboxes. any: True, everything but what is internal to the platform.
    selector: SelectorBlock or dict.

    ports: PortRange, dict or int each; None, empty: all (a dns_name: TCP 443 only). dns_name_except is for policies only.
    ValueError, TypeError: wrong values.
    """

    dns_name: str | None = None
    cidr: CidrBlock | None = None
    tenant: TenantScope | None = None
    any: bool = False
    selector: SelectorBlock | None = None
    ports: tuple[PortRange, ...] | None = None
    dns_name_except: tuple[str, ...] | None = None

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            dns_name: str | None = None,
            cidr: CidrBlock | Mapping[str, Any] | str | None = None,
            tenant: TenantScope | str | None = None,
            any: bool = False,
            selector: SelectorBlock | Mapping[str, Any] | None = None,
            ports: Sequence[PortRange | Mapping[str, Any] | int] | None = None,
            dns_name_except: Sequence[str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.dns_name_except is not None:
            raise ValueError("dns_name_except is policy-only: a sandbox cannot have it")
        _check_one(self, "destination", "dns_name", "cidr", "tenant", "any", "selector")
        _coerce(self)
        if self.selector is not None:
            object.__setattr__(self, "selector", _to_selector(self.selector))
        if self.dns_name is not None:
            self._check_name()

    def _check_name(self) -> None:
        import re

        if not isinstance(self.dns_name, str):
            raise TypeError(f"dns_name must be a string, not {type(self.dns_name).__name__}")
        name = self.dns_name.strip().lower()
        if not name:
            raise ValueError("dns_name cannot be empty")
        if name == "*":
            raise ValueError("dns_name '*' is not a rule: what may be reached at all is the policy ceiling of the service")
        if len(name) > _DNS_NAME_MAX or not re.fullmatch(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*", name):
            raise ValueError(f"dns_name must be a DNS-1123 subdomain or '*.' and one, not {self.dns_name!r}")
        if self.ports and not is_https(self.ports):
            raise ValueError("a dns_name is reached by HTTPS: its ports can only be TCP 443")
        object.__setattr__(self, "dns_name", name)


def is_https(ports: Sequence[PortRange]) -> bool:
    """Exactly TCP 443."""
    if len(ports) != 1 or ports[0].port != _HTTPS_PORT:
        return False
    return ports[0].end_port in (None, _HTTPS_PORT) and (ports[0].protocol or "TCP").upper() == "TCP"


@dataclass(frozen=True, kw_only=True)
class IngressRule:
    """One source that may connect to services of visibility CUSTOM: exactly one of cidr, tenant, any; see EgressRule."""

    cidr: CidrBlock | None = None
    tenant: TenantScope | None = None
    any: bool = False
    ports: tuple[PortRange, ...] | None = None

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            cidr: CidrBlock | Mapping[str, Any] | str | None = None,
            tenant: TenantScope | str | None = None,
            any: bool = False,
            ports: Sequence[PortRange | Mapping[str, Any] | int] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        _check_one(self, "source", "cidr", "tenant", "any")
        _coerce(self)


def _to_rules(values, cls, name: str) -> tuple | None:
    if values is None:
        return None
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of rules, not a string")
    return tuple(_to_rule(value, cls, name) for value in values)


def _to_rule(value, cls, name: str):
    if isinstance(value, cls):
        return value
    if hasattr(value, "keys"):
        return cls(**value)
    raise TypeError(f"{name} must contain {cls.__name__} or dict, not {type(value).__name__}")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What a sandbox may reach and who may reach it. deny_egress, deny_ingress: True, False, or None for the service's default.

    egress: EgressRule objects or dicts, not together with deny_egress=True. ingress: IngressRule objects or dicts.
    """

    deny_egress: bool | None = None
    deny_ingress: bool | None = None
    egress: tuple[EgressRule, ...] | None = None
    ingress: tuple[IngressRule, ...] | None = None

    if TYPE_CHECKING:  # what is accepted is more than what a field is afterwards

        def __init__(
            self,
            *,
            deny_egress: bool | None = None,
            deny_ingress: bool | None = None,
            egress: Sequence[EgressRule | Mapping[str, Any]] | None = None,
            ingress: Sequence[IngressRule | Mapping[str, Any]] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "egress", _to_rules(self.egress, EgressRule, "egress"))
        object.__setattr__(self, "ingress", _to_rules(self.ingress, IngressRule, "ingress"))
        if self.egress and self.deny_egress:
            raise ValueError("deny_egress=True cannot be combined with egress rules")


def to_network(value) -> NetworkOptions | None:
    """NetworkOptions from itself, a mapping or None."""
    if value is None or isinstance(value, NetworkOptions):
        return value
    if hasattr(value, "keys"):
        return NetworkOptions(**value)
    raise TypeError(f"network must be NetworkOptions or a dict, not {type(value).__name__}")


# ---- the wire


def _rule_wire(rule: EgressRule | IngressRule) -> dict[str, object]:
    wire: dict[str, object] = {}
    if rule.cidr is not None:
        wire["cidr"] = {"cidr": rule.cidr.cidr, "except": rule.cidr.except_cidrs}
    elif rule.tenant is not None:
        wire["tenant"] = TENANTS.index(rule.tenant)
    elif rule.any:
        wire["any"] = True
    elif isinstance(rule, EgressRule) and rule.selector is not None:
        from ._wire import pairs

        selector = rule.selector
        wire["selector"] = {
            "pod_labels": pairs(selector.pod_labels),
            "namespace_labels": pairs(selector.namespace_labels or {}),
        }
    elif isinstance(rule, EgressRule):
        wire["https_hostname"] = rule.dns_name
    wire["ports"] = [{"protocol": p.protocol, "port": p.port, "end_port": p.end_port} for p in rule.ports or ()]
    return wire


def network_wire(network: NetworkOptions) -> dict[str, object]:
    """NetworkOptions of the wire."""
    return {
        "deny_egress": network.deny_egress,
        "deny_ingress": network.deny_ingress,
        "egress": [_rule_wire(rule) for rule in network.egress or ()],
        "ingress": [_rule_wire(rule) for rule in network.ingress or ()],
    }


def rules_of(cls, wire: Sequence[Mapping[str, Any]]) -> tuple:
    """Rules as the service tells them; those that cannot be said in ours are left out."""
    rules = (_rule_of(cls, rule) for rule in wire)
    return tuple(rule for rule in rules if rule is not None)


def _rule_of(cls, wire: Mapping[str, Any]):
    ports = tuple(
        PortRange(port=p["port"], end_port=p.get("end_port"), protocol=p.get("protocol"))
        for p in wire.get("ports", ())
        if 1 <= p.get("port", 0) <= _PORT_MAX and p.get("end_port", _PORT_MAX) >= p["port"]
    )
    fields: dict[str, Any] = {"ports": ports or None}
    if "https_hostname" in wire:
        fields["dns_name"] = wire["https_hostname"]
        fields["ports"] = ports if ports and is_https(ports) else None
    elif "cidr" in wire:
        fields["cidr"] = {"cidr": wire["cidr"].get("cidr", ""), "except_cidrs": wire["cidr"].get("except", ())}
    elif "tenant" in wire and wire["tenant"] < len(TENANTS):
        fields["tenant"] = TENANTS[wire["tenant"]]
    elif wire.get("any"):
        fields["any"] = True
    elif "selector" in wire:
        from ._wire import mapping

        fields["selector"] = {
            "pod_labels": mapping(wire["selector"].get("pod_labels", ())),
            "namespace_labels": mapping(wire["selector"].get("namespace_labels", ())) or None,
        }
    try:
        return cls(**fields)
    except (TypeError, ValueError):
        return None
