"""tests/checklist.md says which tests show what the contract asks for. Here: its rows are the contract's, and its tests exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS / "checklist.md"
QUIRKS = TESTS.parent / "docs" / "compatibility.md"
CONTRACT = Path(os.environ.get("CWS_CONTRACT", TESTS.parents[1] / "shared" / "contract" / "sdk.md"))

# What the contract has, for machines where it is not
N_FEATURES, N_PINS, N_QUIRKS = 60, 225, 24

SUITES = ("python", "cli", "interop")
PLACES = {"": "python/test_{}.py", "scripted/": "python/scripted/test_scripted_{}.py", "cli/": "cli/test_{}.py", "interop/": "interop/test_{}.py"}


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    lines = text.split(f"\n## {heading}", 1)[1].split("\n## ")[0].split("\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


def names_in(row: list[str]) -> list[str]:
    return [name.strip() for name in row[-1].split(",")]


PAGE_TEXT = PAGE.read_text()
FEATURES, PINS = table(PAGE_TEXT, "The feature checklist"), table(PAGE_TEXT, "What is pinned")
BETTER = table(PAGE_TEXT, "Better than the published client")


def contract() -> str:
    if not CONTRACT.exists():
        pytest.skip(f"{CONTRACT} is not here; only the number of rows was checked")
    return CONTRACT.read_text()


def marks(pattern: str) -> Counter[str]:
    """How often a mark stands in each section of the contract that the page covers."""
    found: Counter[str] = Counter()
    section = ""
    for line in contract().split("\n"):
        heading = re.match(r"##+ (\d+(?:\.\d+)?)", line)
        section = heading[1] if heading else section
        if section and not section.startswith(("9", "1.0", "10", "11", "12", "13")):
            found[section] += len(re.findall(pattern, line))
    return +found


def test_the_page_has_as_many_rows_as_the_contract_asks_for():
    assert (len(FEATURES), len(PINS)) == (N_FEATURES, N_PINS)
    assert sum(row[0].count(".") == 1 for row in table(QUIRKS.read_text(), "The quirks of the published client")) >= N_QUIRKS


def test_every_feature_of_the_contract_is_a_row():
    assert [row[:3] for row in FEATURES] == table(contract(), "11. Feature checklist")


def test_every_pin_of_the_contract_is_a_row():
    assert Counter(row[0] for row in PINS) == marks(r"\[PIN|\[QUIRK, pinned")


def test_every_quirk_of_the_contract_is_a_row_of_the_compatibility_page():
    rows = Counter(row[0] for row in table(QUIRKS.read_text(), "The quirks of the published client"))
    sections = marks(r"\[QUIRK")
    sections["0.7"] = sections.pop("0")
    assert {section: n for section, n in sections.items() if rows[section] < n} == {}


def path_of(name: str) -> str:
    directory, _, module = name.rpartition("/")
    return PLACES[directory + "/" if directory else ""].format(module)


@pytest.fixture(scope="module")
def collected(tmp_path_factory) -> set[str]:
    """Every test that pytest finds, as path::name."""
    found = set()
    environment = {**os.environ, "CWS_TEST_RUNTIME_DIR": str(tmp_path_factory.mktemp("collect"))}
    for suite in SUITES:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", str(TESTS / suite)],
            cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        for line in done.stdout.split("\n"):
            path, colons, name = line.partition("::")
            if colons:
                found.add(f"{path.removeprefix('tests/')}::{name.partition('[')[0]}")
    return found


@pytest.mark.parametrize("row", [*FEATURES, *PINS, *BETTER], ids=lambda row: " ".join(row[:-1])[:60])
def test_the_tests_of_a_row_are_collected(collected, row):
    assert names_in(row) != [""]
    for name in names_in(row):
        module, _, test = name.partition("::")
        assert f"{path_of(module)}::{test}" in collected
