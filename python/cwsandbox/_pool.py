"""Where the calls of one function run: a few sandboxes, each with a warm interpreter that forks for each call.

A call waits in `queue` until a worker has room, runs, and ends: with a result, an error, cancelled or late. A slot is one sandbox
with one worker (the protocol is in _runner.py). Slots are made when calls wait, and stop with the session, with the function
object, or when something is wrong with them; the next call makes a new one. Where the image cannot do this every call gets a
sandbox and an interpreter of its own (`fresh`), which is also what fresh=True asks for.

Everything runs on the thread of _driver.py except submit(), close() and retire().
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import uuid
from collections import deque

from . import _driver
from ._call import FAILED, NONZERO, OK, Call, check_exit, count
from ._slot import Slot, runner
from .exceptions import SandboxExecutionError, SandboxFileError, SandboxNotRunningError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future
    from typing import Any

    from ._sandbox import Sandbox
    from ._session import Session

PER_SANDBOX = 16  # chosen: calls that wait for something overlap, and a sandbox has no more processes than a small server
REMOTE_SANDBOXES = 32  # chosen: their machines are not this one; 1.6.0 would make one for each call


def max_sandboxes(session: Session, limits: bool) -> int:
    """How many sandboxes the calls of one function may have at a time."""
    if not session._url().startswith("unix:"):
        return REMOTE_SANDBOXES
    n_cpus = len(os.sched_getaffinity(0))
    # Measured: more than one per CPU is no faster. With one call at a time in each, some wait and not all compute.
    return 2 * n_cpus if limits else n_cpus


class Pool:
    """See the head of this file."""

    def __init__(
        self, session: Session, name: str, overrides: dict[str, Any], temp_dir: str, timeout: float, limits: bool, fresh: bool,
        max_in_flight: int | None,
    ) -> None:  # fmt: skip
        self.session, self.name, self.overrides = session, name, overrides
        self.temp_dir, self.timeout, self.fresh = temp_dir, timeout, fresh
        # Limits that somebody chose for a call are not shared between calls.
        self.per_sandbox = 1 if limits else PER_SANDBOX
        self.pid = os.getpid()
        self.numbers = itertools.count(1)  # next() is atomic, and submit() may be called by many threads at once
        self.closed: BaseException | None = None
        self.retired = False
        self.waiting: deque[Call] = deque()
        self.slots: list[Slot] = []
        self.start_error: BaseException | None = None  # of a slot, since another one last became ready: no more are made
        self.tasks: set[asyncio.Task[None]] = set()
        self.running: set[Call] = set()
        self.limit = max_sandboxes(session, limits)
        # A fresh call is a sandbox: its time runs from here on, so those that cannot run yet wait without it.
        self.max_in_flight = max_in_flight
        self.max_fresh = max_in_flight or max_sandboxes(session, True)
        self.dropped = False
        self.driver = _driver.use()
        session._pools.append(self)

    # ---- from any thread

    def submit(self, request: str, environment: dict[str, str] | None = None) -> Future[Any]:
        """environment: of a fresh call's sandbox; a warm one finds what differs in its request."""
        call = Call(next(self.numbers), request, environment)
        if self.closed is not None:
            call.fail(self.closed)
            return call.future
        call.future.add_done_callback(lambda future: self._cancelled_anywhere(call))
        if not self.driver.post(self._enqueue, call):  # another thread has closed the session meanwhile
            call.fail(self.closed or SandboxNotRunningError(f"function {self.name!r} has ended"))
        return call.future

    def close(self) -> None:
        """The session is closing and stops the sandboxes: no call goes on, none begins."""
        if self.closed is None:
            self.closed = SandboxNotRunningError(f"the session of function {self.name!r} has been closed")
            self.driver.post(self._shut)

    def retire(self) -> None:
        """The function object is gone: what was called goes on, then the sandboxes stop."""
        self.retired = True
        self.driver.post(self._dispatch)

    def _cancelled_anywhere(self, call: Call) -> None:
        if call.future.cancelled():
            self.driver.post(self._abandon, call)

    # ---- calls

    def _enqueue(self, call: Call) -> None:
        if self.closed is not None:
            call.fail(self.closed)
        else:
            self.waiting.append(call)
            self._dispatch()

    def _dispatch(self) -> None:
        """Give waiting calls to workers with room; make slots while calls wait and there may be more."""
        while self.waiting and self.waiting[0].future.cancelled():
            self.waiting.popleft()
        if self.fresh:
            self._dispatch_fresh()
        else:
            self._dispatch_warm()
        if self.retired and not self.waiting and not self.running:
            for slot in self.slots:
                slot.end()
            self._maybe_done()

    def _dispatch_fresh(self) -> None:
        while self.waiting and len(self.running) < self.max_fresh:
            call = self.waiting.popleft()
            if not call.future.cancelled():
                self._run_fresh(call)

    def _dispatch_warm(self) -> None:
        for slot in [slot for slot in self.slots if self.waiting and slot.ready and slot.worn()]:
            slot.retire()
        outstanding = len(self.waiting) + len(self.running)
        may_grow = self.start_error is None or not self.slots
        while may_grow and self.waiting and len(self.slots) < min(self.limit, outstanding):
            self._add_slot()
        ready = [slot for slot in self.slots if slot.ready]
        while self.waiting and ready:
            slot = min(ready, key=lambda slot: len(slot.calls))
            full = self.max_in_flight is not None and len(self.running) >= self.max_in_flight
            if full or len(slot.calls) >= self.per_sandbox:
                break
            call = self.waiting.popleft()
            if not call.future.cancelled() and not slot.send(call):
                self.waiting.appendleft(call)
                ready.remove(slot)

    def _abandon(self, call: Call) -> None:
        if call.slot is not None:
            call.slot.kill(call)
        self._dispatch()

    def finished(self, call: Call) -> None:
        if call.timer is not None:
            call.timer.cancel()
        self.running.discard(call)
        call.slot = None

    # ---- slots

    def _add_slot(self) -> None:
        slot = Slot(self)
        self.slots.append(slot)
        self._spawn(slot.run())

    def slot_ended(self, slot: Slot, error: BaseException | None) -> None:
        """error: it could not start; when no other slot can serve, that is the answer to every call that waits."""
        if slot in self.slots:
            self.slots.remove(slot)
        self.start_error = error or self.start_error
        if error is not None and not self.slots:
            self.start_error = None
            while self.waiting:
                self.waiting.popleft().fail(error)
        self._dispatch()

    def go_fresh(self, why: str) -> None:
        """The image cannot keep an interpreter: from now on each call gets its own."""
        if not self.fresh:
            import logging

            logging.getLogger(__name__).warning(
                "function %r: no warm interpreter (%s); each call gets a sandbox of its own", self.name, why
            )
        self.fresh = True
        for slot in self.slots:
            slot.end()
        self._dispatch()

    def make_sandbox(self, environment: dict[str, str] | None = None) -> Sandbox:
        overrides = self.overrides if environment is None else {**self.overrides, "environment_variables": environment}
        sandbox = self.session._function_sandbox(overrides)
        sandbox._calls = [0, 0, 0]  # what metrics count instead of commands: these would count the worker
        if self.session._closed:  # by another thread, perhaps before it was registered
            sandbox.stop(missing_ok=True)
        return sandbox

    # ---- one sandbox for one call

    def _run_fresh(self, call: Call) -> None:
        self.running.add(call)
        task = self._spawn(self._fresh_call(call))
        call.future.add_done_callback(
            lambda future: self.driver.post(task.cancel) if future.cancelled() else None,
        )

    async def _fresh_call(self, call: Call) -> None:
        try:
            call.succeed(await self._fresh_value(call))
        except asyncio.CancelledError:
            call.future.cancel()
        except BaseException as error:
            call.fail(error)
        finally:
            self.finished(call)
            self._dispatch()

    async def _fresh_value(self, call: Call) -> Any:
        word = uuid.uuid4().hex
        payload = f"{self.temp_dir}/sandbox_payload_{word}.json"
        result = f"{self.temp_dir}/sandbox_result_{word}.json"
        sandbox = self.make_sandbox(call.environment)
        try:
            async with sandbox:
                value = await self._run_in(sandbox, call, payload, result)
                count(sandbox, OK)
                return value
        except SandboxExecutionError as error:
            count(sandbox, FAILED if error.exec_result is None else NONZERO)
            raise
        except BaseException:
            count(sandbox, FAILED)
            raise
        finally:
            self.session._forget(sandbox)

    async def _run_in(self, sandbox: Sandbox, call: Call, payload: str, result: str) -> Any:
        await sandbox.write_file(payload, call.request.encode())
        command = ["python", "-c", runner(), "fresh", payload, result, self.temp_dir]
        done = await sandbox.exec(command, timeout_seconds=self.timeout)
        check_exit(self.name, done.returncode, done.stdout_bytes, done.stderr_bytes, True)
        try:
            text = await sandbox.read_file(result)
        except SandboxFileError:
            check_exit(self.name, 0, done.stdout_bytes, done.stderr_bytes, False)
            raise
        return json.loads(text)

    # ---- the end

    def _shut(self) -> None:
        assert self.closed is not None
        while self.waiting:
            self.waiting.popleft().fail(self.closed)
        for call in list(self.running):
            call.fail(self.closed)
        for task in list(self.tasks):
            task.cancel()
        self._maybe_done()

    def _maybe_done(self) -> None:
        ended = self.closed is not None or (self.retired and not self.waiting)
        if not ended or self.tasks or self.dropped:
            return
        self.dropped = True
        if self in self.session._pools:
            self.session._pools.remove(self)
        self.driver.drop()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "function pool", "exception": task.exception()})
        self._maybe_done()
