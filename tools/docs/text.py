"""Comments and docstrings as HTML. They are plain text with three habits: paragraphs, indented `name: text` lists, indented code."""

from __future__ import annotations

import re
from html import escape

_ITEM = re.compile(r"\s+(?P<names>@?\w[\w.*, |]*?):\s+(?P<text>.+)")


def highlight(code: str, language: str) -> str:
    from pygments import highlight as run
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    return run(code, get_lexer_by_name(language), HtmlFormatter(cssclass="codehilite"))


def inline(text: str) -> str:
    """`x` and ``x`` are code; the rest is escaped."""
    parts = re.split(r"``(.+?)``|`([^`]+)`", text)
    out = []
    for i in range(0, len(parts), 3):
        out.append(escape(parts[i], quote=False))
        code = parts[i + 1 : i + 3]
        if code:
            out.append(f"<code>{escape(code[0] or code[1], quote=False)}</code>")
    return "".join(out)


def _list(lines: list[str]) -> str:
    """Indented `names: text` lines; deeper lines continue the one before."""
    items: list[tuple[str, str]] = []
    for line in lines:
        match = _ITEM.fullmatch(line)
        if match:
            items.append((match["names"].lstrip("@"), match["text"]))
        elif items:
            items[-1] = (items[-1][0], items[-1][1] + " " + line.strip())
    rows = "".join(f"<dt><code>{escape(n)}</code></dt><dd>{inline(t)}</dd>" for n, t in items)
    return f"<dl>{rows}</dl>"


def prose(text: str, language: str) -> str:
    """Plain text with the habits above; indented blocks that are no list are code of this language."""
    out, paragraph, indented = [], [], []

    def flush() -> None:
        if paragraph:
            out.append(f"<p>{inline(' '.join(paragraph))}</p>")
            paragraph.clear()
        if indented:
            if _ITEM.fullmatch(indented[0]):
                out.append(_list(indented))
            else:
                margin = min(len(line) - len(line.lstrip()) for line in indented if line)
                out.append(highlight("\n".join(line[margin:] for line in indented).rstrip(), language))
            indented.clear()

    for line in text.strip("\n").split("\n"):
        if not line.strip():
            if indented and not _ITEM.fullmatch(indented[0]):
                indented.append("")  # code goes on behind an empty line
            else:
                flush()
        elif line.startswith("    "):
            if paragraph:
                flush()
            indented.append(line)
        else:
            if indented:
                flush()
            paragraph.append(line.strip())
    flush()
    return "\n".join(out)
