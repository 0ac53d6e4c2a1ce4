"""The reference of the command line: what its own --help says."""

from __future__ import annotations

import re
import subprocess
from html import escape
from pathlib import Path


def _help(program: Path, *words: str) -> str:
    return subprocess.run([str(program), *words, "--help"], check=True, capture_output=True, text=True).stdout


def html(program: Path) -> str:
    top = _help(program)
    commands = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +\S", top[top.index("Commands:") :], re.MULTILINE)
    out = ["<h1>Command line reference</h1>", "<p>Guide: <a href='../guides/cli.html'>Command line</a>.</p>",
           f"<pre>{escape(top)}</pre>"]  # fmt: skip
    for command in commands:
        if command == "serve":  # hands its words to cwsandboxd
            text = "Usage: cwsandbox serve [OPTIONS]\n\n  Run the service in the foreground. Options: see Configuration.\n"
        else:
            text = _help(program, *command.split())
        out += [f'<h2 id="{command.replace(" ", "-")}">{command}</h2>', f"<pre>{escape(text)}</pre>"]
    return "\n".join(out)
