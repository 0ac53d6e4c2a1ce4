"""The other end of the direct data plane: a scripted server that takes callers with a certificate of its own authority only.

Its grant() is the answer to ConnectSandbox::

    server.on("ConnectSandbox", direct.grant)
    server.on("ConnectSandbox", lambda call: direct.grant(call, expires_in=60))
"""

from __future__ import annotations

import itertools
import subprocess
import threading
import time

import grpc
from coreweave.sandbox.v1 import sandbox_pb2 as pb
from scripted_server import ScriptedServer

DATA_PLANE = "coreweave.sandbox.v1.SandboxDataPlaneService"


def openssl(*words, stdin=None) -> bytes:
    return subprocess.run(["openssl", *map(str, words)], input=stdin, check=True, capture_output=True, timeout=60).stdout


class Authority:
    """Signs for one test module; also holds the endpoint's own certificate, for 127.0.0.1."""

    def __init__(self, directory):
        self.cert, self.key = directory / "ca.pem", directory / "ca.key"
        self.endpoint_cert, self.endpoint_key = directory / "endpoint.pem", directory / "endpoint.key"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        openssl("req", "-x509", *curve, "-keyout", self.key, "-out", self.cert, "-subj", "/CN=authority")
        openssl("req", "-x509", *curve, "-keyout", self.endpoint_key, "-out", self.endpoint_cert, "-subj", "/CN=endpoint",
                "-CA", self.cert, "-CAkey", self.key, "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE")  # fmt: skip
        self._numbers = itertools.count(1)

    def sign(self, csr_der: bytes) -> bytes:
        return openssl("x509", "-req", "-inform", "DER", "-CA", self.cert, "-CAkey", self.key, "-days", "1",
                       "-set_serial", next(self._numbers), stdin=csr_der)  # fmt: skip

    def server_credentials(self, clients_of=None):
        pair = (self.endpoint_key.read_bytes(), self.endpoint_cert.read_bytes())
        return grpc.ssl_server_credentials([pair], root_certificates=(clients_of or self).cert.read_bytes(), require_client_auth=True)


class DirectPeer(ScriptedServer):
    """clients_of: the Authority of those whom it takes, if it is not the one that signs."""

    def __init__(self, authority: Authority, clients_of: Authority | None = None):
        self._authority = authority
        self._signing = threading.Lock()
        super().__init__(authority.server_credentials(clients_of), service=DATA_PLANE)

    def grant(self, call, *, expires_in=3600, **fields) -> pb.SandboxConnection:
        """What ConnectSandbox answers; `fields` instead of what is right."""
        with self._signing:
            chain = self._authority.sign(call.request.csr_der)
        answer = pb.SandboxConnection(
            endpoint_uri=self.url, client_certificate_chain_pem=chain, server_ca_bundle_pem=self._authority.cert.read_bytes(),
            endpoint_id="endpoint", transport="SANDBOX_DATA_TRANSPORT_DIRECT_MTLS", protocol="SANDBOX_DATA_PROTOCOL_CONNECT_H2_V1",
            granted_permissions=call.request.requested_permissions)  # fmt: skip
        answer.expires_at.FromNanoseconds(time.time_ns() + int(expires_in * 1_000_000_000))
        for name, value in fields.items():
            answer.ClearField(name)
            if isinstance(value, list):
                getattr(answer, name).extend(value)
            elif value is not None:
                setattr(answer, name, value)
        return answer

    def connections(self) -> set[str]:
        """The client's ends of the connections that calls came by."""
        return {call.context.peer() for call in self.calls}

    def open_connections(self) -> list:
        return self._relay.pairs()

    def refused(self) -> int:
        return self._relay.n_refused

    def stall(self):
        """Connections are accepted, and nothing is passed on."""
        self._relay.stalled = True

