"""The messages of proto/ for a scripted server: importing this module makes them, for this process, and their import work."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[3]
PROTOS = ["coreweave/sandbox/v1/*.proto", "google/api/*.proto", "google/rpc/*.proto"]

# The tests fork elsewhere in this process; grpcio's own fork handlers are not needed for that and print warnings.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def _generate() -> tempfile.TemporaryDirectory:
    out = tempfile.TemporaryDirectory(prefix="cws-scripted-")
    files = [str(p) for pattern in PROTOS for p in sorted((REPO / "proto").glob(pattern))]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{REPO / 'proto'}", f"--python_out={out.name}", *files],
                   check=True)
    return out


_generated = _generate()
sys.path.insert(0, _generated.name)
