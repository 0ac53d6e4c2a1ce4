"""Write the metadata of an installed package, so that pip and importlib.metadata see what `make install` put there.

    dist-info.py VERSION EXTENSION SOURCE... OUTPUT_DIR

Writes METADATA, RECORD and INSTALLER. pyproject.toml has the words; RECORD names the package's files, without
hashes, which the specification allows.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("INSTALLER", "METADATA", "RECORD")


def metadata(project: dict, version: str) -> str:
    lines = ["Metadata-Version: 2.4", f"Name: {project['name']}", f"Version: {version}", f"Summary: {project['description']}",
             f"License-Expression: {project['license']}", f"Requires-Python: {project['requires-python']}"]
    lines += [f"Classifier: {classifier}" for classifier in project["classifiers"]]
    lines += [f"Requires-Dist: {requirement}" for requirement in project.get("dependencies", [])]
    for extra, requirements in project.get("optional-dependencies", {}).items():
        lines += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {requirement}; extra == "{extra}"' for requirement in requirements)]
    return "\n".join(lines) + "\n"


def main() -> None:
    version, extension, *sources, output = sys.argv[1:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    directory = f"cwsandbox-{version}.dist-info"
    files = [*sources, f"cwsandbox/{extension}", *(f"{directory}/{name}" for name in NAMES)]
    texts = {"INSTALLER": "make\n", "METADATA": metadata(project, version), "RECORD": "".join(f"{name},,\n" for name in files)}
    for name in NAMES:
        Path(output, name).write_text(texts[name])


if __name__ == "__main__":
    main()
