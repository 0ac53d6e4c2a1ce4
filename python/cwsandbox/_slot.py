"""One sandbox of a pool, with one warm interpreter in it; see _pool.py. Everything runs on the thread of _driver.py."""

from __future__ import annotations

import asyncio
import base64
import json
import pkgutil

from ._call import FAILED, NONZERO, OK, Call, check_exit, count
from .exceptions import SandboxExecutionError, SandboxTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._core import Process
    from ._pool import Pool
    from ._sandbox import Sandbox

WORKER_SECONDS = 24 * 3600  # chosen: the default lifetime of a sandbox
RETIRE_SHARE = 0.5  # chosen: of its life; then the next call gets a new slot, before a running one is cut off
RETIRE_OUTPUT = 32 << 20  # chosen: a command's output stays in memory until it ends, so a worker ends from time to time


def runner() -> str:
    """The text of _runner.py."""
    data = pkgutil.get_data(__package__ or "cwsandbox", "_runner.py")
    assert data is not None
    return data.decode()


class Slot:
    """`ready` while the worker takes calls. `calls` are those it was sent and has not answered, cancelled ones included."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.calls: dict[int, Call] = {}
        self.ready = self.was_ready = self.ending = False
        self.n_output = 0
        self.sandbox: Sandbox | None = None
        self.process: Process | None = None
        self.born = asyncio.get_running_loop().time()
        lifetime = pool.session._defaults.max_lifetime_seconds or WORKER_SECONDS
        self.retire_seconds = min(lifetime, WORKER_SECONDS) * RETIRE_SHARE
        self.used = False

    async def run(self) -> None:
        """Its life, from the sandbox to the sandbox's end."""
        error: BaseException | None = None
        try:
            self.sandbox = self.pool.make_sandbox()
            error = await self._work(self.sandbox)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            error = exc
        finally:
            self.ready = False
            self._fail_calls(error)
            if self.sandbox is not None and not self.pool.session._closed:
                stop = self.sandbox.stop(missing_ok=True, graceful_shutdown_seconds=0)
                self.pool.session._forget(self.sandbox)
        self.pool.slot_ended(self, None if self.was_ready else error)
        if self.sandbox is not None and not self.pool.session._closed:
            try:
                await stop
            except Exception as exc:
                self._log("could not stop sandbox %s of function %r: %s", self.sandbox.sandbox_id, self.pool.name, exc)

    async def _work(self, sandbox: Sandbox) -> BaseException | None:
        """Until the worker ends; returns why it ended, when nobody asked it to."""
        command = ["python", "-u", "-c", runner(), "warm"]
        process = self.process = sandbox.exec(command, stdin=True, timeout_seconds=WORKER_SECONDS)
        parts: list[str] = []
        async for chunk in process.stdout:
            self.n_output += len(chunk)
            parts.append(chunk)
            if "\n" in chunk:
                *lines, rest = "".join(parts).split("\n")
                parts = [rest]
                for line in lines:
                    self._answer(line)
        try:
            done = await process
        except SandboxExecutionError as error:  # the service could not even run it
            if not self.was_ready:
                self.pool.go_fresh(str(error))
            return error
        if self.ending and not self.calls:
            return None
        reason = (done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}")[:200]
        if not self.was_ready:
            self.pool.go_fresh(reason)
        return SandboxExecutionError(
            f"Function {self.pool.name!r} execution failed: the interpreter that served it ended: {reason}", exec_result=done
        )

    # ---- calls

    def send(self, call: Call) -> bool:
        """Start a call. False: the worker is ending."""
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(f"call {call.number} {call.request}\n".encode("ascii"))
        except SandboxExecutionError:
            self.ready = False
            return False
        call.slot, self.used = self, True
        self.calls[call.number] = call
        self.pool.running.add(call)
        call.timer = asyncio.get_running_loop().call_later(self.pool.timeout, self._late, call)
        return True

    def kill(self, call: Call) -> None:
        """The call's outcome is no longer wanted."""
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(f"kill {call.number}\n".encode("ascii"))
        except SandboxExecutionError:
            pass  # the worker has ended, and its calls with it

    def end(self) -> None:
        """No new calls; the worker ends after those it has."""
        self.ready, self.ending = False, True
        if self.was_ready and not self.calls and self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def _late(self, call: Call) -> None:
        seconds = self.pool.timeout
        call.fail(SandboxTimeoutError(f"Function {self.pool.name!r} timed out: it ran longer than {seconds:g} s"))
        self.kill(call)

    def _answer(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        if verb == "ready":
            self.ready = self.was_ready = True
            self.pool.start_error = None
            if self.ending:
                self.end()
            self.pool._dispatch()
        elif verb == "done":
            call, code, out, err, result = self._parse(rest)
            del self.calls[call.number]
            self._finish(call, code, out, err, result)
            if self.ending or self.worn():
                self.retire()
            self.pool._dispatch()
        elif verb == "nofork":
            self.pool.go_fresh("its Python cannot fork")

    def _parse(self, answer: str) -> tuple[Call, int, bytes, bytes, str]:
        """Raises before a call is taken off the list. The calls run beside the worker as the same user, so they can write here."""
        try:
            number, code, out, err, result = answer.split(" ", 4)
            return self.calls[int(number)], int(code), _bytes(out), _bytes(err), result
        except (KeyError, ValueError) as error:
            raise SandboxExecutionError(
                f"Function {self.pool.name!r} execution failed: the interpreter that served it was disturbed by a call"
            ) from error

    def worn(self) -> bool:
        """It should take no further call. A new one takes one call at least, however short its life is."""
        age = asyncio.get_running_loop().time() - self.born
        return self.used and (self.n_output > RETIRE_OUTPUT or age > self.retire_seconds)

    def retire(self) -> None:
        """Make room for a slot that is not worn out."""
        if self in self.pool.slots:
            self.pool.slots.remove(self)
        self.end()

    def _finish(self, call: Call, code: int, out: bytes, err: bytes, result: str) -> None:
        self.pool.finished(call)
        counted = FAILED if call.future.done() else NONZERO
        try:
            check_exit(self.pool.name, code, out, err, bool(result))
            value = json.loads(result)
        except Exception as error:
            call.fail(error)
        else:
            counted = FAILED if call.future.done() else OK
            call.succeed(value)
        assert self.sandbox is not None
        count(self.sandbox, counted)

    def _fail_calls(self, error: BaseException | None) -> None:
        for call in list(self.calls.values()):
            self.pool.finished(call)
            if self.sandbox is not None:
                count(self.sandbox, FAILED)
            if error is not None:
                call.fail(error)
        self.calls.clear()

    def _log(self, text: str, *args: object) -> None:
        import logging

        logging.getLogger(__name__).warning(text, *args)


def _bytes(text: str) -> bytes:
    return b"" if text == "-" else base64.b64decode(text)
