"""py.typed and the stubs, as type checkers see them: the document's programs, our examples, and what must be an error.

The document's blocks are put into one async function each, with the names they take for granted declared. Programs for people annotate
little, which is their style and no fault of the stubs: the rules of --strict about a program's own annotations are off for them.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cwsandbox
import pytest
from test_seed import BLOCKS

PACKAGES = Path(cwsandbox.__file__).resolve().parents[1]
EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
PRELUDE = """\
import asyncio
import cwsandbox
from cwsandbox import Process, ProcessResult, Sandbox, SandboxDefaults, SandboxStatus, Session
sb: Sandbox
sandbox: Sandbox
session: Session
defaults: SandboxDefaults
files: list[str]
procs: list[Process]
"""

RIGHT = """\
import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import assert_type
import cwsandbox
from cwsandbox import (
    EgressRule, Endpoint, EndpointKind, NetworkOptions, Process, ProcessResult, Sandbox, SandboxDefaults, SandboxExecutionError,
    SandboxStatus, ScratchVolumeOptions, Secret, Service, ServiceVisibility, Session,
)

def sync(sb: Sandbox) -> None:
    assert_type(Sandbox.run("true", tags=["x"], resources={"cpu": "1"}, network={"deny_egress": True}), Sandbox)
    assert_type(Sandbox.run_from_template("t", "x", command="y", container_image="z"), Sandbox)
    assert_type(sb.wait(), Sandbox)
    assert_type(sb.exec(["x"]).result(), ProcessResult)
    assert_type(sb.exec(["x"]).wait(timeout=1), int)
    assert_type(sb.exec(["x"]).returncode, int | None)
    assert_type(sb.read_file("/x").result(), bytes)
    assert_type(sb.write_file("/x", b"").result(), None)
    assert_type(sb.stop().result(), None)
    assert_type(sb.wait_until_complete().result(), Sandbox)
    assert_type(sb.get_status(), SandboxStatus)
    assert_type(Sandbox.list(tags=["x"]).result(), list[Sandbox])
    assert_type(Sandbox.from_id("x").result(), Sandbox)
    assert_type(cwsandbox.results(sb.exec(["x"])), ProcessResult)
    assert_type(cwsandbox.results([sb.read_file("/x")]), list[bytes])
    for text in sb.exec(["x"]).stdout:
        assert_type(text, str)
    for raw in sb.shell().output:
        assert_type(raw, bytes)
    for line in sb.stream_logs(follow=True):
        assert_type(line, str)
    with Sandbox() as other, Session() as session:
        assert_type(other, Sandbox)
        assert_type(session.sandbox(tags=["x"]), Sandbox)
    done, pending = cwsandbox.wait([sb, sb.exec(["x"])], num_returns=1)
    # What is converted is accepted, and has its own type afterwards
    web = Service(port=80, protocol="tcp", visibility="public", endpoint={"kind": "https", "auth": "open"})
    assert_type(web.visibility, ServiceVisibility | None)
    assert_type(Endpoint(kind="https", auth="open").kind, EndpointKind)
    assert_type(NetworkOptions(egress=[EgressRule(dns_name="a.b"), {"dns_name": "c.d"}]).egress, tuple[EgressRule, ...] | None)
    defaults = SandboxDefaults(
        "image", args=["x"], tags=["x"], runner_ids=["r"], network={"deny_egress": True}, services=[web, {"port": 1}],
        secrets=[Secret(store="s", name="n")], volumes=[ScratchVolumeOptions(name="v", mount_path="/v")], placement_mode="cks",
    )  # fmt: skip
    assert_type(defaults.tags, tuple[str, ...])
    try:
        sb.exec(["x"], check=True).result()
    except SandboxExecutionError as error:
        assert_type(error.exec_result, ProcessResult | None)
        assert_type(error.reason, str | None)
        assert_type(error.metadata, dict[str, str])

async def asynchronous(sb: Sandbox) -> None:
    assert_type(await sb, Sandbox)
    assert_type(await sb.exec(["x"]), ProcessResult)
    assert_type(await sb.read_file("/x"), bytes)
    async for text in sb.exec(["x"]).stdout:
        assert_type(text, str)
    assert_type(await asyncio.create_task(anext(sb.exec(["x"]).stdout)), str)
    async with Sandbox() as other, Session() as session:
        assert_type(other, Sandbox)
        assert_type(await session.list(), list[Sandbox])
    process = sb.exec(["x"], stdin=True)
    if process.stdin is not None:
        await process.stdin.write(b"x")
"""

# What `import *` gives must be known by name and type, and nothing else.
STAR = """\
from typing import assert_type
from cwsandbox import *

def use(sb: Sandbox, error: SandboxExecutionError) -> ProcessResult | None:
    assert_type(Sandbox.run().exec(["x"]).result(), ProcessResult)
    assert_type(results(sb.read_file("/x")), bytes)
    assert_type(sb.get_status(), SandboxStatus)
    return error.exec_result

assert_type(__version__, str)
no_such_name
"""

# In a process of its own: what one name loads must not be there before.
HINTS = """\
import inspect, typing
import cwsandbox, cwsandbox.exceptions

def members(cls):
    for name, member in inspect.getmembers(cls):
        member = getattr(member, "__func__", getattr(member, "fget", member))
        if (name == "__init__" or not name.startswith("_")) and inspect.isfunction(member):
            yield f"{cls.__name__}.{name}", member

names = {name: getattr(cwsandbox, name) for name in cwsandbox.__all__} | {"ProfileNotFoundError": cwsandbox.exceptions.ProfileNotFoundError}
public = [(name, value) for name, value in names.items() if inspect.isclass(value) or inspect.isfunction(value)]
public += [pair for _, value in public if inspect.isclass(value) for pair in members(value)]
assert len(public) > 250, len(public)
for name, value in public:
    try:
        typing.get_type_hints(value)
    except Exception as error:
        print(name, repr(error))
assert typing.get_type_hints(cwsandbox.Sandbox.list)["return"] == cwsandbox.OperationRef[list[cwsandbox.Sandbox]]
assert typing.get_type_hints(cwsandbox.SandboxDefaults)["auth"] == cwsandbox.AuthConfig | None
"""

WRONG = """\
from cwsandbox import Sandbox, Session
sb = Sandbox()
sb.exec("not a list", timeout="soon")
sb.read_file(7)
sb.no_such_thing()
Sandbox(no_such_option=1)
len(sb.exec(["x"]).result())
Sandbox.run("x", no_such_option=1)
Sandbox.run("x", tags="not a list of them", resources=1)
Session().sandbox(network=1)
from cwsandbox import NoSuchName
from cwsandbox import SandboxDefaults, Service
SandboxDefaults(tags=7)
Service(port="80")
"""


def block_program() -> str:
    parts = [PRELUDE]
    for block in BLOCKS:
        parts.append(f"async def block_{block.number}() -> None:\n" + textwrap.indent(block.code, "    "))
    return "\n".join(parts)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    directory = tmp_path_factory.mktemp("types")
    rules = "# mypy: disable-error-code=\"no-untyped-def,no-untyped-call,var-annotated,type-arg,no-any-return\"\n# pyright: reportSelfClsParameterName=false\n"
    (directory / "seed.py").write_text(rules + block_program())
    (directory / "right.py").write_text(RIGHT)
    (directory / "wrong.py").write_text(WRONG)
    for example in EXAMPLES:
        (directory / f"example_{example.name}").write_text(rules + example.read_text())
    return directory


def mypy(directory: Path, *names: str) -> subprocess.CompletedProcess:
    pytest.importorskip("mypy", reason="mypy is not installed")
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--no-error-summary", *names], cwd=directory,
        env={**os.environ, "MYPYPATH": str(PACKAGES)}, capture_output=True, text=True, timeout=120)


def pyright(directory: Path, *names: str) -> list[str]:
    pytest.importorskip("basedpyright", reason="basedpyright is not installed")
    config = {"include": list(names), "extraPaths": [str(PACKAGES)], "typeCheckingMode": "standard", "reportMissingModuleSource": False}
    (directory / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run([sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable], cwd=directory,
                          capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len(names)
    return [f"{Path(d['file']).name}:{d['range']['start']['line'] + 1}: {d['message']}"
            for d in report["generalDiagnostics"] if d["severity"] == "error"]


def test_the_package_says_that_it_is_typed():
    assert (PACKAGES / "cwsandbox" / "py.typed").exists()


def test_mypy_strict_accepts_the_document_and_the_examples(programs):
    names = [p.name for p in programs.glob("*.py") if p.name != "wrong.py"]
    done = mypy(programs, *names)
    assert done.stdout == "" and done.returncode == 0


def test_pyright_accepts_the_document_and_the_examples(programs):
    assert pyright(programs, *[p.name for p in programs.glob("*.py") if p.name != "wrong.py"]) == []


def test_a_star_import_has_names_for_type_checkers(tmp_path):
    (tmp_path / "star.py").write_text(STAR)
    last = len(STAR.splitlines())
    assert [line.split(":")[1] for line in mypy(tmp_path, "star.py").stdout.splitlines() if ": error:" in line] == [str(last)]
    assert [line.split(":")[1] for line in pyright(tmp_path, "star.py")] == [str(last)]


def test_hints_can_be_resolved_at_run_time():
    done = subprocess.run([sys.executable, "-c", HINTS], env={**os.environ, "PYTHONPATH": str(PACKAGES)}, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_both_refuse_what_is_wrong(programs):
    wrong = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14}
    assert {int(line.split(":")[1]) for line in mypy(programs, "wrong.py").stdout.splitlines() if ": error:" in line} == wrong
    assert {int(line.split(":")[1]) for line in pyright(programs, "wrong.py")} == wrong


def test_every_type_of_the_public_interface_is_known():
    pytest.importorskip("basedpyright", reason="basedpyright is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--verifytypes", "cwsandbox", "--ignoreexternal", "--outputjson", "--pythonpath",
         sys.executable], env={**os.environ, "PYTHONPATH": str(PACKAGES)}, capture_output=True, text=True, timeout=120)  # fmt: skip
    report = json.loads(done.stdout)["typeCompleteness"]
    unknown = [f"{symbol['name']}: {d['message']}" for symbol in report["symbols"] for d in symbol["diagnostics"] if d["severity"] == "error"]
    assert report["exportedSymbolCounts"]["withKnownType"] > 100 and unknown == []


def stub_docstrings():
    """(name, its docstring in the stub, the extension's own) of every public class and method that is written in C."""
    for cls in ast.parse((PACKAGES / "cwsandbox" / "_core.pyi").read_text()).body:
        runtime = getattr(cwsandbox._core, cls.name, None) if isinstance(cls, ast.ClassDef) else None
        if runtime is None:
            continue
        if runtime.__doc__:  # a base of a class in Python has none of its own
            yield cls.name, ast.get_docstring(cls), inspect.getdoc(runtime)
        for member in cls.body:
            if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                attribute = inspect.getattr_static(runtime, member.name)
                yield f"{cls.name}.{member.name}", ast.get_docstring(member), inspect.getdoc(attribute)


def test_an_editor_shows_the_docstrings_of_what_is_written_in_c():
    found = list(stub_docstrings())
    assert len(found) > 50 and [(name, stub) for name, stub, own in found if stub != own or not own] == []
