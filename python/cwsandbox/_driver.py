"""One thread with an event loop for everything that goes on after a call returned: function calls, waits for foreign futures.

It is started by the first user and ends with the last one, so a program that uses none of this has no such thread and one that is
done with it has none any more. Only Loop.post() may be called from other threads.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import os
import queue
import threading
import time

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
    end = None if timeout is None else time.monotonic() + timeout
    done = Completions(refs)
    try:
        while wanted > 0:
            places = done.next(None if end is None else max(end - time.monotonic(), 0))
            if not places:
                break
            wanted -= len(places)
    finally:
        done.close()
    return [_core.is_done(ref) for ref in refs]


class Completions:
    """As _core.Completions, also for futures of somebody else. To be closed."""

    def __init__(self, refs: Sequence[OperationRef[Any]]) -> None:
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._watches: list[_Watch] = []
        self._loop: Loop | None = None
        for ref in refs:
            if not isinstance(ref, _core.OperationRef):
                raise TypeError(f"cannot wait for {ref!r}")
        for place, ref in enumerate(refs):
            tell = functools.partial(self._tell, place)
            if ref._future is not None:
                ref._future.add_done_callback(tell)
            else:
                self._watches.append(_Watch(ref, tell))
        if self._watches:
            self._loop = use()
            for watch in self._watches:
                self._loop.post(watch.step)

    def _tell(self, place: int, handle: object) -> None:
        self._done.put(place)

    def next(self, timeout: float | None) -> list[int]:
        try:
            return [self._done.get(timeout=timeout)]
        except queue.Empty:
            return []

    def close(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            for watch in self._watches:
                loop.post(watch.close)
            loop.drop()


class _Watch:
    """Drives the awaitable of one handle by hand: a task could only be stopped by cancelling it, which cancels the operation."""

    def __init__(self, ref: OperationRef[Any], done: Callable[[object], None]) -> None:
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
