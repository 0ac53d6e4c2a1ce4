"""Images that are described here and built where they are used: a base, and steps that run in sandboxes."""

from __future__ import annotations

import hashlib
import os
import shlex
import threading
from dataclasses import dataclass, field

from . import _core
from .exceptions import SandboxExecutionError, SandboxFailedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future

    from ._auth import AuthConfig
    from ._core import OperationRef
    from ._types import ProcessResult

# No registry can be asked for it (RFC 6761), and our service does not try
_REGISTRY = "build.cwsandbox.invalid/image"
_FORMAT = "1"  # of what a step's text means; another one makes other images
_OUTPUT_SHOWN = 4096  # characters of a failed step in its message
_STEP_SECONDS = 86400.0  # chosen: longer than any that is not stuck
_NO_APT = "apt_install: this image has no package database (image `host` never has)"
_APT = f"""[ -s /var/lib/dpkg/status ] || {{ echo {shlex.quote(_NO_APT)} >&2; exit 1; }}
export DEBIAN_FRONTEND=noninteractive
apt-get -q update && apt-get -q -y --no-install-recommends install -- %s && rm -rf /var/lib/apt/lists/* && apt-get -q clean"""
# What a distribution says about packages of its own does not concern an image of one's own
_PIP = "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-input --disable-pip-version-check --root-user-action=ignore %s"

_built: set[tuple[str, str]] = set()  # (service, reference): of this process, for what names an Image; under _lock
_lock = threading.Lock()


@dataclass(frozen=True)
class _Step:
    """What makes an image of its parent. Equal ones of equal parents are the same image."""

    what: str  # as it was asked for: for people
    script: str = ""  # of /bin/sh
    environment: tuple[tuple[str, str], ...] = ()
    working_dir: str | None = None

    def text(self) -> str:
        return repr((_FORMAT, self.script, self.environment, self.working_dir))


@dataclass(frozen=True)
class Image:
    """An image as a value: a base and steps. Each method returns another one; nothing is built before it is used.

        image = Image.from_registry("python:3.12").pip_install("numpy").env(MODE="test")
        with Sandbox.run(container_image=image) as sb: ...

    A step runs in a sandbox of the image before it, and what it wrote is kept by the service as an image of its own, whose name
    comes from the base and the texts of all steps: what was built once is not built again, by any process. A step has the network
    that sandboxes of the service have. The service must be one of your own, or allow commits (``--image-commit``).
    """

    base: str
    steps: tuple[_Step, ...] = field(default=(), repr=False)

    @classmethod
    def host(cls) -> Image:
        """The machine's own files, as every sandbox without an image has them."""
        return cls("host")

    @classmethod
    def from_registry(cls, reference: str) -> Image:
        """An image of a registry, or of the service's store. ValueError: an empty name."""
        if not isinstance(reference, str):
            raise TypeError(f"reference must be a str, not {type(reference).__name__}")
        if not reference:
            raise ValueError("reference cannot be empty")
        return cls(reference)

    def _with(self, step: _Step) -> Image:
        return Image(self.base, (*self.steps, step))

    def run(self, *commands: str) -> Image:
        """Run commands of /bin/sh, one step; the first that fails ends it. ValueError: there are none."""
        if not commands:
            raise ValueError("run() needs a command")
        return self._with(_Step("; ".join(commands), "set -e\n" + "\n".join(commands)))

    def pip_install(self, *packages: str) -> Image:
        """Install Python packages with the image's python3 and its pip. Words that begin with a dash are options of pip."""
        if not packages:
            raise ValueError("pip_install() needs a package")
        words = shlex.join(packages)
        return self._with(_Step(f"pip install {words}", _PIP % words))

    def apt_install(self, *packages: str) -> Image:
        """Install Debian packages, in an image of a Debian or Ubuntu. Not upon host(), which has no package database."""
        if not packages:
            raise ValueError("apt_install() needs a package")
        words = shlex.join(packages)
        return self._with(_Step(f"apt-get install {words}", _APT % words))

    def env(self, **variables: str) -> Image:
        """Environment variables of what runs in it, in the steps that follow and in sandboxes. ValueError: there are none."""
        if not variables:
            raise ValueError("env() needs a variable")
        for name, value in variables.items():
            if not isinstance(value, str) or "\0" in value:
                raise TypeError(f"env(): {name} must be a str without NUL")
        pairs = tuple(sorted(variables.items()))
        return self._with(_Step("env " + " ".join(f"{n}={v}" for n, v in pairs), environment=pairs))

    def workdir(self, path: str) -> Image:
        """Where commands start; it is made where it is missing. ValueError: not absolute."""
        if not path.startswith("/"):
            raise ValueError(f"workdir must be absolute, not {path!r}")
        return self._with(_Step(f"workdir {path}", working_dir=path))

    @property
    def reference(self) -> str:
        """The name under which the service has it once it is built; the base's own without steps."""
        if not self.steps:
            return self.base
        key = hashlib.sha256(repr(self.base).encode())
        for step in self.steps:
            key = hashlib.sha256(key.digest() + step.text().encode())
        return f"{_REGISTRY}:{key.hexdigest()}"

    def build(self, *, base_url: str | None = None, auth: AuthConfig | None = None) -> OperationRef[str]:
        """Handle for `reference`, done when the service has the image: steps that it has not are run, each in a sandbox.

        One builds for all who wait, also in other processes of this user. A sandbox that is given an Image builds it in its first
        operation, which blocks; await this before it where an event loop must go on.
        SandboxExecutionError: a step failed; its text (also metadata["step"]), its exit code and the end of its output are in the
        message, all of it in exec_result. Then nothing is left of it. SandboxFailedError: there is no sandbox of the base.
        """
        from concurrent.futures import Future

        future: Future[str] = Future()
        threading.Thread(target=_run_build, args=(self, base_url, auth, future), name="cwsandbox-image", daemon=True).start()
        return _core.OperationRef(future)


def reference_of(image: str | Image, base_url: str | None, auth: AuthConfig | None) -> str:
    """What a create says. An Image is built first, once a process."""
    if not isinstance(image, Image):
        return image
    key = (base_url or "", image.reference)
    with _lock:
        known = key in _built
    if not known:
        image.build(base_url=base_url, auth=auth).result()
    return image.reference


def _run_build(image: Image, base_url: str | None, auth: AuthConfig | None, future: Future[str]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        _ensure(image, base_url, auth)
    except BaseException as exc:
        future.set_exception(exc)
    else:
        with _lock:
            _built.add((base_url or "", image.reference))
        future.set_result(image.reference)


class _OneBuilder:
    """Held by who builds an image, among all processes of this user: a lock on a file in their cache."""

    def __init__(self, reference: str) -> None:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        directory = os.path.join(cache, "cwsandbox", "builds")
        os.makedirs(directory, exist_ok=True)
        self._path = os.path.join(directory, reference.rpartition(":")[2])

    def __enter__(self) -> None:
        import fcntl

        while True:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                if os.path.samestat(os.fstat(self._fd), os.stat(self._path)):
                    return
            except FileNotFoundError:
                pass  # who had it has removed it as done with
            os.close(self._fd)

    def __exit__(self, *_: object) -> None:
        os.unlink(self._path)
        os.close(self._fd)


def _is_there(reference: str, base_url: str | None, auth: AuthConfig | None) -> bool:
    from ._sandbox import Sandbox

    with Sandbox(command="sleep", args=["infinity"], container_image=reference, base_url=base_url, auth=auth) as sandbox:
        try:
            sandbox.wait()
        except SandboxFailedError:
            return False
    return True


def _ensure(image: Image, base_url: str | None, auth: AuthConfig | None) -> None:
    if not image.steps:
        return
    with _OneBuilder(image.reference):
        if _is_there(image.reference, base_url, auth):
            return
        parent = Image(image.base, image.steps[:-1])
        _ensure(parent, base_url, auth)
        _run_step(image, parent, base_url, auth)


def _run_step(image: Image, parent: Image, base_url: str | None, auth: AuthConfig | None) -> None:
    from ._sandbox import Sandbox

    step = image.steps[-1]
    with Sandbox(command="sleep", args=["infinity"], container_image=parent.reference, base_url=base_url, auth=auth) as sandbox:
        if step.script:
            # One stream, so that the output is in its order
            done = sandbox.exec(["/bin/sh", "-c", f"exec 2>&1\n{step.script}"], timeout_seconds=_STEP_SECONDS).result()
            if done.returncode != 0:
                raise _failed(step, done)
        sandbox.commit(
            image.reference, environment_variables=dict(step.environment), working_dir=step.working_dir
        ).result()


def _failed(step: _Step, done: ProcessResult) -> SandboxExecutionError:
    end = done.stdout[-_OUTPUT_SHOWN:].strip()
    return SandboxExecutionError(
        f"Build image: step `{step.what}` ended with exit code {done.returncode}: {end}",
        exec_result=done, metadata={"step": step.what},
    )  # fmt: skip
