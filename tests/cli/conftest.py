"""The command line against the real service, started by the program itself as embedded service.

Programs come from CWS_STAGE (an installed tree; what `make check` sets). They are copied to a directory that every user
may read, because half of the tests run as an ordinary user. Each kind of user has a service of its own: its own
XDG_RUNTIME_DIR, ended at the end of the session. Nothing here sleeps: tests wait for bytes, exits and pidfds.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
sys.path.append(str(ROOT / "tests" / "python" / "scripted"))  # messages, scripted_server: for tests that need them
from support.processes import listener, wait_for_end  # noqa: E402

LIMIT = 30.0  # seconds; only a hang gets there
ORDINARY = 65534  # nobody


def stage() -> Path:
    path = Path(os.environ.get("CWS_STAGE") or ROOT / "build" / "stage")
    if not (path / "bin" / "cwsandbox").exists():
        pytest.exit(f"no cwsandbox in {path}/bin: run `make build`, or set CWS_STAGE to an installation", 3)
    return path


class Expect:
    """Bytes from a descriptor, up to a wanted text; what came behind it is kept for the next time."""

    def __init__(self, fd: int) -> None:
        self.fd, self.seen = fd, b""

    def until(self, wanted: bytes) -> bytes:
        deadline = time.monotonic() + LIMIT
        while wanted not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            try:
                data = os.read(self.fd, 65536) if ready else b""
            except OSError:  # EIO: the terminal's other end is closed
                data = b""
            if not data:
                raise AssertionError(f"waited for {wanted!r}, saw {self.seen[-2000:]!r}")
            self.seen += data
        end = self.seen.index(wanted) + len(wanted)
        found, self.seen = self.seen[:end], self.seen[end:]
        return found


class Process:
    """A running cwsandbox. As a context manager it is killed and reaped if a test fails half-way."""

    def __init__(self, home: Home, words: tuple[str, ...], **options) -> None:
        self.popen = subprocess.Popen(home.argv(*words), env=home.env, **home.identity(), **options)
        self.output = Expect(self.popen.stdout.fileno())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream:
                stream.close()
        self.popen.wait(LIMIT)

    def read_until(self, wanted: bytes) -> bytes:
        return self.output.until(wanted)

    def kill(self, number: int) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(LIMIT)


class Terminal:
    """cwsandbox with a terminal: the test is the person in front of it."""

    def __init__(self, home: Home, words: tuple[str, ...], rows: int = 24, columns: int = 80) -> None:
        self.fd, self.slave = pty.openpty()
        self.output = Expect(self.fd)
        self.resize(rows, columns, notify=False)
        self.before = termios.tcgetattr(self.slave)

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        os.fchown(self.slave, home.uid, -1)
        self.popen = subprocess.Popen(home.argv(*words), env=home.env, stdin=self.slave, stdout=self.slave,
                                      stderr=self.slave, preexec_fn=take_terminal, **home.identity())

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(LIMIT)
        os.close(self.fd)
        os.close(self.slave)

    def settings(self) -> list:
        return termios.tcgetattr(self.slave)

    def resize(self, rows: int, columns: int, notify: bool = True) -> None:
        # The kernel sends SIGWINCH to the foreground group by itself.
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def read_until(self, wanted: str) -> str:
        return self.output.until(wanted.encode()).decode(errors="replace")

    def wait(self) -> int:
        """The exit code; the output is drained meanwhile, as a terminal does."""
        pidfd = os.pidfd_open(self.popen.pid)
        try:
            deadline = time.monotonic() + LIMIT
            while True:
                ready, _, _ = select.select([pidfd, self.fd], [], [], max(0.0, deadline - time.monotonic()))
                if self.fd in ready:
                    os.read(self.fd, 65536)
                elif pidfd in ready:
                    return self.popen.wait()
                else:
                    raise AssertionError("the program did not end")
        finally:
            os.close(pidfd)


class Home:
    """One user with a runtime directory, and so with an embedded service, of his own."""

    def __init__(self, programs: Path, base: Path, uid: int) -> None:
        self.programs, self.base, self.uid = programs, base, uid
        self.runtime = base / "run"
        self.runtime.mkdir(mode=0o700)
        os.chown(self.base, uid, uid)
        os.chown(self.runtime, uid, uid)
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(base), "LANG": "C.UTF-8", "TERM": "xterm",
            "XDG_RUNTIME_DIR": str(self.runtime), "CWSANDBOX_DATA_DIR": str(base / "data"),
            "CWSANDBOX_IDLE_SECONDS": "60",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "CWSANDBOX_LOG"):
            if name in os.environ:
                self.env[name] = os.environ[name]

    def argv(self, *words: str) -> list[str]:
        return [str(self.programs / "bin" / "cwsandbox"), *words]

    def identity(self) -> dict:
        return {} if self.uid == os.getuid() else {"user": self.uid, "group": self.uid, "extra_groups": []}

    def run(self, *words: str, input: bytes | None = None, env: dict[str, str] | None = None, **options):
        """Run to the end; stdin is /dev/null unless input is given."""
        given = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        if "stdin" in options:
            given = {}
        options.setdefault("stdout", subprocess.PIPE)
        return subprocess.run(self.argv(*words), env={**self.env, **(env or {})}, stderr=subprocess.PIPE,
                              timeout=LIMIT, **given, **self.identity(), **options)

    def start(self, *words: str, **options) -> Process:
        return Process(self, words, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})

    def terminal(self, *words: str, **options) -> Terminal:
        return Terminal(self, words, **options)

    def ids(self) -> list[str]:
        return [entry["sandbox_id"] for entry in json.loads(self.run("ls", "-o", "json").stdout)]

    def service_pid(self) -> int | None:
        """The process that listens on the embedded socket."""
        return listener(self.runtime / "cwsandbox" / "service.sock")

    def end_service(self) -> None:
        pid = self.service_pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        ended = wait_for_end(pid, LIMIT)
        assert ended, "the service did not end at SIGTERM"


@pytest.fixture(scope="session")
def programs():
    directory = Path(tempfile.mkdtemp(prefix="cws-cli-programs-"))
    directory.chmod(0o755)
    for part in ("bin", "libexec"):
        if (stage() / part).is_dir():
            shutil.copytree(stage() / part, directory / part, symlinks=True)
    yield directory
    shutil.rmtree(directory)


def make_home(programs: Path, uid: int, kind: type[Home] = Home):
    base = Path(tempfile.mkdtemp(prefix="cws-cli-"))
    home = kind(programs, base, uid)
    yield home
    home.end_service()
    left = subprocess.run([str(ROOT / "tools" / "check-leftovers"), "--under", str(base), "--grace", "5"],
                          stdout=subprocess.PIPE, text=True)
    shutil.rmtree(base)
    assert left.returncode == 0, left.stdout


@pytest.fixture(scope="session")
def root_home(programs):
    if os.getuid() != 0:
        pytest.skip("needs root")
    yield from make_home(programs, 0)


@pytest.fixture(scope="session")
def ordinary_home(programs):
    yield from make_home(programs, ORDINARY if os.getuid() == 0 else os.getuid())


@pytest.fixture(scope="session", params=["root", "ordinary"])
def home(request):
    """Both kinds of user; every test of a verb runs as both."""
    return request.getfixturevalue(f"{request.param}_home")


@pytest.fixture
def sandbox(home):
    """The id of a running sandbox, gone afterwards."""
    result = home.run("run", "--keep")
    assert result.returncode == 0, result.stderr.decode()
    sandbox_id = result.stdout.decode().strip()
    yield sandbox_id
    assert home.run("stop", "--missing-ok", "--quiet", "--graceful-shutdown-seconds", "0", sandbox_id).returncode == 0


@pytest.fixture
def scripted():
    """A service whose every answer is written by the test."""
    from scripted_server import ScriptedServer

    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def nothing_left(home):
    """The test may use sandboxes, but leaves none."""
    before = set(home.ids())
    yield
    assert set(home.ids()) <= before  # what another test deleted may end meanwhile
