"""The C reference from the public header: its sections, comments and declarations, in its order."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from text import highlight, inline, prose

_SECTION = re.compile(r"/\* -{10,} (.+?) \*/")
_KEYWORDS = ("Errors", "Return", "Result", "Thread", "Blocks", "Source")


@dataclass
class Item:
    """A comment and the declarations behind it."""

    doc: str = ""
    code: list[str] = field(default_factory=list)

    def names(self) -> list[str]:
        code = "\n".join(self.code)
        types = re.findall(r"^\} (cws_\w+);|^typedef struct \w+ (cws_\w+);|^#define (CWS_\w+)", code, re.MULTILINE)
        calls = re.findall(r"^(?!typedef| )[\w *]*?\b(cws_\w+)\(", code, re.MULTILINE)
        return [name for group in types for name in group if name] + calls


def unwrap(comment: str) -> str:
    """The text of a C comment without its stars."""
    body = comment.strip().removeprefix("/**").removeprefix("/*").removesuffix("*/")
    return "\n".join(re.sub(r"^ ?\* ?", "", line.rstrip()) for line in body.split("\n")).strip("\n")


def items(body: str):
    """Yields section titles (str) and Items."""
    item, depth, comment = Item(), 0, None
    for line in body.split("\n"):
        if comment is not None:
            comment.append(line)
        elif line.startswith("/*"):
            section = _SECTION.fullmatch(line.strip())
            if item.code or (item.doc and section):
                yield item
                item = Item()
            if section:
                yield section[1]
                continue
            comment = [line]
        elif line.strip() or depth:
            item.code.append(line.replace("CWS_API ", ""))
            depth += line.count("{") - line.count("}")
        elif item.code:
            yield item
            item = Item()
        if comment is not None and comment[-1].rstrip().endswith("*/"):
            item.doc = "\n\n".join(filter(None, [item.doc, unwrap("\n".join(comment))]))
            comment = None
    if item.code:
        yield item


def _doc(text: str) -> str:
    """A comment in the form of docs/style.md 12: `name() - what`, `@parameter: what`, `Errors: what`."""
    summary, parameters, rest = [], [], []
    target = summary
    for line in text.split("\n"):
        line = re.sub(r"^(cws_\w+\*?\(\)( / )?)+ - ", "", line.strip())
        parameter = re.match(r"@(\w+):\s*(.*)", line)
        keyword = re.match(rf"({'|'.join(_KEYWORDS)}):\s*(.*)", line)
        if parameter:
            parameters.append([parameter[1], parameter[2]])
            target = parameters[-1]
        elif keyword:
            rest.append([f"<b>{keyword[1]}</b>: ", keyword[2]])
            target = rest[-1]
        elif line:
            target.append(line)
        else:
            rest.append([""])
            target = rest[-1]
    out = [f"<p>{inline(' '.join(summary))}</p>"] if summary else []
    if parameters:
        rows = (f"<dt><code>{p[0]}</code></dt><dd>{inline(' '.join(p[1:]))}</dd>" for p in parameters)
        out.append(f"<dl>{''.join(rows)}</dl>")
    out += [f"<p>{r[0]}{inline(' '.join(r[1:]))}</p>" for r in rest if len(r) > 1]
    return "\n".join(out)


def _link(page: str, names: set[str]) -> str:
    """Names in code, outside of their own heading, link to where they are declared."""

    def to_anchor(match: re.Match) -> str:
        return f'<a href="#{match[0]}">{match[0]}</a>' if match[0] in names else match[0]

    parts = re.split(r"(<h[23].*?</h[23]>)", page)
    return "".join(
        part if part.startswith("<h") else re.sub(r"\b(?:cws|CWS)_\w+", to_anchor, part) for part in parts
    )


def html(header: Path) -> str:
    text = header.read_text()
    head, body = text[: text.index("*/") + 2], text[text.index("#define CWS_FOREVER") : text.rindex("#ifdef __cplusplus")]
    introduction = re.sub(r"<p>(\w+(?:\(\))?\.) ", r"<p><b>\1</b> ", prose(unwrap(head), "c"))
    out = ["<h1>C reference</h1>", introduction, '<h2 id="general">General</h2>']
    names: set[str] = set()
    for item in items(body):
        if isinstance(item, str):
            out.append(f'<h2 id="{re.sub(r"[^a-z]+", "-", item)}">{escape(item.capitalize())}</h2>')
            continue
        fresh = [name for name in item.names() if name not in names]
        names.update(fresh)
        title = ", ".join(f'<code id="{name}">{name}</code>' for name in fresh)
        out.append(f'<section class="item">{f"<h3>{title}</h3>" if title else ""}')
        out += [highlight("\n".join(item.code), "c"), _doc(item.doc), "</section>"]
    return _link("\n".join(out), names)
