"""The code blocks of a Markdown page, with what the comment before each says about running it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

LANGUAGES = ("python", "c", "sh")
_FENCE = re.compile(r"^(\s*)```\s*([\w+-]*)\s*$")
_COMMENT = re.compile(r"^\s*<!--\s*(?P<key>not run|save as|given|notebook)\s*(?::\s*(?P<value>.*?))?\s*-->\s*$")


@dataclass
class Block:
    language: str
    line: int  # of the first line of code
    code: str
    marks: dict[str, str]
    output: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it is not run; None: it is."""
        return self.marks.get("not run")


@dataclass
class Page:
    path: Path
    name: str
    blocks: list[Block] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)  # those that stand before no block

    def __str__(self) -> str:
        return self.name


def parse(path: Path, name: str) -> Page:
    """All fenced blocks of the three languages. An unclosed fence or a comment we do not know is an error."""
    page, marks, block = Page(path, name), {}, None
    indent, lines = "", []
    for number, line in enumerate(path.read_text().split("\n"), 1):
        fence = _FENCE.match(line)
        if block is not None:
            if not (fence and not fence[2]):
                lines.append(line.removeprefix(indent))
                continue
            block.code = "\n".join(lines) + "\n"
            _add(page, block)
            block, marks = None, {}
        elif fence:
            indent, lines = fence[1], []
            block = Block(fence[2], number + 1, "", marks)
        elif comment := _COMMENT.match(line):
            marks[comment["key"]] = comment["value"] or ""
        elif re.match(r"^\s*<!--\s*(not|no|save|skip|run)\b", line):
            raise ValueError(f"{name}:{number}: unknown comment {line.strip()!r}")
        elif line.strip() and marks:
            page.marks.update(marks)
            marks = {}
    if block is not None:
        raise ValueError(f"{name}: a block is not closed")
    return page


def _add(page: Page, block: Block) -> None:
    if block.language == "output":
        if not page.blocks:
            raise ValueError(f"{page.name}:{block.line}: output of nothing")
        page.blocks[-1].output = block.code
    elif block.language in LANGUAGES:
        page.blocks.append(block)


def matches(pattern: str, text: str) -> bool:
    """Whether text is the pattern, in which "..." stands for any text; trailing blanks do not count."""

    def bare(value: str) -> str:
        return "\n".join(line.rstrip() for line in value.strip().split("\n"))

    parts = (re.escape(part) for part in bare(pattern).split("..."))
    return re.fullmatch(".*?".join(parts), bare(text), re.DOTALL) is not None
