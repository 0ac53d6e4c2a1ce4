"""Every code block of the documentation, run as it stands against the real service. How pages are marked: README.md here."""

from __future__ import annotations

import pytest
from blocks import LANGUAGES, Block, Page, matches, parse
from conftest import ROOT
from pages import BlockFailed, PageRun

PATHS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [parse(path, str(path.relative_to(ROOT))) for path in PATHS]
CASES = [(page, block) for page in PAGES for block in page.blocks]

# Blocks with a reason not to run. Raise it only with a reason that holds for the reader, not for the test.
N_NOT_RUN = 6


def case_id(case: tuple[Page, Block]) -> str:
    page, block = case
    return f"{page.name.removeprefix('docs/').removeprefix('guides/')}:{block.line}-{block.language}"


@pytest.fixture(scope="module")
def runs(service):
    """The pages being run; one at a time, so that a page's sandboxes are gone when the next one begins."""
    current: dict[str, PageRun] = {}

    def run_of(page: Page) -> PageRun:
        if page.name not in current:
            for other in list(current):
                current.pop(other).close()
            current[page.name] = PageRun(page)
        return current[page.name]

    yield run_of
    for run in current.values():
        run.close()


@pytest.mark.parametrize("case", [case for case in CASES if case[1].reason is None], ids=case_id)
def test_block_runs_and_prints_what_the_page_says(case, runs):
    page, block = case
    printed = runs(page).run_to(block)
    if block.output is not None and not matches(block.output, printed):
        raise BlockFailed(f"{page.name}:{block.line} should print\n{block.output}\nand printed\n{printed}")


def test_every_block_runs_or_says_why_not():
    not_run = {f"{page.name}:{block.line}": block.reason for page, block in CASES if block.reason is not None}
    assert all(not_run.values()), f"no reason given: {not_run}"
    assert len(not_run) == N_NOT_RUN, not_run
    print(f"{len(CASES)} blocks, {len(not_run)} of them not run")


def test_no_block_is_missed():
    """Counted again in the plainest way there is."""
    for page in PAGES:
        fences = [line.strip() for line in page.path.read_text().split("\n")]
        assert len(page.blocks) == sum(fences.count("```" + language) for language in LANGUAGES), page


# ---- the test itself: a broken example must fail


def page_of(tmp_path, text: str) -> Page:
    path = tmp_path / "page.md"
    path.write_text(text)
    return parse(path, "page.md")


@pytest.mark.parametrize(
    "block",
    ["```python\nundefined_name\n```", "```sh\nfalse\necho not reached\n```", "```c\nint main(void) { return 3; }\n```",
     "```c\nint main(void) { cws_no_such_call(); }\n```"],
    ids=["python", "sh", "c-exit", "c-compile"],
)  # fmt: skip
def test_a_broken_block_fails_and_so_does_what_follows(tmp_path, service, block):
    page = page_of(tmp_path, block + "\n\n```python\nx = 1\n```\n")
    run = PageRun(page)
    with pytest.raises((BlockFailed, NameError)):
        run.run_to(page.blocks[0])
    with pytest.raises(BlockFailed, match="before this one"):
        run.run_to(page.blocks[1])
    run.close()


def test_output_is_compared_and_dots_stand_for_any_text():
    assert matches("sandbox ... is running\n", "sandbox sb-12 is running\n")
    assert matches("a\n...\nz\n", "a\nb\nc\nz\n")
    assert not matches("a\n", "a\nb\n")
    assert not matches("42\n", "43\n")


def test_a_comment_that_nobody_understands_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="unknown comment"):
        page_of(tmp_path, "<!-- not runnable, sorry -->\n```sh\nfalse\n```\n")
    page = page_of(tmp_path, "<!-- not run: needs a second machine -->\n```sh\nfalse\n```\n")
    assert page.blocks[0].reason == "needs a second machine"
