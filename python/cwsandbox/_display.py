"""How results and sandboxes look where a person looks: a prompt, print(), a cell of a notebook."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._described import Described
    from ._types import ProcessResult

SHORT = 200  # characters of a stream in a repr
LONG = 20_000  # and in a cell


def _short(text: str) -> str:
    if len(text) <= SHORT:
        return repr(text)
    return f"{text[:SHORT]!r}... ({len(text):,} characters)"


def _true(result: ProcessResult) -> list[str]:
    """The flags that are set: what was cut, what killed it."""
    from dataclasses import fields

    return [f.name for f in fields(result) if getattr(result, f.name) is True]


def result_repr(result: ProcessResult) -> str:
    """One line: each stream once, and not all of a long one."""
    parts = [f"stdout={_short(result.stdout)}", f"stderr={_short(result.stderr)}", f"returncode={result.returncode}"]
    parts += [f"command={result.command!r}", *(f"{name}=True" for name in _true(result))]
    parts += [f"signal={result.signal}"] if result.signal else []
    return f"ProcessResult({', '.join(parts)})"


def _parts(result: ProcessResult) -> tuple[str, str, str]:
    """Output, error output, and what else there is to say."""
    notes = [f"exit code {result.returncode}"] if result.returncode else []
    notes += [f"signal {result.signal}"] if result.signal else []
    notes += [name.replace("_", " ") for name in _true(result)]
    return result.stdout, result.stderr, f"[{', '.join(notes)}]" if notes else ""


def result_text(result: ProcessResult) -> str:
    """What the command wrote, stdout first, as print() ends it; then an exit code that is not 0."""
    return "\n".join(part.removesuffix("\n") for part in _parts(result) if part)


def _pre(text: str, style: str) -> str:
    from html import escape

    more = f"\n... ({len(text):,} characters)" if len(text) > LONG else ""
    return f'<pre style="margin:0;{style}">{escape(text[:LONG] + more)}</pre>'


def result_html(result: ProcessResult) -> str:
    """The same for a cell: error output in red."""
    styles = ("", "color:#b00", "color:#888")
    shown = [_pre(part, style) for part, style in zip(_parts(result), styles, strict=True) if part]
    return "".join(shown) or _pre("[no output]", styles[-1])


def sandbox_html(sandbox: Described) -> str:
    """A sandbox as a small table; asks the service for nothing."""
    from html import escape

    started = sandbox.started_at
    rows = {
        "Sandbox": sandbox.sandbox_id,
        "status": sandbox.status or "not_started",
        "reason": sandbox.status_reason,
        "returncode": sandbox.returncode,
        "started": None if started is None else f"{started:%Y-%m-%d %H:%M:%S} UTC",
        "tags": ", ".join(sandbox.tags) or None,
    }
    cells = (f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items() if value is not None)
    return f"<table>{''.join(cells)}</table>"
