"""Many handles at once: results() and wait()."""

from __future__ import annotations

from . import _core
from ._lib import OperationRef, Process, TerminalSession
from ._sandbox import Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeVar, overload

    T = TypeVar("T")
    Waitable = Sandbox | OperationRef[Any] | Process | TerminalSession
else:
    Waitable = Sandbox | OperationRef | Process | TerminalSession

    def overload(function):
        return function


@overload
def results(refs: OperationRef[T], /) -> T: ...
@overload
def results(refs: Iterable[OperationRef[T]], /) -> list[T]: ...
def results(refs: Any, /) -> Any:
    """Block for the value of a handle, or for the list of values of several, in their order.

    The first handle in that order that failed raises.
    """
    if isinstance(refs, OperationRef):
        return refs.result()
    return [ref.result() for ref in refs]


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
    refs = [item._running() if isinstance(item, Sandbox) else item for item in items]
    if any(getattr(ref, "_future", None) is not None for ref in refs):
        from ._driver import wait as wait_with_futures

        flags = wait_with_futures(refs, wanted, timeout)
    else:
        flags = _core.wait(refs, wanted, timeout)
    ready = [item for item, flag in zip(items, flags) if flag]
    surplus = ready[wanted:]  # done as well, but not asked for
    return ready[:wanted], surplus + [item for item, flag in zip(items, flags) if not flag]
