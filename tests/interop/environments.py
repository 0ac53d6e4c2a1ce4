"""Virtual environments of the tests, each made once. As a program: makes them all, so that no test waits for the package registry."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CWS_BUILD_DIR", REPO / "build")).resolve()
CACHE = BUILD / "interop"
PACKAGES = ["grpcio", "grpcio-tools", "grpcio-health-checking", "grpcio-reflection"]
PROTOS = ["coreweave/sandbox/v1/*.proto", "google/api/*.proto", "google/rpc/*.proto"]
OLDEST, NEWEST = "1.6.0", "1.22.0"
WANDB = "wandb==0.31.0"
PUBLISHED = {f"published-{OLDEST}": [f"cwsandbox=={OLDEST}"], f"published-{NEWEST}": [f"cwsandbox=={NEWEST}"],
             "published-wandb": [f"cwsandbox=={NEWEST}", WANDB]}


def environment(name: str, packages: list[str]) -> Path:
    """A virtual environment of this interpreter with packages. Whoever needs it while it is being made waits."""
    root = CACHE / name
    stamp = root / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
            # Isolated: to pip our own package on a PYTHONPATH is a cwsandbox==1.22.0 that is already there
            subprocess.run([str(root / "bin" / "python"), "-I", "-m", "pip", "install", "-q", *packages], check=True)
            stamp.write_text("\n".join(packages))
    return root


def published(name: str) -> Path:
    """The interpreter of an environment with published clients: a key of PUBLISHED."""
    return environment(name, PUBLISHED[name]) / "bin" / "python"


def messages(venv: Path) -> Path:
    """A directory with the Python messages and stubs of proto/."""
    out = CACHE / "generated"
    newest = max(p.stat().st_mtime for p in (REPO / "proto").rglob("*.proto"))
    stamp = out / "complete"
    with open(CACHE / "generated.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.stat().st_mtime < newest:
            out.mkdir(parents=True, exist_ok=True)
            files = [str(p) for pattern in PROTOS for p in (REPO / "proto").glob(pattern)]
            subprocess.run(
                [str(venv / "bin" / "python"), "-m", "grpc_tools.protoc", f"-I{REPO / 'proto'}",
                 f"--python_out={out}", f"--grpc_python_out={out}", *files], check=True)
            stamp.touch()
    return out


if __name__ == "__main__":
    messages(environment("venv", PACKAGES))
    for name in PUBLISHED:
        published(name)
