"""Feeding a streamed file write from bytes, an iterable or an async iterable."""

from __future__ import annotations

import threading

from . import _core
from .exceptions import SandboxExecutionError, SandboxFileError, SandboxStreamBackpressureError

SLICE = 1024 * 1024  # as the published client: what bytes-like sources are handed over in; the library cuts frames from it
DIRECT_MAX = 16 * SLICE  # what the writer's queue takes without waiting; more is fed by a thread, so memory stays bounded


def write_file_streaming(sandbox, filepath: str | bytes, source, timeout_seconds: float | None, container: str | None, user: str | None = None):
    ref, writer = sandbox._write_file_stream(filepath, timeout_seconds, container, user)
    if writer is None:  # the sandbox could not be opened: the handle says why
        return ref
    failure: list[BaseException] = []
    name = filepath if isinstance(filepath, str) else filepath.decode("utf-8", "surrogateescape")
    _core.derive(ref, lambda value, error: _outcome(value, error, failure, name))
    feeder = _Feeder(ref, writer, source, failure)
    if isinstance(source, (bytes, bytearray, memoryview)) and memoryview(source).nbytes <= DIRECT_MAX:
        feeder.feed_without_waiting()
    else:
        threading.Thread(target=feeder.run, name="cwsandbox-write", daemon=True).start()
    return ref


def _outcome(value, error, failure, filepath):
    if not failure:
        if error is not None:
            raise error
        return value
    reason = failure[0]
    if isinstance(reason, (TypeError, ValueError, SandboxStreamBackpressureError)):
        raise reason
    raise SandboxFileError(
        f"writing {filepath.encode('utf-8', 'replace').decode()} stopped: {type(reason).__name__}: {reason}; the file may be partial", filepath=filepath
    ) from reason


class _Stopped(Exception):
    """The write itself ended; its handle has the reason."""


class _Feeder:
    def __init__(self, ref, writer, source, failure) -> None:
        self.ref, self.writer, self.source, self.failure = ref, writer, source, failure

    def run(self) -> None:
        try:
            if hasattr(self.source, "__aiter__"):
                import asyncio

                with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                    runner.run(self._feed_async())
            else:
                for chunk in _chunks(self.source):
                    self._write(chunk)
            self._last(self.writer.close())
        except _Stopped:
            pass
        except BaseException as exc:
            self.failure.append(exc)
            _core.cancel(self.ref)

    def feed_without_waiting(self) -> None:
        try:
            for chunk in _chunks(self.source):
                self._begin(chunk)
            self.writer.close()
        except _Stopped:
            pass
        except BaseException:  # Ctrl-C, no memory: nobody would ever send the rest
            _core.cancel(self.ref)
            raise

    async def _feed_async(self) -> None:
        async for chunk in self.source:
            ref = self._begin(chunk)
            if ref is not None:
                try:
                    await ref
                except Exception as exc:
                    raise _Stopped from exc

    def _write(self, chunk) -> None:
        ref = self._begin(chunk)
        if ref is not None:
            self._last(ref)

    def _begin(self, chunk):
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"source must yield bytes, not {type(chunk).__name__}")
        if not len(chunk):
            return None
        if isinstance(chunk, memoryview) and not chunk.c_contiguous:
            chunk = bytes(chunk)
        try:
            return self.writer.write(chunk)
        except (SandboxExecutionError, RuntimeError) as exc:  # it ended; RuntimeError: in a forked child
            raise _Stopped from exc

    def _last(self, ref) -> None:
        try:
            ref.result()
        except Exception as exc:
            raise _Stopped from exc


def _chunks(source):
    if not isinstance(source, (bytes, bytearray, memoryview)):
        yield from source
        return
    view = memoryview(source)
    view = (view if view.c_contiguous else memoryview(bytes(view))).cast("B")
    for at in range(0, len(view), SLICE):
        yield view[at : at + SLICE]
