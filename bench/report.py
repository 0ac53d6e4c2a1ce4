"""Turns the numbers of bench.py into a table and a plot."""

from __future__ import annotations

from pathlib import Path


def _times(t: dict) -> str:
    return f"{t['p50_ms']:.2f} / {t['p99_ms']:.2f}"


def _ratio(theirs: dict, ours: dict) -> str:
    return f"{theirs['p50_ms'] / ours['p50_ms']:.1f}x"


def table(r: dict) -> str:
    """A Markdown report: every figure of one run, ratios against cwsandbox through Python."""
    py, c, m = r["python"], r["c"], r["machine"]
    out = [f"Measured {m['date']} on Linux {m['kernel']}, {m['cpus']} CPUs, Python {m['python']}; p50 / p99 in ms.\n",
           "| what | fresh sandbox + echo | ratio | echo in a running one | ratio | note |",
           "|---|---|---|---|---|---|",
           f"| **cwsandbox, Python** | {_times(py['create_first_exec'])} | 1 | {_times(py['exec_running'])} | 1 | namespaces, netns, cgroup limits, seccomp, overlay |",
           f"| cwsandbox, Python `await` | | | {_times(py['exec_await'])} | {_ratio(py['exec_await'], py['exec_running'])} | asyncio |"]
    if "missing" not in c:
        out.append(f"| cwsandbox, C | {_times(c['create_first_exec'])} | {_ratio(c['create_first_exec'], py['create_first_exec'])} "
                   f"| {_times(c['exec_running'])} | {_ratio(c['exec_running'], py['exec_running'])} | libcwsandbox |")
    for p in r["peers"]:
        if p["missing"]:
            out.append(f"| {p['name']} | not measured | | | | {p['missing']} |")
            continue
        running = p.get("running")
        out.append(f"| {p['name']} | {_times(p['fresh'])} | {_ratio(p['fresh'], py['create_first_exec'])} "
                   f"| {_times(running) if running else ''} | {_ratio(running, py['exec_running']) if running else ''} | {p['note']} |")

    out += ["", "| create + exec + stop per second, in flight | " + " | ".join(py["cycles_per_second"]) + " |",
            "|---|" + "---|" * len(py["cycles_per_second"]),
            "| Python | " + " | ".join(f"{v:.0f}" for v in py["cycles_per_second"].values()) + " |"]
    if "missing" not in c:
        out.append("| C | " + " | ".join(f"{v:.0f}" for v in c["cycles_per_second"].values()) + " |")

    out += ["", "| measure | Python | C | peer |", "|---|---|---|---|"]
    g, imports = r["grpcio"], r["import_ms"]
    theirs = g.get("missing") or f"grpcio {g['ms_per_exec']:.3f} ({g['ms_per_exec'] / py['client_cpu']['ms_per_exec']:.1f}x)"
    has_c = "missing" not in c

    def row(what: str, a: str, b: str, p: str) -> None:
        out.append(f"| {what} | {a} | {b if has_c else c['missing']} | {p} |")

    row("client CPU per exec, 1,000 in flight (ms)", f"{py['client_cpu']['ms_per_exec']:.3f}",
        f"{c['client_cpu']['ms_per_exec']:.3f}" if has_c else "", theirs)
    row("stdout (MB/s)", f"{py['stdout_mb_per_second']:.0f}", f"{c['stdout']['mb_per_second']:.0f}" if has_c else "",
        f"dd \\| cat through a pipe {py['cat_mb_per_second']:.0f}")
    row("write / read a 32 MiB file (MB/s)", f"{py['file']['write_mb_per_second']:.0f} / {py['file']['read_mb_per_second']:.0f}",
        f"{c['file']['write_mb_per_second']:.0f} / {c['file']['read_mb_per_second']:.0f}" if has_c else "", "")
    f = py["function_map"]
    row(f"function.map over {f['n']}, ms per call: first use / warm / fresh=True",
        f"{f['first_ms']:.2f} / {f['warm_ms']:.2f} / {f['fresh_ms']:.1f}", "", "")
    row("import (ms over bare Python)", f"{imports['cwsandbox']:.1f}", "",
        f"grpc {imports['grpc']:.1f}" if imports.get("grpc") else "grpc not installed")

    if r["alive"]:
        out += ["", "| alive | KiB each | one more create, p50 / p99 ms |", "|---|---|---|"]
        out += [f"| {a['alive']} | {a['kib_each']:.0f} | {_times(a)} |" for a in r["alive"]]
    return "\n".join(out) + "\n"


def plot(r: dict, path: Path) -> None:
    """Bars of fresh and running echo per tool, on a log scale. Skipped without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [("cwsandbox", r["python"]["create_first_exec"], r["python"]["exec_running"])]
    rows += [(p["name"], p["fresh"], p.get("running")) for p in r["peers"] if not p["missing"]]
    figure, axis = pyplot.subplots(figsize=(8, 0.6 * len(rows) + 1.5))
    for i, (_, fresh, running) in enumerate(rows):
        for offset, color, t in ((-0.2, "#1f6f8b", fresh), (0.2, "#e0a458", running)):
            if t:
                axis.barh(i + offset, t["p50_ms"], 0.38, color=color)
                axis.plot([t["p50_ms"], max(t["p99_ms"], t["p50_ms"])], [i + offset] * 2, color="black", lw=1)
                axis.text(max(t["p99_ms"], t["p50_ms"]) * 1.05, i + offset, f"{t['p50_ms']:.2f}", va="center", fontsize=8)
    axis.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlabel("ms, log scale; bar = median, line to p99. Blue: fresh sandbox + echo. Yellow: echo in a running one")
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
