"""What is measured through the Python package. Each function returns plain numbers for the report."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cwsandbox
from cwsandbox import Sandbox

ECHO = ["/bin/echo", "hello"]


def times(samples_ms: list[float]) -> dict[str, float]:
    samples = sorted(samples_ms)
    return {"p50_ms": statistics.median(samples), "p99_ms": samples[min(len(samples) - 1, len(samples) * 99 // 100)],
            "n": len(samples)}


def timed(n: int, step) -> dict[str, float]:
    samples = []
    for _ in range(n):
        began = time.perf_counter()
        step()
        samples.append((time.perf_counter() - began) * 1000)
    return times(samples)


def create_first_exec(n: int) -> dict[str, float]:
    samples = []
    for _ in range(n):
        began = time.perf_counter()
        sandbox = Sandbox.run()
        assert sandbox.exec(ECHO).result().stdout == "hello\n"
        samples.append((time.perf_counter() - began) * 1000)
        sandbox.stop(graceful_shutdown_seconds=0).result()
    return times(samples)


def exec_running(n: int) -> dict[str, float]:
    with Sandbox.run() as sandbox:
        return timed(n, lambda: sandbox.exec(ECHO).result())


def exec_await(n: int) -> dict[str, float]:
    """The same through `await` on an asyncio loop."""

    async def body() -> dict[str, float]:
        samples = []
        async with Sandbox() as sandbox:
            for _ in range(n):
                began = time.perf_counter()
                await sandbox.exec(ECHO)
                samples.append((time.perf_counter() - began) * 1000)
        return times(samples)

    return asyncio.run(body())


def cycles_per_second(width: int, total: int) -> float:
    """create + exec + stop with `width` in flight."""
    began, started, finished = time.perf_counter(), 0, 0
    executing: dict = {}
    stopping: dict = {}
    while finished < total:
        while started < total and len(executing) + len(stopping) < width:
            sandbox = Sandbox()
            executing[sandbox.exec(ECHO)] = sandbox
            started += 1
        done, _ = cwsandbox.wait([*executing, *stopping], num_returns=1)
        for ref in done:
            if ref in executing:
                sandbox = executing.pop(ref)
                ref.result()
                stopping[sandbox.stop(graceful_shutdown_seconds=0)] = sandbox
            else:
                stopping.pop(ref)
                ref.result()
                finished += 1
    return total / (time.perf_counter() - began)


def client_cpu(in_flight: int) -> dict[str, float]:
    """CPU of this process per exec with many in flight."""
    with Sandbox.run() as sandbox:
        sandbox.exec(ECHO).result()
        before, began = time.process_time(), time.perf_counter()
        for process in [sandbox.exec(ECHO) for _ in range(in_flight)]:
            process.result()
        return {"ms_per_exec": (time.process_time() - before) * 1000 / in_flight,
                "execs_per_second": in_flight / (time.perf_counter() - began), "in_flight": in_flight}


def median_of(n: int, measure) -> float:
    """The first run pays for memory that the machine never used before."""
    return statistics.median(measure() for _ in range(n))


def stdout_throughput(mib: int) -> float:
    with Sandbox.run() as sandbox:
        began, got = time.perf_counter(), 0
        process = sandbox.exec(["dd", "if=/dev/zero", "bs=1M", f"count={mib}", "status=none"])
        for chunk in process.stdout:
            got += len(chunk)
        process.result()
        assert got == mib << 20, got
        return got / 1e6 / (time.perf_counter() - began)


def cat_throughput(mib: int) -> float:
    """`dd | cat` read by Python through a pipe: the same bytes with nothing in between."""
    began, got = time.perf_counter(), 0
    with subprocess.Popen(["sh", "-c", f"dd if=/dev/zero bs=1M count={mib} status=none | cat"], stdout=subprocess.PIPE) as p:
        while chunk := os.read(p.stdout.fileno(), 1 << 16):
            got += len(chunk)
    return got / 1e6 / (time.perf_counter() - began)


def file_throughput(mib: int, n: int = 9) -> dict[str, float]:
    """Medians of `n` whole-file writes and reads."""
    data = os.urandom(1 << 20) * mib
    writes, reads = [], []
    with Sandbox.run() as sandbox:
        for _ in range(n):
            began = time.perf_counter()
            sandbox.write_file("/tmp/bench.bin", data).result()
            middle = time.perf_counter()
            assert len(sandbox.read_file("/tmp/bench.bin").result()) == len(data)
            reads.append(len(data) / 1e6 / (time.perf_counter() - middle))
            writes.append(len(data) / 1e6 / (middle - began))
    return {"write_mb_per_second": statistics.median(writes), "read_mb_per_second": statistics.median(reads), "mib": mib, "n": n}


def function_map(n: int) -> dict[str, float]:
    """Wall time of f.map over n small inputs: first use, then warm, then a sandbox and interpreter for each; ms per call."""

    def add(x: int, y: int) -> int:
        return x + y

    def ms_per_call(function, count: int) -> float:
        began = time.perf_counter()
        values = [ref.result() for ref in function.map([(i, i) for i in range(count)])]
        assert values == [2 * i for i in range(count)]
        return (time.perf_counter() - began) * 1000 / count

    with cwsandbox.Session() as session:
        warm = session.function()(add)
        first = ms_per_call(warm, n)
        again = statistics.median(ms_per_call(warm, n) for _ in range(5))
        one = timed(50, lambda: warm.remote(1, 2).result())["p50_ms"]
        fresh = ms_per_call(session.function(fresh=True)(add), n)
    return {"n": n, "first_ms": first, "warm_ms": again, "one_at_a_time_ms": one, "fresh_ms": fresh}


def import_ms(module: str, n: int = 15) -> float | None:
    """Median time of `import module` in a fresh interpreter, less that of an empty program."""

    def run(code: str) -> float | None:
        samples = []
        for _ in range(n):
            began = time.perf_counter()
            if subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False).returncode:
                return None
            samples.append((time.perf_counter() - began) * 1000)
        return statistics.median(samples)

    with_it, without = run(f"import {module}"), run("pass")
    return None if with_it is None or without is None else with_it - without


def kernel_kib() -> int:
    """Memory that sandboxes cost, as the machine sees it: /proc/meminfo, KiB."""
    wanted = ("Slab:", "Percpu:", "KernelStack:", "PageTables:", "AnonPages:", "Shmem:")
    return sum(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith(wanted))


def alive(counts: list[int], samples: int = 30) -> list[dict[str, float]]:
    """Idle memory per sandbox and the cost of one more create, with that many alive."""
    rows, sandboxes = [], []
    before = kernel_kib()
    try:
        for count in counts:
            while len(sandboxes) < count:
                batch = [Sandbox() for _ in range(min(64, count - len(sandboxes)))]
                for ref in [s.start() for s in batch]:
                    ref.result()
                sandboxes += batch
            memory = (kernel_kib() - before) / count
            extra, took = [], []
            for _ in range(samples):
                time.sleep(0.05)  # a sandbox now and then: the warm pool is full again by the next one
                began = time.perf_counter()
                extra.append(Sandbox.run())
                took.append((time.perf_counter() - began) * 1000)
            row = times(took)
            for ref in [s.stop(graceful_shutdown_seconds=0) for s in extra]:
                ref.result()
            rows.append({"alive": count, "kib_each": memory, **row})
    finally:
        for ref in [s.stop(graceful_shutdown_seconds=0, missing_ok=True) for s in sandboxes]:
            ref.result()
    return rows


def raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
