"""Images made by hand: tar and JSON, also such as no program would make."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OCI = "application/vnd.oci.image."


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar_of(*entries: tuple, pax: dict | None = None) -> bytes:
    """A tar of (name, content or ("type", link) or dict of tarfile's attributes)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=pax or {}) as tar:
        for name, content, *more in entries:
            info = tarfile.TarInfo(name)
            info.mtime = 1_000_000_000
            data = b""
            if isinstance(content, bytes):
                data, info.size = content, len(content)
            else:
                info.type, info.linkname = content
                info.mode = 0o755 if info.type == tarfile.DIRTYPE else 0o644
            for key, value in (more[0] if more else {}).items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


DIRECTORY = (tarfile.DIRTYPE, "")


def config_of(*layers: bytes, **config: object) -> bytes:
    return json.dumps({"os": "linux", "architecture": ARCHITECTURE, "config": config,
                       "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha256(layer) for layer in layers]}}).encode()


def docker_archive(layers: list[bytes], config: bytes, tags: list[str]) -> bytes:
    """As `docker save` writes it."""
    manifest = [{"Config": "config.json", "RepoTags": tags, "Layers": [f"{i}/layer.tar" for i in range(len(layers))]}]
    return tar_of(*[(f"{i}/layer.tar", layer) for i, layer in enumerate(layers)], ("config.json", config),
                  ("manifest.json", json.dumps(manifest).encode()))


class Layout:
    """An OCI layout in memory: blobs by digest."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[dict] = []

    def add(self, data: bytes, media: str, **more: object) -> dict:
        self.blobs[sha256(data)] = data
        return {"mediaType": media, "digest": "sha256:" + sha256(data), "size": len(data), **more}

    def image(self, layers: list[bytes], *, pack: object = gzip.compress, **config: object) -> dict:
        """A descriptor of a manifest."""
        packed = [self.add(pack(layer), OCI + "layer.v1.tar+gzip") for layer in layers]
        manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "layers": packed,
                    "config": self.add(config_of(*layers, **config), OCI + "config.v1+json")}
        return self.add(json.dumps(manifest).encode(), OCI + "manifest.v1+json")

    def index(self, *descriptors: dict) -> dict:
        text = json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": list(descriptors)}).encode()
        return self.add(text, OCI + "index.v1+json")

    def files(self, *descriptors: dict) -> dict[str, bytes]:
        return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
                "index.json": json.dumps({"schemaVersion": 2, "manifests": list(descriptors)}).encode(),
                **{f"blobs/sha256/{digest}": data for digest, data in self.blobs.items()}}

    def directory(self, path: Path, *descriptors: dict) -> Path:
        for name, data in self.files(*descriptors).items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path

    def tar(self, *descriptors: dict) -> bytes:
        return tar_of(*self.files(*descriptors).items())
