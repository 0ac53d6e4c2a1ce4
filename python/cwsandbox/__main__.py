"""``python -m cwsandbox``: the command line, which is a program of its own."""

from __future__ import annotations

import os
import shutil
import sys


def find_program(name: str) -> str | None:
    """A program of this installation: where CWSANDBOX_SERVICE_PATH says, in this package, on PATH. Never this very script."""
    here = os.path.dirname(os.path.abspath(__file__))
    for directory in (os.environ.get("CWSANDBOX_SERVICE_PATH"), os.path.join(here, "_bin")):
        path = os.path.join(directory, name) if directory else ""
        if os.path.isfile(path) and os.access(path, os.X_OK):  # libexec/cwsandbox is a directory
            return path
    found = shutil.which(name)
    return found if found and os.path.realpath(found) != os.path.realpath(sys.argv[0]) else None


def main() -> int:
    """Become the command line program, with this process's arguments."""
    program = find_program("cwsandbox")
    if program is None:
        print("cwsandbox: the program `cwsandbox` is not installed", file=sys.stderr)
        return 1
    os.execv(program, ["cwsandbox", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
