"""include/cwsandbox.h keeps its promises: C99, C++, and exactly what the library exports."""

from __future__ import annotations

import re
import subprocess

import pytest
from conftest import ROOT, STAGE

HEADER = ROOT / "include" / "cwsandbox.h"


@pytest.mark.parametrize("language, standard", [("c", "c99"), ("c", "c17"), ("c++", "c++98"), ("c++", "c++17")])
def test_the_header_compiles_without_a_warning(language, standard, tmp_path):
    program = tmp_path / "program"
    program.write_text("#include <cwsandbox.h>\nint main(void) { return cws_version() == 0; }\n")
    command = ["cc", "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Wno-long-long", "-Werror"]
    done = subprocess.run(
        [*command, f"-I{STAGE / 'include'}", "-fsyntax-only", str(program)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_library_exports_what_the_header_declares_and_nothing_else():
    declared = set(re.findall(r"\b(cws_\w+)\(", "\n".join(re.findall(r"^CWS_API[^(]+\(", HEADER.read_text(), re.MULTILINE))))
    done = subprocess.run(["nm", "-D", "--defined-only", str(STAGE / "lib" / "libcwsandbox.so")], capture_output=True, text=True, timeout=60)
    exported = {line.split()[-1] for line in done.stdout.splitlines()}
    assert len(declared) > 100 and exported == declared
