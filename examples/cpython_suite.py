"""CPython's own regression suite, one sandbox per module, in parallel.

Real code that nobody here wrote: every module runs in a fresh sandbox through one Session, four at a time. A live line shows
the progress on a terminal; the closing table has the result, the number of tests, seconds and peak memory per module.
A module that fails inside is run again outside: failing in both places is the module's or the machine's business,
failing only inside is a finding and makes the exit code 1 unless docs/cpython-suite.md explains it.

    python examples/cpython_suite.py [--jobs N] [--list] [MODULE ...]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import cwsandbox
from cwsandbox import SandboxDefaults, Session

MODULES = """
test_json test_re test_dict test_list test_set test_tuple test_unicode test_bytes test_int test_float test_complex test_decimal
test_fractions test_math test_cmath test_random test_statistics test_itertools test_functools test_collections test_heapq
test_bisect test_array test_struct test_zlib test_gzip test_bz2 test_lzma test_zipfile test_tarfile test_csv test_configparser
test_hashlib test_hmac test_base64 test_binascii test_copy test_pickle test_dataclasses test_enum test_typing test_textwrap
test_string test_difflib test_datetime test_calendar test_pathlib test_tempfile test_shutil test_glob test_fnmatch
test_subprocess test_threading test_queue test_socket test_shelve test_ast test_grammar test_generators test_contextlib
""".split()
SECONDS_PER_MODULE = 600.0

# Runs one module of the suite and reports its own peak memory; only the standard library, inside the sandbox.
RUNNER = """
import json, resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "test", "-v", sys.argv[1]], stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT, text=True, errors="replace")
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"code": done.returncode, "peak_kib": peak, "output": done.stdout}))
"""


@dataclass
class Outcome:
    module: str
    result: str
    tests: int
    seconds: float
    peak_mib: float
    output: str


def read_outcome(module: str, stdout: str, seconds: float) -> Outcome:
    """Turn what RUNNER printed into an Outcome."""
    report = json.loads(stdout.splitlines()[-1])
    output = report["output"]
    tests = sum(int(n) for n in re.findall(r"^Ran (\d+) tests?", output, re.MULTILINE))
    if report["code"] == 0:
        result = "skipped" if re.search(rf"^{module} skipped", output, re.MULTILINE) else "ok"
    else:
        result = "FAILED"
    return Outcome(module, result, tests, seconds, report["peak_kib"] / 1024, output)


def run_outside(module: str) -> bool:
    """Does the module pass on the host itself?"""
    return subprocess.run(["/usr/bin/python3", "-m", "test", module], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, cwd="/tmp", check=False).returncode == 0


class Progress:
    """One line that is rewritten on a terminal; one line per module elsewhere."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.failed = total, 0, 0
        self.live = sys.stdout.isatty()

    def show(self, outcome: Outcome, running: list[str]) -> None:
        self.done += 1
        self.failed += outcome.result == "FAILED"
        if not self.live:
            print(f"[{self.done}/{self.total}] {outcome.module} {outcome.result} {outcome.seconds:.1f} s", flush=True)
            return
        filled = 30 * self.done // self.total
        line = f"[{'#' * filled}{'.' * (30 - filled)}] {self.done}/{self.total}, {self.failed} failed, now: {' '.join(running)}"
        columns = os.get_terminal_size().columns
        print("\r\x1b[K" + line[: columns - 1], end="", flush=True)

    def close(self) -> None:
        if self.live:
            print("\r\x1b[K", end="")


def run_all(modules: list[str], jobs: int) -> tuple[list[Outcome], list[float]]:
    """Run the modules, `jobs` at a time. Returns the outcomes and the start-up time of every sandbox in milliseconds."""
    waiting, running, outcomes, starts = list(modules), {}, [], []
    progress = Progress(len(modules))
    with Session(SandboxDefaults(tags=("cpython-suite",))) as session:
        while waiting or running:
            while waiting and len(running) < jobs:
                module, began = waiting.pop(0), time.perf_counter()
                sandbox = session.sandbox()
                sandbox.wait()
                starts.append((time.perf_counter() - began) * 1000)
                process = sandbox.exec(["python3", "-c", RUNNER, module], timeout_seconds=SECONDS_PER_MODULE)
                running[process] = (module, sandbox, time.perf_counter())
            done, _ = cwsandbox.wait(list(running), num_returns=1)
            for process in done:
                module, sandbox, began = running.pop(process)
                seconds = time.perf_counter() - began
                try:
                    outcome = read_outcome(module, process.result().stdout, seconds)
                except (cwsandbox.CWSandboxError, ValueError, IndexError) as error:
                    outcome = Outcome(module, "FAILED", 0, seconds, 0.0, f"{type(error).__name__}: {error}")
                sandbox.stop()
                outcomes.append(outcome)
                progress.show(outcome, [m for m, _, _ in running.values()])
    progress.close()
    return outcomes, starts


def known_differences() -> set[str]:
    """Modules that docs/cpython-suite.md explains for this user: table rows that start with a module's name and a kind of user."""
    path = os.path.join(os.path.dirname(__file__), "..", "docs", "cpython-suite.md")
    try:
        with open(path, encoding="utf-8") as file:
            rows = re.findall(r"^\| `(test_\w+)` \| (root|an ordinary user) \|", file.read(), re.MULTILINE)
    except FileNotFoundError:
        return set()
    return {module for module, user in rows if (user == "root") == (os.geteuid() == 0)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="modules to run (default: a list of 60)")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="sandboxes at once (default: 2 per core)")
    parser.add_argument("--list", action="store_true", help="print the modules and end")
    parser.add_argument("--verbose", action="store_true", help="print the output of modules that failed")
    args = parser.parse_args()
    modules: list[str] = [*(args.modules or MODULES)]
    if args.list:
        print("\n".join(modules))
        return 0

    print(f"\nCPython's regression suite: {len(modules)} modules, one sandbox each, {args.jobs} at a time", flush=True)
    began = time.perf_counter()
    outcomes, starts = run_all(modules, args.jobs)
    wall = time.perf_counter() - began

    print(f"{'MODULE':<20} {'RESULT':<8} {'TESTS':>6} {'SECONDS':>8} {'PEAK MiB':>9}")
    for o in sorted(outcomes, key=lambda o: o.module):
        print(f"{o.module:<20} {o.result:<8} {o.tests:>6} {o.seconds:>8.1f} {o.peak_mib:>9.1f}")
    failed = [o for o in outcomes if o.result == "FAILED"]
    print(f"\n{len(outcomes) - len(failed)} of {len(outcomes)} modules passed, {sum(o.tests for o in outcomes)} tests, "
          f"{wall:.0f} s; sandboxes were running after {statistics.median(starts):.1f} ms (median), "
          f"{max(starts):.1f} ms (slowest)")

    findings, known = [], known_differences()
    for o in failed:
        if args.verbose:
            print(f"---- {o.module}\n{o.output[-4000:]}")
        if not run_outside(o.module):
            print(f"{o.module}: fails outside the sandbox too")
        elif o.module in known:
            print(f"{o.module}: differs inside a sandbox as docs/cpython-suite.md explains")
        else:
            print(f"{o.module}: passes outside, fails inside: a finding")
            findings.append(o.module)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
