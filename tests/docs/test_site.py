"""The site of `make docs`: complete, linked, and readable without a network or a script."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from conftest import ROOT, STAGE


class Html(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []  # what a browser fetches by itself
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes) -> None:
        values = dict(attributes)
        self.tags.add(tag)
        self.ids += filter(None, [values.get("id")])
        self.links += filter(None, [values.get("href")])
        self.loads += filter(None, [values.get("src"), values.get("href") if tag == "link" else None])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Html]:
    output = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(ROOT / "tools" / "make-docs"), "--stage", str(STAGE), str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "pages" in done.stdout, done.stderr  # a broken link makes the exit code 1, and the first test fail
    return {path: Html(path.read_text()) for path in output.rglob("*.html")}


def page(site: dict[Path, Html], name: str) -> Html:
    return next(html for path, html in site.items() if str(path).endswith("/" + name))


def test_every_internal_link_resolves(site):
    broken, followed = [], 0
    for path, html in site.items():
        for link in html.links:
            url = urlparse(link)
            if url.scheme:
                continue
            followed += 1
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            ids = site[target].ids if target in site else []
            if not target.is_file() or (url.fragment and url.fragment not in ids):
                broken.append(f"{path.name}: {link}")
    assert not broken
    assert followed > 100 * 2


def test_no_anchor_is_there_twice(site):
    for path, html in site.items():
        assert len(html.ids) == len(set(html.ids)), path


def test_nothing_is_fetched_from_elsewhere_and_no_script_is_needed(site):
    for path, html in site.items():
        assert "script" not in html.tags, path
        assert all(not urlparse(load).scheme and load.endswith("style.css") for load in html.loads), (path, html.loads)


def test_every_markdown_file_is_a_page(site):
    names = {path.stem for path in site}
    assert {path.stem for path in (ROOT / "docs").rglob("*.md")} <= names


def test_the_c_reference_has_every_call_of_the_header(site):
    header = (ROOT / "include" / "cwsandbox.h").read_text()
    declared = set(re.findall(r"^CWS_API [^(]*?\b(cws_\w+)\(", header, re.MULTILINE))
    types = set(re.findall(r"^\} (cws_\w+);", header, re.MULTILINE))
    missing = (declared | types) - set(page(site, "reference/c.html").ids)
    assert len(declared) > 90 and not missing


def test_the_python_reference_has_every_public_name_and_method(site):
    import cwsandbox

    ids = set(page(site, "reference/python.html").ids)
    assert {name for name in cwsandbox.__all__ if name != "__version__"} <= ids
    for name in ("exec", "read_file", "stop", "status", "run", "from_id"):
        assert f"Sandbox.{name}" in ids
    assert "StreamWriter.writeline" in ids


def test_the_command_line_reference_has_every_command(site):
    ids = page(site, "reference/cli.html").ids
    assert {"run", "exec", "sh", "ls", "logs", "files-read", "doctor", "serve"} <= set(ids)
