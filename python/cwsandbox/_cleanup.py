"""What happens when the program ends: open sessions are closed, on normal exit, SIGINT and SIGTERM; what comes of cancelled starts is
stopped.

Importing the package installs nothing: the hooks come with the first sandbox that this process owns. Signal handlers can be set on the
main thread only; off it they wait for the next sandbox that is owned there.

The handlers are Python functions on the main thread, so they may block. The first signal closes the sessions and then does what
would have happened without us (Ctrl-C still raises KeyboardInterrupt); a second one ends the program at once.

A forked child has no handler of SIGTERM until it owns a sandbox itself. multiprocessing ends its workers with SIGTERM, and one that is
just about to wait for work in C notes the signal for a Python handler, sleeps on, and its parent waits for it for ever: so the
extension sends it again until the handler has begun (_core/signals.c).

``_signal`` instead of ``signal``: the latter costs an enum import, and nothing here needs the enums.
"""

from __future__ import annotations

import atexit
import os
import sys

import _signal  # type: ignore[import-not-found]

SETTLE_SECONDS = 10.0  # chosen: a service that answers needs milliseconds

_previous: dict[int, object] = {}
_ran = False
_at_exit = False  # the hook is registered
_decided = False  # about the handlers: they are installed, or shall not be
_disabled = False  # by disable_signal_handlers()
_installed = False  # the handlers, by this process or the one it was forked from


def close_sessions() -> None:
    """Close every open session of this process, one after the other; errors are logged. Runs once."""
    global _ran
    if _ran:
        return
    _ran = True
    module = sys.modules.get(f"{__package__}._session")
    for session in module.open_sessions() if module else ():
        try:
            session.close().result()
        except Exception:
            import logging

            logging.getLogger(__name__).warning("could not close %r at exit", session, exc_info=True)


def _leave() -> None:
    from . import _core

    close_sessions()
    _core.settle(SETTLE_SECONDS)  # what cancelled starts are still making


def _on_signal(signum: int, frame: object) -> None:
    from . import _core

    if signum == _signal.SIGTERM and not _core.sigterm_seen():
        return
    if _ran:
        sys.exit(128 + signum)
    close_sessions()
    previous = _previous.get(signum, _signal.SIG_DFL)
    if previous == _signal.SIG_IGN:
        return
    if callable(previous):
        previous(signum, frame)
        return
    sys.exit(128 + signum)


def _handle(signum: int) -> None:
    """ValueError off the main thread: Python cannot set handlers there."""
    previous = _signal.getsignal(signum)
    if previous is None or previous is _on_signal:  # None: set by C code, not ours to replace
        return
    _signal.signal(signum, _on_signal)
    _previous[signum] = previous


def _insist() -> None:
    from . import _core

    if _signal.getsignal(_signal.SIGTERM) is _on_signal:
        _core.insist_on_sigterm()


def _opted_out() -> bool:
    return _disabled or os.environ.get("CWSANDBOX_DISABLE_SIGNAL_HANDLERS", "").strip().lower() in ("1", "true", "yes", "on")


def owned() -> None:
    """This process owns a sandbox now; called on the thread of whoever asked for it. Never raises."""
    global _at_exit, _decided, _installed
    if _decided:
        return
    if not _at_exit:
        _at_exit = True
        atexit.register(_leave)
    if _opted_out():
        _decided = True
        return
    try:
        _handle(_signal.SIGINT)
        _handle(_signal.SIGTERM)
        _insist()
    except ValueError:
        return
    _decided = _installed = True


def disable_signal_handlers() -> None:
    """Let this package set no handlers of SIGINT and SIGTERM, for the whole process; sessions are then closed at a normal exit only.

    The environment variable CWSANDBOX_DISABLE_SIGNAL_HANDLERS (1, true, yes, on) says the same. May be repeated, cannot be undone.
    RuntimeError: the handlers are there: it has to be called before the first sandbox is made.
    """
    global _disabled
    if _installed:
        raise RuntimeError("disable_signal_handlers() must be called before the first sandbox: the handlers are installed")
    _disabled = True


def _in_child() -> None:
    global _decided
    if _signal.getsignal(_signal.SIGTERM) is _on_signal:
        _signal.signal(_signal.SIGTERM, _previous.pop(_signal.SIGTERM))
        _decided = False


os.register_at_fork(after_in_child=_in_child)
