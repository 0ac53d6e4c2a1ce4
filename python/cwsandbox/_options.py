"""Options of a sandbox that have rules of their own: resources, placement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from typing import Any


class PlacementMode(StrEnum):
    """Where a sandbox may run."""

    UNSPECIFIED = "unspecified"
    SERVERLESS = "serverless"
    CKS = "cks"


class PlacementSpillover(StrEnum):
    """Whether a create that found no capacity is tried again elsewhere."""

    STRICT = "strict"
    CKS_THEN_SERVERLESS = "cks_then_serverless"
    SERVERLESS_THEN_CKS = "serverless_then_cks"


E = TypeVar("E", bound=StrEnum)


def to_enum(cls: type[E], value: object) -> E:
    """A member from itself or its value in any case. ValueError: there is no such member."""
    return cls(str(value).lower())


# Numbers of cws_spillover in cwsandbox.h: the place in the definition.
SPILLOVERS = tuple(PlacementSpillover)
# Numbers of the wire's SandboxMode.
MODE_NUMBERS = {PlacementMode.UNSPECIFIED: 0, PlacementMode.SERVERLESS: 1, PlacementMode.CKS: 2}


def string_tuple(value, name: str) -> tuple[str, ...]:
    """A sequence of str as a tuple; a lone string is refused, because it is a sequence too."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of strings, not {type(value).__name__}")
    try:
        items = tuple(value)
    except TypeError:
        raise TypeError(f"{name} must be a sequence of strings, not {type(value).__name__}") from None
    if not all(isinstance(item, str) for item in items):
        raise TypeError(f"{name} must contain only strings")
    return items


# ---- resources

_SUFFIXES = {"m": (1, 1000), "": (1, 1)}
_SUFFIXES |= {letter + "i": (1024**power, 1) for power, letter in enumerate("KMGTPE", 1)}
_SUFFIXES |= {letter: (1000**power, 1) for power, letter in enumerate("kMGTPE", 1)}


def parse_quantity(text: str) -> Decimal:
    """The exact value of a quantity such as "500m", "1.5", "2Gi", "1e3". ValueError when it is none."""
    import re
    from decimal import Decimal, localcontext

    stripped = text.strip()
    if not stripped:
        raise ValueError("empty quantity")
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]+)|([a-zA-Z]{1,2}))?", stripped)
    suffix = (match[3] or "") if match else ""
    if not match or suffix not in _SUFFIXES:
        raise ValueError(f"unrecognized quantity {text!r}")
    multiplier, divisor = _SUFFIXES[suffix]
    try:
        with localcontext() as context:
            context.prec = len(stripped) + 24  # exact: no multiplier has more than 19 digits, a division adds 3
            return Decimal(match[1] + (match[2] or "")) * multiplier / divisor
    except ArithmeticError:  # an exponent beyond what decimals can hold
        raise ValueError(f"unrecognized quantity {text!r}") from None


def _check_keys(side: dict | None, name: str) -> None:
    unknown = sorted(set(side or ()) - {"cpu", "memory"})
    if unknown:
        raise ValueError(f"unrecognized resource keys in {name}: {', '.join(map(str, unknown))}")


def _check_text(key: str, side: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"resource value for {key} {side} must be a string, not {type(value).__name__}")


def _check_order(requests: dict, limits: dict) -> None:
    for key in ("cpu", "memory"):
        if key not in requests or key not in limits:
            continue
        _check_text(key, "request", requests[key])
        _check_text(key, "limit", limits[key])
        if parse_quantity(requests[key]) > parse_quantity(limits[key]):
            raise ValueError(f"{key} request {requests[key]} exceeds limit {limits[key]}")


def _check_gpu(gpu) -> None:
    if not isinstance(gpu, dict):
        raise TypeError(f"gpu must be a dict, not {type(gpu).__name__}")
    unknown = sorted(set(gpu) - {"count", "type", "memory_gb"})
    if unknown:
        raise ValueError(f"unrecognized GPU keys: {', '.join(map(str, unknown))}")
    for key in ("count", "memory_gb"):
        if key in gpu and (not isinstance(gpu[key], int) or isinstance(gpu[key], bool) or gpu[key] < 1):
            raise ValueError(f"gpu {key} must be a positive int, not {gpu[key]!r}")
    if "type" in gpu and not isinstance(gpu["type"], str):
        raise ValueError(f"gpu type must be a string, not {gpu['type']!r}")


@dataclass(frozen=True, kw_only=True)
class ResourceOptions:
    """CPU and memory of a sandbox as quantity strings: requests (what it is sure to get) and limits (what it cannot pass).

    A side that is missing equals the other. gpu: {"count", "type", "memory_gb"}. Checked where a sandbox is made with it.
    """

    requests: dict[str, str] | None = None
    limits: dict[str, str] | None = None
    gpu: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("requests", "limits", "gpu"):
            value = getattr(self, name)
            if value is not None and not hasattr(value, "keys"):
                raise TypeError(f"{name} must be a dict, not {type(value).__name__}")
            object.__setattr__(self, name, dict(value) if value else None)


def _from_mapping(value: Mapping) -> ResourceOptions:
    keys = set(value)
    if keys & {"requests", "limits"}:
        unknown = sorted(keys - {"requests", "limits", "gpu"})
        if unknown:
            raise ValueError(f"unrecognized resource keys: {', '.join(map(str, unknown))}")
        return ResourceOptions(**value)
    if not keys & {"cpu", "memory", "gpu"}:
        raise TypeError(f"unrecognized resources dict keys: {sorted(map(str, keys))}")
    unknown = sorted(keys - {"cpu", "memory", "gpu"})
    if unknown:
        raise ValueError(f"unrecognized resource keys: {', '.join(map(str, unknown))}")
    # The flat form: guaranteed, the same for requests and limits.
    same = {key: value[key] for key in ("cpu", "memory") if value.get(key) is not None}
    gpu = value.get("gpu")
    if isinstance(gpu, int):
        gpu = {"count": gpu}
    return ResourceOptions(requests=same, limits=same, gpu=gpu)


def to_resources(value) -> ResourceOptions | None:
    """ResourceOptions with both sides filled in, from itself, a mapping (nested or flat) or None."""
    if value is None:
        return None
    if not isinstance(value, ResourceOptions):
        if not hasattr(value, "keys"):
            raise TypeError(f"resources must be ResourceOptions or a dict, not {type(value).__name__}")
        value = _from_mapping(value)
    _check_keys(value.requests, "requests")
    _check_keys(value.limits, "limits")
    if value.gpu is not None:
        _check_gpu(value.gpu)
    requests, limits = value.requests or value.limits, value.limits or value.requests
    if requests:
        for side, values in (("request", requests), ("limit", limits)):
            for key, text in values.items():
                _check_text(key, side, text)
        _check_order(requests, limits)
    return ResourceOptions(requests=requests, limits=limits, gpu=value.gpu)
