"""What importing costs and what is in the package."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import cwsandbox
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Importing must not pay for these; they come when they are needed.
HEAVY = ("asyncio", "concurrent.futures", "dataclasses", "enum", "inspect", "typing", "logging", "datetime", "signal", "re")


def python(code: str, *flags: str) -> str:
    # -S -E: what site and its .pth files import is not ours
    done = subprocess.run(
        [sys.executable, *flags, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_import_is_light():
    loaded = python("import cwsandbox; print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []
    assert "cwsandbox._core" not in loaded


def test_sandbox_is_light():
    loaded = python("from cwsandbox import Sandbox; print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []


def test_import_time():
    """The budget is 25 ms over bare Python; a quarter of the machine may be somebody else's."""

    def milliseconds(module_line: str) -> float:
        text = python(module_line, "-X", "importtime")
        last = [line for line in text.splitlines() if re.search(r"\| +cwsandbox(\._sandbox)?$", line)]
        return sum(int(line.split("|")[1]) for line in last) / 1000

    best = min(milliseconds("from cwsandbox import Sandbox") for _ in range(5))
    assert best < 25, f"{best} ms"


def test_every_public_name_is_there():
    for name in cwsandbox.__all__:
        assert getattr(cwsandbox, name) is not None
    namespace: dict = {}
    exec("from cwsandbox import *", namespace)
    assert set(cwsandbox.__all__) <= set(namespace)
    assert set(cwsandbox.__all__) <= set(dir(cwsandbox))
    assert set(cwsandbox.__all__) == set(cwsandbox._HOME)
    with pytest.raises(AttributeError):
        cwsandbox.no_such_name
    with pytest.raises(ImportError):
        from cwsandbox import no_such_name  # noqa: F401


def test_version_is_the_librarys():
    from cwsandbox import _core

    assert cwsandbox.__version__ == _core.__version__


def test_one_version_is_told_everywhere():
    """That of the published client which it stands for, comparable by its first part, and our own release."""
    assert re.fullmatch(r"(\d+)\.(\d+)\.(\d+)\+self\.(\d+)\.(\d+)\.(\d+)", cwsandbox.__version__)
    assert tuple(int(part) for part in cwsandbox.__version__.split("+")[0].split(".")) >= (1, 22)
    assert importlib.metadata.version("cwsandbox") == cwsandbox.__version__
    if "CWS_STAGE" in os.environ:  # not with a build of libraries alone
        program = Path(os.environ["CWS_STAGE"]) / "bin" / "cwsandbox"
        for words in (["version"], ["--version"]):
            told = subprocess.run([program, *words], capture_output=True, text=True, timeout=60).stdout
            assert told == f"cwsandbox, version {cwsandbox.__version__}\n"
    for page in ("README.md", "CHANGELOG.md", "docs/compatibility.md", "include/cwsandbox.h"):
        assert cwsandbox.__version__ in (ROOT / page).read_text(), page


def test_everything_public_is_documented():
    undocumented = []
    for name in cwsandbox.__all__:
        value = getattr(cwsandbox, name)
        if name not in ("__version__", "Waitable") and not inspect.getdoc(value):
            undocumented.append(name)
        if inspect.isclass(value) and value.__module__.startswith("cwsandbox"):
            for attribute, member in vars(value).items():
                if not attribute.startswith("_") and callable(member) and not inspect.getdoc(member):
                    undocumented.append(f"{name}.{attribute}")
    assert undocumented == []


def test_signatures_of_the_extension_can_be_read():
    for name in ("exec", "read_file", "write_file", "wait", "wait_until_complete", "shell", "start"):
        assert inspect.signature(getattr(cwsandbox.Sandbox, name))
    assert "timeout_seconds" in str(inspect.signature(cwsandbox.Sandbox.exec))


def test_stub_matches_the_extension():
    from cwsandbox import _core

    stub = Path(cwsandbox.__file__).with_name("_core.pyi").read_text()
    # A name with an underscore exists for type checkers only
    names = set(re.findall(r"^(?:class|def) ([a-zA-Z]\w*)", stub, re.MULTILINE))
    assert {name for name in vars(_core) if not name.startswith("_")} == names
    for cls, body in re.findall(r"^class ([a-zA-Z]\w*).*?:\n((?:    .*\n|\n)+)", stub, re.MULTILINE):
        stubbed = set(re.findall(r"^    (?:async )?def (\w+)", body, re.MULTILINE))
        real = {name for name in vars(getattr(_core, cls)) if name in stubbed or not name.startswith("_")}
        special = {name for name in stubbed if name.startswith("__")} | {"_open"}  # _open: made by the subclass
        assert real - {"QUEUE_SIZE"} - special == stubbed - special, cls


def test_marker_of_a_typed_package():
    assert Path(cwsandbox.__file__).with_name("py.typed").exists()


def test_only_the_init_function_is_exported():
    from cwsandbox import _core

    out = subprocess.run(["nm", "-D", "--defined-only", _core.__file__], capture_output=True, text=True)
    if out.returncode != 0:
        pytest.skip("nm is not installed")
    names = {line.split()[-1] for line in out.stdout.splitlines()}
    assert {name for name in names if not name.startswith("_")} == {"PyInit__core"}


def test_module_can_be_loaded_in_subinterpreters():
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        interpreters = pytest.importorskip("_interpreters")
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from cwsandbox import Sandbox
with Sandbox.run() as sb:
    assert sb.exec(["echo", "sub"]).result().stdout == "sub\\n"
"""
    for _ in range(2):
        interpreter = interpreters.create()
        try:
            failure = interpreters.run_string(interpreter, code)  # 3.13 returns it, earlier versions raise it
            assert failure is None, failure
        finally:
            interpreters.destroy(interpreter)


def test_python_dash_m_runs_the_command_line(tmp_path):
    program = tmp_path / "cwsandbox"
    program.write_text("#!/bin/sh\necho command line: $*\n")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "cwsandbox", "ls", "-o", "json"], capture_output=True, text=True,
        env={**os.environ, "CWSANDBOX_SERVICE_PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.stdout == "command line: ls -o json\n", done.stderr


def test_python_dash_m_takes_no_directory_for_the_program(tmp_path):
    (tmp_path / "libexec" / "cwsandbox").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "cwsandbox"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "cwsandbox"], capture_output=True, text=True,
        env={**os.environ, "CWSANDBOX_SERVICE_PATH": str(tmp_path / "libexec"), "PYTHONPATH": os.pathsep.join(sys.path),
             "PATH": f"{program.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout == "found\n", done.stderr


def test_reloading_keeps_one_set_of_handlers():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    importlib.reload(cwsandbox)
    assert signal.getsignal(signal.SIGTERM) is before
