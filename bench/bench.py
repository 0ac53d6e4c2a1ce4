"""`make bench`: measure cwsandbox through C and through Python, beside the peers of this machine, in one run.

Writes bench/out/results.json, bench/out/results.md and, with matplotlib, bench/out/results.png. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE / "out"

# The embedded service of this run is its own: no state from, and none left for, the user's real one.
RUNTIME_DIR = tempfile.mkdtemp(prefix="cwsandbox-bench-run-")
os.environ.update(XDG_RUNTIME_DIR=RUNTIME_DIR, CWSANDBOX_IDLE_SECONDS="2", CWSANDBOX_MAX_SANDBOXES="20000")
for name in ("CWSANDBOX_BASE_URL", "CWSANDBOX_API_KEY"):
    os.environ.pop(name, None)

sys.path.insert(0, str(HERE))
import measures  # noqa: E402 (the environment comes first)
import peers  # noqa: E402
import report  # noqa: E402


def step(text: str) -> None:
    print(f"  {text} ...", file=sys.stderr, flush=True)


def measure_python(quick: bool) -> dict:
    n = 50 if quick else 300
    result: dict = {}
    step("Python: create -> first exec")
    measures.create_first_exec(5)
    result["create_first_exec"] = measures.create_first_exec(n)
    step("Python: exec in a running sandbox")
    result["exec_running"] = measures.exec_running(3 * n)
    result["exec_await"] = measures.exec_await(3 * n)
    step("Python: create + exec + stop per second")
    result["cycles_per_second"] = {str(w): measures.cycles_per_second(w, 2 * n) for w in (1, 2, 4, 8, 16, 32, 64)}
    step("Python: client CPU, throughput")
    result["client_cpu"] = measures.client_cpu(1000)
    result["stdout_mb_per_second"] = measures.median_of(5, lambda: measures.stdout_throughput(512))
    result["cat_mb_per_second"] = measures.median_of(5, lambda: measures.cat_throughput(512))
    result["file"] = measures.file_throughput(32)
    result["function_map"] = measures.function_map(200)
    return result


def measure_peers(quick: bool) -> list[dict]:
    with peers.controllers_parked(), peers.workspace() as base:
        return [measure_peer(peer, quick) for peer in peers.find(base)]


def measure_peer(peer: peers.Peer, quick: bool) -> dict:
    row = {"name": peer.name, "note": peer.note, "missing": peer.missing}
    if peer.missing:
        return row
    step(f"peer: {peer.name}")
    command = peer.fresh if callable(peer.fresh) else (lambda: peer.fresh)
    began = time.perf_counter()
    peers.quiet(command())
    slow = time.perf_counter() - began > 0.08
    n = (20 if slow else 100) if quick else (30 if slow else 200)
    row["fresh"] = measures.timed(n, lambda: peers.quiet(command()))
    if peer.running:
        row["running"] = measures.timed(n, lambda: peers.quiet(peer.running))
    for cmd in peer.close:
        peers.quiet(cmd)
    return row


def measure_grpcio() -> dict:
    """The client peer, when grpcio is importable here."""
    if subprocess.run([sys.executable, "-c", "import grpc"], stderr=subprocess.DEVNULL, check=False).returncode:
        return {"missing": "grpcio is not installed"}
    step("peer: grpcio client")
    generated = tempfile.mkdtemp(prefix="cwsandbox-bench-pb-")
    protos = HERE.parent / "proto"
    files = [str(p.relative_to(protos)) for p in (protos / "coreweave").rglob("*.proto")] + ["google/api/annotations.proto",
             "google/api/http.proto", "google/api/field_behavior.proto"]
    try:
        subprocess.run(["protoc", f"-I{protos}", f"--python_out={generated}", *files], check=True, capture_output=True)
        # google is a namespace package: protobuf's half lives in site-packages, ours beside it.
        done = subprocess.run([sys.executable, str(HERE / "grpcio_client.py"), f"{RUNTIME_DIR}/cwsandbox/service.sock",
                               generated, "1000"], capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            return {"missing": done.stderr.strip().splitlines()[-1]}
        return json.loads(done.stdout)
    except (subprocess.SubprocessError, OSError) as error:
        return {"missing": str(error)}
    finally:
        shutil.rmtree(generated, ignore_errors=True)


def measure_c(stage: Path, quick: bool) -> dict:
    step("C: everything")
    done = subprocess.run([str(stage / "libexec/cwsandbox/bench-c"), "50" if quick else "300"], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        return {"missing": done.stderr.strip()}
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", type=Path, required=True, help="the staged installation (make build)")
    parser.add_argument("--quick", action="store_true", help="fewer samples; for a look, not for the record")
    parser.add_argument("--alive", type=int, nargs="*", default=[10, 1000, 5000], help="how many sandboxes to hold alive")
    args = parser.parse_args()
    measures.raise_descriptor_limit()
    OUT.mkdir(exist_ok=True)
    results = {
        "machine": {"kernel": platform.release(), "cpus": os.cpu_count(), "python": platform.python_version(),
                    "date": time.strftime("%Y-%m-%d")},
        "python": measure_python(args.quick),
        "c": measure_c(args.stage, args.quick),
        "grpcio": measure_grpcio(),
        "import_ms": {name: measures.import_ms(name) for name in ("cwsandbox", "grpc")},
        "peers": measure_peers(args.quick),
    }
    step(f"alive: {args.alive}")
    results["alive"] = measures.alive(args.alive) if args.alive else []
    shutil.rmtree(RUNTIME_DIR, ignore_errors=True)  # the service is idle and ends by itself
    (OUT / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = report.table(results)
    (OUT / "results.md").write_text(text)
    print(text)
    report.plot(results, OUT / "results.png")
    print(f"written: {OUT}/results.json, results.md" + (", results.png" if (OUT / "results.png").exists() else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
