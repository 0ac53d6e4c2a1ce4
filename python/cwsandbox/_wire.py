"""Small pieces of the wire's form: dicts of its field names, with maps as lists of key and value. None and empty are not sent."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ._options import ResourceOptions
    from ._secrets import ImagePullCredentials, Secret


def pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    """A map."""
    return [{"key": key, "value": value} for key, value in values.items()]


def mapping(entries: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """A map, back."""
    return {entry.get("key", ""): entry.get("value", "") for entry in entries}


def resources(options: ResourceOptions | None) -> dict[str, Any] | None:
    """ResourceRequirements; @options has both sides."""
    if options is None:
        return None
    gpu = dict(options.gpu) if options.gpu else None
    if gpu and "memory_gb" in gpu:
        gpu.pop("type", None)  # a oneof: the memory, when both are there
    sides = ((options.requests or {}), (options.limits or {}))
    requests, limits = ({"cpu": s.get("cpu"), "memory": s.get("memory"), "gpu": gpu} for s in sides)
    return {"requests": requests, "limits": limits}


def secret_stores(secrets: Iterable[Secret]) -> list[dict[str, Any]]:
    """SecretStoreReferences in the order of their first secret."""
    stores: dict[str, list[dict[str, Any]]] = {}
    for secret in secrets:
        stores.setdefault(secret.store, []).append({"path": secret.name, "field": secret.field, "env_var": secret.env_var})
    return [{"store_name": store, "secrets": items} for store, items in stores.items()]


def pull_credentials(pull: ImagePullCredentials | None) -> dict[str, Any] | None:
    """ImagePullCredentials."""
    if pull is None:
        return None
    return {
        "registry": pull.registry,
        "credentials": {"store_name": pull.store, "path": pull.name, "field": pull.field},
    }


def _file(entry: Mapping[str, Any], i: int) -> tuple[str, Any]:
    for key in ("mount_path", "file_content"):
        if key not in entry:
            raise KeyError(f"mounted_files[{i}] has no {key!r}")
    return entry["mount_path"], entry["file_content"]


def files(mounted_files: Any) -> list[tuple[str, bytes]]:
    """[(path, bytes)] from a list of dicts or a mapping of path to content."""
    if hasattr(mounted_files, "items"):
        entries = list(mounted_files.items())
    else:
        entries = [_file(entry, i) for i, entry in enumerate(mounted_files)]
    return [(path, _content(path, content)) for path, content in entries]


def _content(path: str, content: Any) -> bytes:
    if isinstance(content, (bytes, bytearray)):
        return bytes(content)
    try:
        return str(content).encode()
    except UnicodeEncodeError:
        raise ValueError(f"mounted_files: the content of {path!r} is no text: UTF-8 cannot hold it") from None
