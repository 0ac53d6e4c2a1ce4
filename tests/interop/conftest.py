"""Fixtures: the virtual environment with grpcio, generated messages, and running services."""

import os
import subprocess
import sys
from pathlib import Path

# grpcio's handlers of fork() abort the child now and then, before subprocess.run(user=...) gets to its exec.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import pytest

REPO = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CWS_BUILD_DIR", REPO / "build")).resolve()
CACHE = BUILD / "interop"
PACKAGES = ["grpcio", "grpcio-tools", "grpcio-health-checking", "grpcio-reflection"]
PROTOS = ["coreweave/sandbox/v1/*.proto", "google/api/*.proto", "google/rpc/*.proto"]


def _venv(name: str, packages: list[str]) -> Path:
    """A virtual environment of this interpreter with packages, made once."""
    root = CACHE / name
    stamp = root / "complete"
    if not stamp.exists():
        subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
        # Isolated: to pip our own package on a PYTHONPATH is a cwsandbox==1.22.0 that is already there
        subprocess.run([str(root / "bin" / "python"), "-I", "-m", "pip", "install", "-q", *packages], check=True)
        stamp.write_text("\n".join(packages))
    return root


def _generate(venv: Path) -> Path:
    out = CACHE / "generated"
    newest = max(p.stat().st_mtime for p in (REPO / "proto").rglob("*.proto"))
    stamp = out / "complete"
    if not stamp.exists() or stamp.stat().st_mtime < newest:
        out.mkdir(parents=True, exist_ok=True)
        files = [str(p) for pattern in PROTOS for p in (REPO / "proto").glob(pattern)]
        subprocess.run(
            [str(venv / "bin" / "python"), "-m", "grpc_tools.protoc", f"-I{REPO / 'proto'}",
             f"--python_out={out}", f"--grpc_python_out={out}", *files], check=True)
        stamp.touch()
    return out


def pytest_configure(config):
    """Before any test module is imported: they all import grpc."""
    CACHE.mkdir(parents=True, exist_ok=True)
    venv = _venv("venv", PACKAGES)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path[:0] = [str(_generate(venv)), str(venv / "lib" / version / "site-packages"),
                    str(Path(__file__).parent), str(REPO / "tests")]
    sys.path.append(str(REPO / "tests" / "image"))


@pytest.fixture(scope="session")
def venv_factory():
    return _venv


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
