"""The document this package is made from, run line by line.

Every ```python block of sync-vs-async.md is executed as it stands, against the real service. Names that a block uses and does
not define are bound to real objects. When a statement raises what the document's situation asks for (a failing check=True, an id that
does not exist), the statements after it are run as well. Each Sync/Async pair must do the same: same output, same values, same exceptions.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import linecache
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import cwsandbox
import pytest
from cwsandbox import (
    OperationRef,
    ProcessResult,
    Sandbox,
    SandboxDefaults,
    SandboxExecutionError,
    SandboxNotFoundError,
    Session,
)

HERE = Path(__file__).parent
COPY = HERE / "sync-vs-async.md"
ORIGINAL = Path(os.environ.get("CWS_SEED", HERE.parents[1].parent / "shared" / "seed" / "sync-vs-async.md"))

N_BLOCKS = 39
N_PAIRS = 15

# The exceptions the situation of a section asks for, in the order in which the block raises them.
EXPECTED = {
    "exec()": [SandboxExecutionError],
    "Sandbox.from\\_id()": [SandboxNotFoundError, NameError],
    "session.from\\_id()": [SandboxNotFoundError, NameError],
    "Sandbox.delete()": [SandboxNotFoundError],
}


@dataclass
class Block:
    section: str
    tab: str | None  # "Sync", "Async" or None
    number: int
    code: str

    @property
    def name(self) -> str:
        return f"{self.number:02}-{self.section.strip('@').replace(chr(92), '')}-{self.tab or 'single'}".replace(" ", "_")


def blocks(path: Path) -> list[Block]:
    found: list[Block] = []
    section, tab, code, indent = "", None, None, ""
    for line in path.read_text().split("\n"):
        if code is not None:
            if line.strip() == "```":
                found.append(Block(section, tab, len(found) + 1, "\n".join(code) + "\n"))
                code = None
            else:
                code.append(line.removeprefix(indent))
        elif line.startswith("#"):
            section, tab = line.strip("# "), None
        elif "<Tab title=" in line:
            tab = line.split('"')[1]
        elif "</Tab>" in line:
            tab = None
        elif line.lstrip().startswith("```python"):
            code, indent = [], line[: len(line) - len(line.lstrip())]
    return found


BLOCKS = blocks(COPY)
PAIRS = [
    (a, b) for a, b in zip(BLOCKS, BLOCKS[1:]) if a.section == b.section and (a.tab, b.tab) == ("Sync", "Async")
]


def test_the_copy_is_the_document():
    if not ORIGINAL.exists():
        pytest.skip(f"{ORIGINAL} is not here; the copy is used")
    assert COPY.read_text() == ORIGINAL.read_text()


def test_no_block_is_dropped():
    assert len(BLOCKS) == COPY.read_text().count("```python") == N_BLOCKS
    assert len(PAIRS) == N_PAIRS
    assert 2 * N_PAIRS + sum(block.tab is None for block in BLOCKS) == N_BLOCKS


# ---- running a block


class World:
    """Real objects for the names a block takes for granted."""

    def __init__(self) -> None:
        self.session = Session()
        self.sb = Sandbox.run(tags=["my-job"]).wait()
        self.files = [f"/input/part-{i}" for i in range(3)]
        for path in ("/output/data.txt", "/output/result.txt", "/path", *self.files):
            self.sb.write_file(path, f"content of {path}".encode()).result()
        self.member = self.session.sandbox(tags=["notebook"])
        self.member.wait()

    def names(self) -> dict[str, object]:
        return {
            "Sandbox": Sandbox, "Session": Session, "SandboxDefaults": SandboxDefaults, "cwsandbox": cwsandbox,
            "sb": self.sb, "sandbox": self.sb, "session": self.session, "defaults": SandboxDefaults(),
            "files": self.files, "procs": [self.sb.exec(["true"]) for _ in range(2)],
        }  # fmt: skip

    def close(self, namespace: dict[str, object]) -> None:
        made: dict[int, Sandbox] = {id(self.sb): self.sb}
        for value in namespace.values():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(item, Sandbox):
                    made[id(item)] = item
        for sandbox in made.values():
            sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True).result()
        self.session.close().result()


@dataclass
class Outcome:
    printed: str
    exceptions: list[str]
    values: dict[str, object]


def run_whole(code: str, name: str, namespace: dict[str, object], runner: asyncio.Runner) -> None:
    compiled = compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)  # as IPython does: functions have source
    result = eval(compiled, namespace)
    if inspect.iscoroutine(result):

        async def finish():
            await result

        runner.run(finish())


def after_line(code: str, line: int) -> str:
    """The statements behind the one at this line, at the same place in the file."""
    rest = [node for node in ast.parse(code).body if node.lineno > line]
    if not rest:
        return ""
    first = rest[0].lineno
    return "\n" * (first - 1) + "\n".join(code.split("\n")[first - 1 :])


def run_block(block: Block, *, real_id: bool = False) -> Outcome:
    """real_id: "sandbox-abc123" is the id of a sandbox that exists, instead of one that does not."""
    world = World()
    namespace = world.names()
    given = dict(namespace)
    expected = [] if real_id else list(EXPECTED.get(block.section, []))
    raised: list[str] = []
    printed = io.StringIO()
    code = block.code.replace("sandbox-abc123", world.sb.sandbox_id) if real_id else block.code
    try:
        with asyncio.Runner() as runner, contextlib.redirect_stdout(printed):
            while code:
                try:
                    run_whole(code, f"<{block.name}>", namespace, runner)
                    code = ""
                except tuple(expected) as exc:
                    assert type(exc) is expected.pop(0), exc
                    raised.append(type(exc).__name__)
                    if isinstance(exc, NameError):
                        break  # the sandbox that was not found is what the rest needs
                    code = after_line(code, failing_line(exc, block.name))
                    if "from_id" in block.code:
                        namespace.pop("sb", None)
        assert not expected, f"the document's situation asks for {expected}"
        new = {name: value for name, value in namespace.items() if given.get(name) is not value and name[0] != "_"}
        return Outcome(neutral(printed.getvalue()), raised, {name: summary(value) for name, value in new.items()})
    finally:
        world.close(namespace)


def failing_line(exc: BaseException, name: str) -> int:
    lines = [tb.tb_lineno for tb in iterate(exc.__traceback__) if tb.tb_frame.f_code.co_filename == f"<{name}>"]
    return lines[0]


def iterate(traceback):
    while traceback:
        yield traceback
        traceback = traceback.tb_next


def neutral(text: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"sb-[0-9a-f]+", "<id>", text)


def summary(value):
    if isinstance(value, ProcessResult):
        return ("ProcessResult", value.stdout, value.stderr, value.returncode)
    if isinstance(value, Sandbox):
        # how far a start has come is a matter of time
        ended = value.status in ("completed", "failed", "terminated")
        return ("Sandbox", str(value.status) if ended else "alive", value.returncode)
    if isinstance(value, (list, tuple)):
        return [summary(item) for item in value]
    if isinstance(value, OperationRef):
        return ("ref", summary(value.result()))
    if isinstance(value, (str, bytes, int, float)) or value is None:
        return neutral(value) if isinstance(value, str) else value
    return type(value).__name__


@pytest.fixture(scope="module")
def outcomes():
    return {}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_block_runs_as_it_stands(block, outcomes):
    outcomes[block.number] = run_block(block)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].section)
def test_sync_and_async_do_the_same(pair, outcomes):
    sync, asynchronous = (outcomes.get(block.number) or run_block(block) for block in pair)
    assert sync.exceptions == asynchronous.exceptions
    assert sync.printed == asynchronous.printed
    assert sync.values == asynchronous.values


@pytest.mark.parametrize("tab", ["Sync", "Async"])
@pytest.mark.parametrize("section", ["Sandbox.from\\_id()", "session.from\\_id()", "Sandbox.delete()"])
def test_blocks_about_an_id_work_when_it_exists(section, tab):
    outcome = run_block(by(section, tab), real_id=True)
    if "from" in section:
        assert outcome.values["result"][1] in ("reconnected\n", "adopted\n")


# ---- what the comments in the document promise


def by(section: str, tab: str | None = "Sync", nth: int = 0) -> Block:
    return [block for block in BLOCKS if block.section == section and block.tab == tab][nth]


@pytest.mark.parametrize("tab", ["Sync", "Async"])
def test_comments_beside_the_code_are_true(tab, outcomes):
    def outcome(section):
        block = by(section, tab)
        return outcomes.get(block.number) or run_block(block)

    assert outcome("Create sandboxes").values["sb"][1] == "terminated"
    assert outcome("exec()").printed == "hello\n\n"
    assert outcome("Stream stdin").printed == "hello world\n\n"
    assert outcome("Stream stdout").printed == "0\n1\n2\n3\n4\n"
    assert outcome("wait\\_until\\_complete()").printed == "Exit code: 0\n"
    assert outcome("read\\_file()").printed == "content of /output/result.txt\n"
    assert "<id>: running" in outcome("Sandbox.list()").printed


def test_single_blocks_leave_what_they_say():
    parallel = run_block(by("Parallel execution", None))
    assert [r[1] for r in parallel.values["results"]] == ["sb-0\n", "sb-1\n", "sb-2\n"]
    waiting = run_block(by("cwsandbox.wait()", None))
    assert len(waiting.values["done"]) == 2 and waiting.values["pending"] == []
    status = run_block(by("get\\_status()", None))
    assert status.printed == "Sandbox is running\n"


def test_what_starts_a_sandbox_and_what_does_not():
    with Session() as session:
        for operation in (
            lambda s: s.exec(["true"]).result(),
            lambda s: s.write_file("/tmp/x", b"").result(),
            lambda s: s.wait(),
        ):
            sandbox = session.sandbox()
            assert sandbox.status is None and sandbox.sandbox_id is None
            operation(sandbox)
            assert sandbox.status == "running"
        unstarted = session.sandbox()
        with pytest.raises(cwsandbox.SandboxNotRunningError):
            unstarted.get_status()
        unstarted.stop().result()
        assert unstarted.sandbox_id is None
        assert run_completed(session)


def run_completed(session):
    sandbox = session.sandbox(command="true")
    return sandbox.wait_until_complete().result() is sandbox and sandbox.returncode == 0
