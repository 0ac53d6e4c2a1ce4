"""Registries on loopback: Debian's docker-registry, and one of ours that breaks, lies and redirects on demand."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from making import Layout


def make_certificate(directory: Path) -> tuple[Path, Path]:
    key, certificate = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    certificate.chmod(0o644)
    return key, certificate


def basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


class RealRegistry:
    """docker-registry with its data in @directory."""

    program = shutil.which("docker-registry")

    def __init__(self, directory: Path, *, tls: bool = False, login: tuple[str, str] | None = None) -> None:
        self.login, self.certificate = login, None
        config = {"version": 0.1, "log": {"level": "info"}, "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
                  "http": {"addr": "127.0.0.1:0"}}
        if tls:
            key, self.certificate = make_certificate(directory)
            config["http"]["tls"] = {"certificate": str(self.certificate), "key": str(key)}
        if login:
            line = subprocess.run(["htpasswd", "-nbB", *login], check=True, capture_output=True, text=True).stdout
            (directory / "htpasswd").write_text(line)
            config["auth"] = {"htpasswd": {"realm": "here", "path": str(directory / "htpasswd")}}
        (directory / "config.yml").write_text(json.dumps(config))
        self.process = subprocess.Popen([self.program, "serve", directory / "config.yml"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"listening on (127\.0\.0\.1:\d+)", line):
                self.host = found[1]
                break
        else:
            raise AssertionError("docker-registry did not start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def request(self, method: str, url: str, data: bytes | None = None, media: str = "application/octet-stream"):
        request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": media})
        if self.login:
            request.add_header("Authorization", "Basic " + basic(*self.login))
        context = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        return urllib.request.urlopen(request, context=context)

    def push(self, name: str, tag: str, layout: Layout, descriptor: dict) -> None:
        base = f"{'https' if self.certificate else 'http'}://{self.host}/v2/{name}"
        manifests = []
        for digest, data in layout.blobs.items():
            if data[:1] == b"{" and b"schemaVersion" in data[:40]:
                manifests.append((digest, data))
                continue
            where = self.request("POST", f"{base}/blobs/uploads/", b"").headers["Location"]
            self.request("PUT", f"{where}&digest=sha256:{digest}", data)
        for digest, data in manifests:  # an index comes after those it names
            media = json.loads(data)["mediaType"]
            self.request("PUT", f"{base}/manifests/sha256:{digest}", data, media)
            if descriptor["digest"] == f"sha256:{digest}":
                self.request("PUT", f"{base}/manifests/{tag}", data, media)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stderr.close()


@contextlib.contextmanager
def real_registries() -> Iterator[Callable[..., RealRegistry]]:
    """A factory of docker-registry's; their data goes with them."""
    if not RealRegistry.program:
        pytest.skip("docker-registry is not installed")
    with tempfile.TemporaryDirectory(prefix="cws-registry-") as name:
        os.chmod(name, 0o755)
        running = []

        def start(**options: object) -> RealRegistry:
            running.append(RealRegistry(Path(name), **options))
            return running[-1]

        yield start
        for registry in running:
            registry.stop()



class ScriptedRegistry:
    """Serves a layout as `any/name:tag`. What it does is in its attributes; what it was asked is in `asked`."""

    def __init__(self, layout: Layout, descriptor: dict) -> None:
        self.layout, self.descriptor = layout, descriptor
        self.break_after: dict[str, int] = {}  # digest: bytes of each answer before the connection is cut
        self.ranges, self.redirect, self.token, self.add = True, None, None, b""
        self.failures = 0  # answers 503 so often
        self.gate: threading.Event | None = None  # blobs are not answered before it is set
        self.asked: list[tuple[str, str, str | None]] = []  # path, Range, Authorization
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                registry.serve(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = "127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, h: http.server.BaseHTTPRequestHandler) -> None:
        wanted, authorization = h.headers.get("Range"), h.headers.get("Authorization")
        self.asked.append((h.path, wanted, authorization))
        if h.path.startswith("/token"):
            return self.answer(h, 200, json.dumps({"token": self.token}).encode())
        if self.failures > 0:
            self.failures -= 1
            return self.answer(h, 503, b"")
        if self.token and authorization != f"Bearer {self.token}":
            challenge = f'Bearer realm="http://{self.host}/token?x=1",service="svc, with comma",scope="repository:any/name:pull"'
            return self.answer(h, 401, b"", {"WWW-Authenticate": challenge})
        if self.gate and "/blobs/" in h.path:
            self.gate.wait(60)
        digest = h.path.rsplit("/", 1)[1].removeprefix("sha256:")
        if "/manifests/" in h.path and digest not in self.layout.blobs:
            digest = self.descriptor["digest"][7:]
        if self.redirect and "/blobs/" in h.path:
            return self.answer(h, 307, b"", {"Location": self.redirect + h.path})
        data = self.layout.blobs.get(digest)
        if data is None:
            return self.answer(h, 404, b"")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        self.answer(h, 206 if start else 200, data[start:] + self.add, {}, self.break_after.get(digest))

    def answer(self, h, status: int, data: bytes, headers: dict | None = None, cut: int | None = None) -> None:
        h.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            h.send_header(key, value)
        h.end_headers()
        h.wfile.write(data[:cut])
        if cut is not None and cut < len(data):
            h.close_connection = True

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
