"""`cwsandbox image` on stores of its own, as root and as an ordinary user. Images are made here: tar and JSON.

Programs come from CWS_STAGE (an installed tree; what `make check` sets), copied to where every user may read them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60.0  # seconds; only a hang gets there
ORDINARY = 65534  # nobody


def stage() -> Path:
    path = Path(os.environ.get("CWS_STAGE") or ROOT / "build" / "stage")
    if not (path / "libexec" / "cwsandbox" / "cwsandbox-image").exists():
        pytest.exit(f"no cwsandbox-image in {path}: run `make build`, or set CWS_STAGE to an installation", 3)
    return path


class Images:
    """One store, as one user."""

    def __init__(self, programs: Path, directory: Path, uid: int) -> None:
        self.programs, self.directory, self.uid = programs, directory, uid
        self.store = directory / "data" / "images"
        self.environment = {"PATH": "/usr/bin:/bin", "HOME": str(directory), "CWSANDBOX_DATA_DIR": str(directory / "data"),
                            "XDG_CONFIG_HOME": str(directory / "config")}

    def start(self, *words: str, **more: object) -> subprocess.Popen:
        ids = {"user": self.uid, "group": self.uid, "extra_groups": []} if self.uid != os.geteuid() else {}
        return subprocess.Popen([self.programs / "bin" / "cwsandbox", "image", *map(str, words)], env=self.environment,
                                stdin=more.pop("stdin", subprocess.PIPE), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                cwd=self.directory, **ids, **more)

    def run(self, *words: str, data: bytes = b"") -> subprocess.CompletedProcess:
        process = self.start(*words)
        try:
            out, errors = process.communicate(data, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), errors.decode())

    def ok(self, *words: str, data: bytes = b"") -> str:
        done = self.run(*words, data=data)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *words: str, data: bytes = b"") -> str:
        done = self.run(*words, data=data)
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        return done.stderr

    def inspect(self, reference: str) -> dict:
        return json.loads(self.ok("inspect", reference))

    def layers(self, reference: str) -> list[Path]:
        return [self.store / "layers" / name for name in self.inspect(reference)["layers"]]

    def layer(self, reference: str) -> Path:
        (only,) = self.layers(reference)
        return only

    def rest(self) -> list[str]:
        """What is in the store but locks and empty directories."""
        return sorted(str(p.relative_to(self.store)) for p in self.store.glob("*/*") if p.parent.name != "locks")


@pytest.fixture(scope="session")
def programs():
    directory = Path(tempfile.mkdtemp(prefix="cws-image-"))
    directory.chmod(0o755)
    for name in ("bin/cwsandbox", "libexec/cwsandbox/cwsandbox-image"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(stage() / name, directory / name)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(params=["root", "user"] if os.geteuid() == 0 else ["user"])
def images(request, programs):
    directory = Path(tempfile.mkdtemp(prefix="cws-store-"))
    uid = ORDINARY if request.param == "user" and os.geteuid() == 0 else os.geteuid()
    os.chown(directory, uid, uid)
    yield Images(programs, directory, uid)
    subprocess.run(["chmod", "-R", "u+rwx", directory], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(directory)
