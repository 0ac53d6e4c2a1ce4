"""The site: Markdown files and ready-made HTML become pages with one navigation and links that work from a plain directory."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath

HERE = Path(__file__).resolve().parent
# Guides in the order in which one reads them; others follow by name.
GUIDES = ("quick-start", "sync-or-async", "lifecycle", "exec", "files", "sessions", "functions", "options", "notebooks", "errors", "cli", "c",
          "running-a-service", "migrating")  # fmt: skip
REFERENCE = ("configuration", "errors", "compatibility")
# Where the heading of a page is too long for the list of pages, or says the same as another one.
SHORT = {"configuration.html": "Settings of the service", "errors.html": "Table of errors", "protobuf.html": "Protobuf library",
         "cpython-suite.html": "CPython's test suite"}  # fmt: skip
SIBLINGS = ("SECURITY", "CONTRIBUTING", "CHANGELOG")
GROUPS = ("Start", "Guides", "Reference", "Project")

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{root}style.css">
</head>
<body>
<a class="skip" href="#content">Skip to the text</a>
<header><a class="brand" href="{root}index.html">cwsandbox</a>
<input type="checkbox" id="menu" aria-label="Show the list of pages"><label for="menu">Pages</label>
<nav aria-label="Pages">
{navigation}
</nav></header>
<main id="content">
{body}
</main>
</body>
</html>
"""


@dataclass
class Page:
    path: str  # in the site
    title: str
    group: str
    source: Path | None = None  # a Markdown file
    body: str = ""  # of a page without one


class Site:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.pages: list[Page] = []
        self.copies: set[Path] = set()
        self.broken: list[str] = []

    # ---- what there is

    def add_page(self, path: str, title: str, group: str, body: str) -> None:
        """A reference: its headings become a list at the top."""
        heading, rest = re.split(r"(?<=</h1>)", body, maxsplit=1)
        self.pages.append(Page(path, title, group, body=heading + _contents(rest) + rest))

    def add_tree(self) -> None:
        """README.md and its siblings, docs/guides in reading order, docs."""
        self._add(self.root / "README.md", "index.html", "Start", "Overview")
        guides = {path.stem: path for path in sorted((self.root / "docs" / "guides").glob("*.md"))}
        for stem in sorted(guides, key=lambda s: (GUIDES.index(s) if s in GUIDES else len(GUIDES), s)):
            group = "Start" if stem == "quick-start" else "Guides"
            self._add(guides[stem], f"guides/{stem}.html", group)
        for path in sorted((self.root / "docs").glob("*.md")):
            self._add(path, f"{path.stem}.html", "Reference" if path.stem in REFERENCE else "Project")
        for stem in SIBLINGS:
            self._add(self.root / f"{stem}.md", f"{stem.lower()}.html", "Project")

    def _add(self, source: Path, path: str, group: str, title: str = "") -> None:
        heading = re.search(r"^# (.+)$", source.read_text(), re.MULTILINE)
        title = title or SHORT.get(path) or (heading[1] if heading else source.stem)
        self.pages.append(Page(path, title, group, source))

    # ---- writing

    def write(self, output: Path) -> None:
        for page in self.pages:
            target = output / page.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._page(page))
        for source in self.copies:
            target = output / _copy_name(source.relative_to(self.root))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        (output / "style.css").write_text((HERE / "style.css").read_text() + _highlight_style())

    def _page(self, page: Page) -> str:
        title = "cwsandbox" if page.path == "index.html" else f"{page.title} · cwsandbox"
        body = self._markdown(page) if page.source else page.body
        body = re.sub(r"(<table>.*?</table>)", r'<div class="table">\1</div>', body, flags=re.DOTALL) if page.source else body
        return TEMPLATE.format(title=escape(title), root="../" * page.path.count("/"), body=body,
                               navigation=self._navigation(page))  # fmt: skip

    def _navigation(self, here: Page) -> str:
        out = []
        for group in GROUPS:
            out.append(f"<p>{group}</p>\n<ul>")
            for page in self.pages:
                if page.group == group:
                    current = ' aria-current="page"' if page is here else ""
                    link = _relative(page.path, here.path)
                    out.append(f'<li><a href="{link}"{current}>{escape(page.title)}</a></li>')
            out.append("</ul>")
        return "\n".join(out)

    def _markdown(self, page: Page) -> str:
        import markdown

        assert page.source
        text = re.sub(r"^[ \t]*<!--.*?-->[ \t]*\n", "", page.source.read_text(), flags=re.MULTILINE)
        converter = markdown.Markdown(
            extensions=["fenced_code", "tables", "toc", "sane_lists", "codehilite"],
            extension_configs={"codehilite": {"guess_lang": False}, "toc": {"slugify": _slug}},
        )
        html = converter.convert(re.sub(r"^```output$", "``` { .text .output }", text, flags=re.MULTILINE))
        return re.sub(r'(<a href=")([^"]+)(")', lambda m: m[1] + self._target(m[2], page) + m[3], html)

    def _target(self, link: str, page: Page) -> str:
        """The link in the site: another page, a copy of a file of the repository, or as it was."""
        if re.match(r"[a-z]+:|#", link):
            return link
        assert page.source
        path, _, fragment = link.partition("#")
        target = (page.source.parent / path).resolve()
        fragment = f"#{fragment}" if fragment else ""
        for other in self.pages:
            if other.source == target:
                return _relative(other.path, page.path) + fragment
        if target == self.root / "include" / "cwsandbox.h":
            return _relative("reference/c.html", page.path) + fragment
        if not target.is_file() or self.root not in target.parents:
            self.broken.append(f"{page.source.relative_to(self.root)}: link to {link}, which is not there")
            return link
        self.copies.add(target)
        return _relative(_copy_name(target.relative_to(self.root)), page.path) + fragment


def _contents(body: str) -> str:
    """Links to the sections, and below each to what it declares."""
    out = []
    for match in re.finditer(r'<h2 id="(?P<section>[^"]+)">(?P<title>.*?)</h2>|<(?:h3|code) id="(?P<name>[^"]+)"', body):
        if match["section"]:
            out.append(f'<p><a href="#{match["section"]}"><b>{match["title"]}</b></a></p>')
        else:
            out.append(f'<a href="#{match["name"]}"><code>{match["name"]}</code></a>')
    return f"<details><summary>On this page</summary>{' '.join(out)}</details>"


def _relative(target: str, here: str) -> str:
    return os.path.relpath(target, PurePosixPath(here).parent)


def _copy_name(path: Path) -> str:
    """With .txt, so that every browser shows it instead of saving it."""
    return f"source/{path}.txt"


def _slug(value: str, separator: str) -> str:
    """Anchors as GitHub makes them: the same links work in both places."""
    return re.sub(r"[^\w\- ]", "", value.lower()).replace(" ", separator)


def _highlight_style() -> str:
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="default").get_style_defs(".codehilite")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".codehilite")
    both = "\n" + light + "\n@media (prefers-color-scheme: dark) {\n" + dark + "\n}\n"
    # The page's own colours for the box; red frames around what a lexer does not know help nobody
    return re.sub(r"\.codehilite *\{[^}]*\}|\.codehilite \.err \{[^}]*\}|pre \{[^}]*\}", "", both)
