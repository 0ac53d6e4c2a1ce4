"""One table of errors: what src/client/errors.c chooses is what the header, the extension and docs/errors.md say."""

from __future__ import annotations

import re

from conftest import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text()
HEADER = (ROOT / "include" / "cwsandbox.h").read_text()
TABLE = (ROOT / "src" / "client" / "errors.c").read_text()
# kind -> class, as the extension has it
CLASSES = dict(re.findall(r"\[(CWS_E_\w+)\] = \"(\w+)\"", (ROOT / "python" / "_core" / "errors.c").read_text()))


def page_rows(heading: str) -> dict[str, str]:
    """First column -> last column of the table below a heading; several names in a cell are several rows."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    return {name: row[-1].strip(" `") for row in rows for name in re.findall(r"\w+", row[0])}


def test_every_kind_of_the_header_names_its_class():
    kinds = dict(re.findall(r"(CWS_E_\w+)(?: = \d+)?,? +/\* (\w+)", HEADER))
    assert len(CLASSES) > 25 and {kind: kinds.get(kind) for kind in CLASSES} == CLASSES


def test_the_c_guide_names_only_what_the_header_has():
    names = set(re.findall(r"\b(?:cws|CWS)_\w+", (ROOT / "docs" / "guides" / "c.md").read_text()))
    assert len(names) > 50 and names - set(re.findall(r"\b(?:cws|CWS)_\w+", HEADER)) == set()


def test_the_page_has_every_reason_with_its_class():
    reasons = dict(re.findall(r"\{\"(\w+)\", (CWS_E_\w+)\}", TABLE))
    assert len(reasons) > 20 and page_rows("By reason") == {reason: CLASSES[kind] for reason, kind in reasons.items()}


def test_the_page_has_every_status_with_its_class():
    statuses = dict(re.findall(r"\[ERR_(\w+)\] = (CWS_E_\w+)", TABLE))
    shown = page_rows("By status")
    assert len(statuses) > 5 and {code: shown.get(code) for code in statuses} == {code: CLASSES[kind] for code, kind in statuses.items()}
