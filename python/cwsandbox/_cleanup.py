"""What happens when the program ends: open sessions are closed, on normal exit, SIGINT and SIGTERM.

The handlers are Python functions on the main thread, so they may block. The first signal closes the sessions and then does what
would have happened without us (Ctrl-C still raises KeyboardInterrupt); a second one ends the program at once.

``_signal`` instead of ``signal``: the latter costs an enum import, and nothing here needs the enums.
"""

from __future__ import annotations

import atexit
import sys

import _signal  # type: ignore[import-not-found]

_previous: dict[int, object] = {}
_ran = False


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


def install() -> None:
    """Install the hooks once. Off the main thread Python cannot set signal handlers: then only the atexit hook."""
    atexit.register(close_sessions)
    for signum in (_signal.SIGINT, _signal.SIGTERM):
        previous = _signal.getsignal(signum)
        if previous is None or previous is _on_signal:  # None: set by C code, not ours to replace
            continue
        try:
            _signal.signal(signum, _on_signal)
        except ValueError:
            return
        _previous[signum] = previous
