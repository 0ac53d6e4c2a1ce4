"""A cwsandboxd of a test's own: in a new directory, as root or as an ordinary user, with its log in a file.

    with Daemon(STAGE / "bin/cwsandboxd") as daemon:
        ...  # daemon.socket, daemon.url, daemon.process, daemon.log()
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

USER_ID = 54321  # owns nothing and has no entry in /etc/passwd
SECONDS = 60  # what any single wait may take before it is a failure


def as_user_args(as_user: bool, uid: int = USER_ID) -> dict:
    """Popen arguments for the ordinary user; when we are one already there is nothing to change."""
    if not as_user or os.geteuid() != 0:
        return {}
    return {"user": uid, "group": uid, "extra_groups": []}


def clean_env(home: Path, **extra: str) -> dict[str, str]:
    """The environment without what would lead a program to another service."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CWSANDBOX", "XDG_"))}
    # A sanitizer build must not count what it keeps to detect use after free.
    return env | {"HOME": str(home), "ASAN_OPTIONS": "quarantine_size_mb=1"} | extra


class Daemon:
    """Made: its directory exists, for files that the arguments name. start(): it runs and has said on --ready-fd how it is."""

    def __init__(self, program: Path, as_user: bool = False, prefix: str = "cws-test-") -> None:
        self.program, self.as_user = program, as_user
        self.dir = Path(tempfile.mkdtemp(prefix=prefix))
        self.socket = self.dir / "s"
        self.url = f"unix://{self.socket}"
        self.log_path = self.dir / "log"
        self.ready = ""
        self.signalled = False  # a second signal means "at once"
        self.give(self.dir)

    def give(self, path: Path) -> None:
        """To the user as whom the service runs."""
        if self.as_user and os.geteuid() == 0:
            os.chown(path, USER_ID, USER_ID)

    def start(self, args: Sequence[str] = (), wrapper: Sequence[str] = (), env: Mapping[str, str] | None = None) -> None:
        """`wrapper` is a command that runs the service. `ready` is "ready", or what is wrong. Once more, when it has
        ended: in the same directory, with the same log."""
        read_end, write_end = os.pipe()
        command = [*wrapper, str(self.program), "--config", "/dev/null", "--listen", self.url, "--data-dir", str(self.dir / "data"),
                   "--ready-fd", str(write_end), *args]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[write_end],
                                            env=clean_env(self.dir) if env is None else env, **as_user_args(self.as_user))
        os.close(write_end)
        with os.fdopen(read_end) as ready:
            self.ready = ready.read().strip()

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def ask_to_stop(self, signo: int = signal.SIGTERM) -> None:
        self.signalled = True
        self.process.send_signal(signo)

    def end(self) -> tuple[int, str]:
        """Its exit code and its log; the directory is gone."""
        if self.process.poll() is None and not self.signalled:
            self.process.terminate()
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        log = self.log()
        shutil.rmtree(self.dir, ignore_errors=True)
        return code, log

    def __enter__(self) -> Daemon:
        self.start()
        assert self.ready == "ready", self.ready + self.log()
        return self

    def __exit__(self, *_: object) -> None:
        code, log = self.end()
        assert code == 0, log
