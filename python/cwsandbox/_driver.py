"""One thread with an event loop for everything that goes on after a call returned: function calls, waits for foreign futures.

It is started by the first user and ends with the last one, so a program that uses none of this has no such thread and one that is
done with it has none any more. Only Loop.post() may be called from other threads.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ._core import OperationRef

_lock = threading.Lock()
_current: Loop | None = None


class Loop:
    """The thread. Users call use() and drop(); the last drop() ends it."""

    def __init__(self) -> None:
        self.users = 0  # under _lock
        self.pid = os.getpid()
        self.gate = threading.RLock()  # a finalizer may post while this thread posts
        self.ended = False  # under gate
        self.loop = asyncio.SelectorEventLoop()  # whatever the program's policy makes: some are bound to a thread
        self.thread = threading.Thread(target=self._run, name="cwsandbox-functions", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.loop.run_forever()
        with self.gate:
            self.ended = True
        self.loop.run_until_complete(asyncio.sleep(0))  # what was posted since it was told to stop
        self.loop.close()

    def post(self, function: Callable[..., object], *args: object) -> bool:
        """Call function(*args) on the loop's thread; False if the loop has ended, as in a forked child."""
        if os.getpid() != self.pid:
            return False
        with self.gate:
            if not self.ended:
                self.loop.call_soon_threadsafe(function, *args)
            return not self.ended

    def drop(self) -> None:
        global _current
        with _lock:
            self.users -= 1
            if self.users:
                return
            if _current is self:
                _current = None
        self.post(self.loop.stop)


def use() -> Loop:
    """The running loop, kept running until drop()."""
    global _current
    with _lock:
        if _current is None:
            _current = Loop()
        _current.users += 1
        return _current


# ---- waiting for handles when some are futures of somebody else


def wait(refs: Sequence[OperationRef[Any]], wanted: int, timeout: float | None) -> list[bool]:
    """As _core.wait(): block until `wanted` are done or the time is up, and return who is done. Cancels nothing."""
    done = _Countdown(wanted)
    native = []
    for ref in refs:
        if not isinstance(ref, _core.OperationRef):
            raise TypeError(f"cannot wait for {ref!r}")
        if ref._future is not None:
            ref._future.add_done_callback(done)
        else:
            native.append(ref)
    if not native:
        done.wait(timeout)
        return [_core.is_done(ref) for ref in refs]
    loop = use()
    watches = [_Watch(ref, done) for ref in native]
    try:
        for watch in watches:
            loop.post(watch.step)
        done.wait(timeout)
    finally:
        for watch in watches:
            loop.post(watch.close)
        loop.drop()
    return [_core.is_done(ref) for ref in refs]


class _Countdown:
    """Called once per handle that is done; wait() returns after `wanted` of them."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self._changed = threading.Condition()

    def __call__(self, handle: object) -> None:
        with self._changed:
            self._left -= 1
            self._changed.notify_all()

    def wait(self, timeout: float | None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._left <= 0, timeout)


class _Watch:
    """Drives the awaitable of one handle by hand: a task could only be stopped by cancelling it, which cancels the operation."""

    def __init__(self, ref: OperationRef[Any], done: _Countdown) -> None:
        self._done = done
        self._awaitable = ref.__await__()

    def step(self, future: object = None) -> None:
        try:
            future = self._awaitable.send(None)
        except BaseException:  # done, cancelled included: its value or error is for whoever asks the handle
            self._done(self)
        else:
            future.add_done_callback(self.step)  # type: ignore[attr-defined]

    def close(self) -> None:
        self._awaitable._detach()  # close() would undo a start


def _forget() -> None:
    """A forked child has no such thread."""
    global _current, _lock
    _lock = threading.Lock()
    _current = None


def _at_exit() -> None:
    """Sessions first (their hook was registered earlier, so it would run later), then wait for the thread they kept busy."""
    from . import _cleanup

    _cleanup.close_sessions()
    loop = _current
    if loop is not None:
        loop.thread.join(2)  # chosen: everything it waits for was stopped; a program's end is not held up by a lost service


os.register_at_fork(after_in_child=_forget)
atexit.register(_at_exit)
