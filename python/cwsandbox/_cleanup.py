"""What happens when the program ends: open sessions are closed, on normal exit, SIGINT and SIGTERM.

The handlers are Python functions on the main thread, so they may block. The first signal closes the sessions and then does what
would have happened without us (Ctrl-C still raises KeyboardInterrupt); a second one ends the program at once.

A child process has the handler of SIGTERM only once it opens a session: multiprocessing ends its workers with SIGTERM, and one that is
just about to wait for work in C notes the signal for a Python handler, sleeps on, and its parent waits for it for ever.

``_signal`` instead of ``signal``: the latter costs an enum import, and nothing here needs the enums.
"""

from __future__ import annotations

import atexit
import os
import sys

import _signal  # type: ignore[import-not-found]

_previous: dict[int, object] = {}
_ran = False
_with_session = False  # SIGTERM is handled once there is a session


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


def _on_signal(signum: int, frame: object) -> None:
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
    previous = _signal.getsignal(signum)
    if previous is None or previous is _on_signal:  # None: set by C code, not ours to replace
        return
    try:
        _signal.signal(signum, _on_signal)
    except ValueError:  # off the main thread Python cannot set handlers
        return
    _previous[signum] = previous


def _is_worker() -> bool:
    """Of multiprocessing, be it that it has only begun to become one."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and (
        process.parent_process() is not None or hasattr(process.current_process(), "_inheriting")
    )


def install() -> None:
    """Install the hooks once. Off the main thread only the atexit hook."""
    global _with_session
    atexit.register(close_sessions)
    _handle(_signal.SIGINT)
    if _is_worker():
        _with_session = True
    else:
        _handle(_signal.SIGTERM)


def session_opens() -> None:
    global _with_session
    if _with_session:
        _with_session = False
        _handle(_signal.SIGTERM)


def _in_child() -> None:
    global _with_session
    if _signal.getsignal(_signal.SIGTERM) is _on_signal:
        _signal.signal(_signal.SIGTERM, _previous.pop(_signal.SIGTERM))
        _with_session = True


os.register_at_fork(after_in_child=_in_child)
