"""Many handles at once: results(), wait() and as_completed()."""

from __future__ import annotations

from . import _core
from ._lib import OperationRef, Process, TerminalSession
from ._sandbox import Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, TypeVar, overload

    T = TypeVar("T")
    Waitable = Sandbox | OperationRef[Any] | Process | TerminalSession
else:
    Waitable = Sandbox | OperationRef | Process | TerminalSession

    def overload(function):
        return function


@overload
def results(refs: OperationRef[T], /, *, return_exceptions: bool = False, progress: bool | None = None) -> T: ...
@overload
def results(
    refs: Iterable[OperationRef[T]], /, *, return_exceptions: bool = False, progress: bool | None = None
) -> list[T]: ...
def results(refs: Any, /, *, return_exceptions: bool = False, progress: bool | None = None) -> Any:
    """Block for the value of a handle, or for the list of values of several, in their order.

    The first handle in that order that failed raises. return_exceptions: its exception is in the list instead.
    progress: show on stderr how many are done. None: when it is a terminal or a notebook, after a second.
    """
    if isinstance(refs, OperationRef):
        return _value(refs, return_exceptions)
    refs = list(refs)
    if progress is None:
        progress = _somebody_looks()
    if progress and len(refs) > 1 and all(isinstance(ref, OperationRef) for ref in refs):
        with _Progress(refs) as shown:
            return [_value(shown.until_done(ref), return_exceptions) for ref in refs]
    return [_value(ref, return_exceptions) for ref in refs]


def _value(ref: OperationRef[Any], return_exceptions: bool) -> Any:
    try:
        return ref.result()
    except Exception as error:
        if not return_exceptions:
            raise
        return error


def as_completed(refs: Iterable[Waitable], *, timeout: float | None = None) -> Iterator[Any]:
    """The handles and sandboxes, each as soon as it is done; failed ones too. timeout: seconds for all, then TimeoutError."""
    import time

    end = None if timeout is None else time.monotonic() + timeout
    # A sandbox would be asked for its state again and again: one handle each
    items = list(refs)
    done = _completions(_handles(items))
    left = len(items)
    try:
        while left:
            places = done.next(None if end is None else max(end - time.monotonic(), 0))
            if not places:
                raise TimeoutError(f"{left} operations are still running")
            left -= len(places)
            yield from [items[i] for i in places]
    finally:
        done.close()


def _handles(items: Iterable[Waitable]) -> list[OperationRef[Any]]:
    return [item._running() if isinstance(item, Sandbox) else item for item in items]


def _has_futures(refs: list[OperationRef[Any]]) -> bool:
    return any(getattr(ref, "_future", None) is not None for ref in refs)


def _completions(refs: list[OperationRef[Any]]) -> _core.Completions:
    if not _has_futures(refs):
        return _core.Completions(refs)
    from ._driver import Completions

    return Completions(refs)


# ---- progress


def _somebody_looks() -> bool:
    import sys

    stream = sys.stderr
    if type(stream).__module__.startswith("ipykernel"):  # a notebook's; that one is no terminal
        return True
    return bool(stream is not None and hasattr(stream, "isatty") and stream.isatty())


class _Progress:
    """A line "37 of 300 done" that is written over, and erased at the end. Nothing for what takes less than a second."""

    FIRST, NEXT = 1.0, 0.2  # seconds; chosen: what is quicker needs no display, and what moves faster cannot be read

    def __init__(self, refs: list[OperationRef[Any]]) -> None:
        self._refs, self._pause, self._shown = refs, self.FIRST, 0

    def __enter__(self) -> _Progress:
        return self

    def until_done(self, ref: OperationRef[Any]) -> OperationRef[Any]:
        while not wait([ref], timeout=self._pause)[0]:
            self._pause = self.NEXT
            n_done = sum(_core.is_done(other) for other in self._refs)
            self._write(f"{n_done} of {len(self._refs)} done")
        return ref

    def __exit__(self, *exc_info: object) -> None:
        if self._shown:
            self._write("")
            self._write("")

    def _write(self, text: str) -> None:
        import sys

        sys.stderr.write("\r" + text.ljust(self._shown))
        sys.stderr.flush()
        self._shown = len(text)


def wait(
    waitables: Sequence[Waitable], num_returns: int | None = None, timeout: float | None = None
) -> tuple[list[Any], list[Any]]:
    """Block until num_returns (None: all) of the handles and sandboxes are done; return (done, pending), both in input order.

    A sandbox is done when it runs; one that was not started is started. An item that failed is done: ask it for its exception.
    timeout: seconds; when it passes, what is done so far is returned and nothing is cancelled.
    ValueError: num_returns below 1.
    """
    if num_returns is not None and num_returns < 1:
        raise ValueError("num_returns must be at least 1")
    items = list(waitables)
    if not items:
        return [], []
    wanted = len(items) if num_returns is None else min(num_returns, len(items))
    refs = _handles(items)
    if _has_futures(refs):
        from ._driver import wait as wait_with_futures

        flags = wait_with_futures(refs, wanted, timeout)
    else:
        flags = _core.wait(refs, wanted, timeout)
    ready = [item for item, flag in zip(items, flags) if flag]
    surplus = ready[wanted:]  # done as well, but not asked for
    return ready[:wanted], surplus + [item for item, flag in zip(items, flags) if not flag]
