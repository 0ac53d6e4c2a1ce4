"""Our package beside the installed one of the published client: names, signatures, defaults, members, fields, attributes, bases.

differences.txt has the differences that may be, each under its reason; one that is gone must leave the page. With
CWS_UPDATE_DIFFERENCES=1 in the environment the test takes those away itself (it never adds any).
"""

import fnmatch
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import BUILD
from environments import NEWEST, published

HERE = Path(__file__).parent
PAGE = HERE / "differences.txt"
PACKAGE = Path(os.environ.get("CWS_STAGE", BUILD / "stage")) / "python"
# Ours pass these keywords on to the other's
PASSED_ON = [("Sandbox.run", "Sandbox"), ("Sandbox.run_from_template", "Sandbox"), ("Sandbox.run_from_file", "Sandbox"),
             ("*Error", "CWSandboxError"), ("*Error", "SandboxSnapshotError"), ("*Error", "VolumeError")]


def describe(python, *words):
    # Isolated: a PYTHONPATH may lead to our own package
    done = subprocess.run([python, "-I", HERE / "describe_package.py", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def owners(key):
    """"A.b(c)": A, A.b."""
    path = re.split(r"[( ]", key)[0]
    return [owner for owner in (path.split(".")[0], path) if owner != key]


def is_passed_on(key, ours):
    path, _, argument = key.partition("(")
    return f"{path}(**)" in ours and any(
        fnmatch.fnmatchcase(path, pattern) and f"{other}({argument}" in ours for pattern, other in PASSED_ON)


def differences(theirs, ours):
    """{"- what": how it is there}, {"+ what": how it is here}, {"~ what": both}. What one has not at all is one line."""
    found = {}
    for key in sorted({*theirs, *ours}):
        if any((owner in theirs) != (owner in ours) for owner in owners(key)):
            continue
        if key not in ours:
            if not is_passed_on(key, ours):
                found[f"- {key}"] = theirs[key]
        elif key not in theirs:
            found[f"+ {key}"] = ours[key]
        elif theirs[key] != ours[key]:
            found[f"~ {key}"] = f"{theirs[key]} there, {ours[key]} here"
    return found


def allowed():
    """The patterns of the page."""
    return [line for line in PAGE.read_text().splitlines() if line[:2] in ("- ", "+ ", "~ ")]


@pytest.fixture(scope="module")
def found():
    if not (PACKAGE / "cwsandbox").is_dir():
        pytest.skip(f"no package in {PACKAGE}: make build")
    try:
        python = str(published(f"published-{NEWEST}"))
    except subprocess.CalledProcessError:
        pytest.skip(f"the package registry does not give cwsandbox=={NEWEST}")
    return differences(describe(python), describe(sys.executable, str(PACKAGE)))


def test_our_package_has_the_shape_of_the_published_one(found):
    patterns = allowed()
    assert [f"{key}: {how}" for key, how in found.items() if not any(fnmatch.fnmatchcase(key, p) for p in patterns)] == []


def test_every_allowed_difference_is_one(found):
    gone = [pattern for pattern in allowed() if not fnmatch.filter(found, pattern)]
    if gone and os.environ.get("CWS_UPDATE_DIFFERENCES") == "1":
        PAGE.write_text("".join(line for line in PAGE.read_text().splitlines(keepends=True) if line.rstrip("\n") not in gone))
        gone = []
    assert gone == []


def test_every_kind_of_difference_is_seen():
    theirs = {"A": "class", "A.x()": "positional: a b", "A.x(a)": "required", "B": "class", "B.y": "method", "A.w": "method", "A.w(x)": "1", "E is a": "Error"}
    ours = {"A": "class", "A.x()": "positional: b a", "A.x(a)": "1", "A.z": "method", "C": "class", "C.y": "method", "E is a": "Error"}
    assert list(differences(theirs, ours)) == ["- A.w", "~ A.x()", "~ A.x(a)", "+ A.z", "- B", "+ C"]
