"""https. A process reads its certificate authorities once, so each case is a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import grpc
import pytest
from scripted_server import ScriptedServer

PROGRAM = """
from cwsandbox import Sandbox, SandboxError
try:
    print([sb.sandbox_id for sb in Sandbox.list().result()], Sandbox.run().exec(["x"]).result().returncode)
except SandboxError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Paths of a certificate for 127.0.0.1 that vouches for itself, and of its key."""
    cert, key = (tmp_path_factory.mktemp("tls") / name for name in ("cert.pem", "key.pem"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "1",
         "-subj", "/CN=scripted", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60)  # fmt: skip
    return cert, key


@pytest.fixture
def tls_server(certificate):
    cert, key = certificate
    server = ScriptedServer(grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())]))
    yield server
    server.close()


def output(url: str, **variables: str) -> str:
    known = {k: v for k, v in os.environ.items() if k not in ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")}
    environment = {**known, "CWSANDBOX_BASE_URL": url, "CWSANDBOX_API_KEY": "secret", **variables}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("variable", ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "SSL_CERT_FILE"])
def test_calls_and_streams_go_over_tls_with_the_authorities_of_the_environment(tls_server, certificate, variable):
    assert output(tls_server.url, **{variable: str(certificate[0])}) == "['sb-scripted'] 0"
    assert {call.metadata["authorization"] for call in tls_server.calls} == {"Bearer secret"}


def test_an_unknown_authority_is_refused_before_the_key_is_sent(tls_server):
    assert output(tls_server.url).startswith("SandboxUnavailableError") and tls_server.calls == []
    assert "certificate verify failed" in output(tls_server.url)


def test_a_certificate_for_another_host_is_refused(tls_server, certificate):
    url = tls_server.url.replace("127.0.0.1", "localhost")
    said = output(url, SSL_CERT_FILE=str(certificate[0]))
    assert "certificate verify failed" in said and "mismatch" in said and tls_server.calls == []


def test_authorities_that_cannot_be_read_are_an_error_that_names_the_file(tls_server):
    assert "/nowhere.pem" in output(tls_server.url, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH="/nowhere.pem") and tls_server.calls == []


def test_plain_http_to_a_tls_port_is_unavailable(tls_server):
    assert output(tls_server.url.replace("https", "http")).startswith("SandboxUnavailableError")
