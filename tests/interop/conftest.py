"""Fixtures: the virtual environment with grpcio, generated messages, and running services."""

import os
import subprocess
import sys
from pathlib import Path

# grpcio's handlers of fork() abort the child now and then, before subprocess.run(user=...) gets to its exec.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import pytest

from environments import BUILD, CACHE, PACKAGES, REPO, environment, messages


def pytest_configure(config):
    """Before any test module is imported: they all import grpc."""
    venv = environment("venv", PACKAGES)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path[:0] = [str(messages(venv)), str(venv / "lib" / version / "site-packages"),
                    str(Path(__file__).parent), str(REPO / "tests")]
    sys.path.append(str(REPO / "tests" / "image"))


def users():
    """As root both halves run: the service as root, and as a user that owns nothing."""
    return ["root", "user"] if os.geteuid() == 0 else ["user"]


@pytest.fixture(scope="session", params=users())
def service(request, tmp_path_factory):
    """One service for most tests; each test makes its own sandboxes."""
    from service import Service

    # Whether an ordinary user may set limits depends on the machine; what is tested here does not.
    with Service(as_user=request.param == "user", args=["--accept-unenforced-limits"]) as s:
        yield s


@pytest.fixture(params=users())
def own_service(request):
    """A factory of services for tests that stop or kill theirs."""
    from service import Service

    started = []

    def start(**kwargs):
        s = Service(as_user=request.param == "user", **kwargs)
        started.append(s)
        return s.__enter__()

    start.as_user = request.param == "user"
    yield start
    for s in started:
        s.__exit__(None, None, None)


class FrontArgs(list):
    """Flags for a front with TLS, and what a visitor needs: `port`, and `certificate` to trust, whose key is beside it."""


@pytest.fixture(scope="session")
def front_args(tmp_path_factory):
    from service import free_port

    directory = tmp_path_factory.mktemp("front")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=sandboxes",
                    "-addext", "subjectAltName=DNS:*.sandbox.localhost"], check=True, capture_output=True)
    port = free_port()
    args = FrontArgs(["--front", f"https://127.0.0.1:{port}", "--tls-cert", str(certificate), "--tls-key", str(key)])
    args.port, args.certificate, args.directory = port, str(certificate), directory
    return args


@pytest.fixture
def sandbox(service):
    """A running sandbox without a main process."""
    box = service.create()
    yield box
    box.delete()
