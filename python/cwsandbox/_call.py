"""One call of a remote function: its future, and what its exit code and stderr mean."""

from __future__ import annotations

import re
from concurrent.futures import Future

from ._types import ProcessResult
from .exceptions import SandboxExecutionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio

    from ._sandbox import Sandbox
    from ._slot import Slot

OK, NONZERO, FAILED = range(3)  # how a call ended: indices of Sandbox._calls
_LAST_LINE = re.compile(r"(?:[\w.]+\.<locals>\.)?([A-Za-z_][\w.]*(?:Error|Exception))(?:: (.*))?$")


class Call:
    """Its request as JSON, its future, where it runs (None: nowhere yet, or no more)."""

    __slots__ = ("environment", "future", "number", "request", "slot", "timer")

    def __init__(self, number: int, request: str, environment: dict[str, str] | None) -> None:
        self.number, self.request, self.environment = number, request, environment
        self.future: Future[object] = Future()
        self.slot: Slot | None = None
        self.timer: asyncio.TimerHandle | None = None

    def succeed(self, value: object) -> None:
        """Ends here unless somebody cancelled it."""
        # The question must be asked once only, and another thread may cancel until it is
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """The same with an exception."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


def count(sandbox: Sandbox, outcome: int) -> None:
    """One more call that ended so, for the metrics of the session."""
    assert sandbox._calls is not None
    sandbox._calls[outcome] += 1


def check_exit(name: str, code: int, out: bytes, err: bytes, has_result: bool) -> None:
    """SandboxExecutionError unless the interpreter ended well and left a result."""
    if code == 0 and has_result:
        return
    text = err.decode("utf-8", "replace")
    result = ProcessResult(
        out.decode("utf-8", "replace"), text, code, out, err, ["python", "-c", f"<function {name}>"]
    )
    kind, message = parse_failure(text)
    if code == 0:
        detail = "the interpreter was ended without a result"
    elif kind or message:
        detail = f"{kind}: {message}" if kind and message else kind or message or ""
    else:
        detail = f"killed by signal {code - 128}" if code > 128 else f"exit code {code}"
    raise SandboxExecutionError(
        f"Function {name!r} execution failed: {detail}",
        exec_result=result,
        exception_type=kind,
        exception_message=message,
    )


def parse_failure(stderr: str) -> tuple[str | None, str | None]:
    """(type, message) of the exception that the runner reported; later lines win."""
    kind: str | None = None
    message: str | None = None
    for line in stderr.splitlines():
        if line.startswith("RESULT_SERIALIZATION_ERROR:"):
            kind, _, rest = line.partition(":")[2].partition(":")
            message = f"return value is not JSON-serializable: {rest}"
        elif line.startswith("EXCEPTION:"):
            message = line.partition(":")[2]
        elif match := _LAST_LINE.match(line):
            kind, message = match[1], match[2] or ""
    return kind, message
