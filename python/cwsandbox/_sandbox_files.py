"""Files of a sandbox: the calls that are more than the extension's. What they answer is in _files."""

from __future__ import annotations

from . import _core
from ._described import Described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from ._core import OperationRef
    from ._files import FileInfo


class WithFiles(Described):
    """Base of Sandbox."""

    def write_file_streaming(
        self,
        filepath: str | bytes,
        source: bytes | Iterable[bytes] | AsyncIterable[bytes],
        *,
        timeout_seconds: float | None = None,
        container: str | None = None,
        user: str | None = None,
    ) -> OperationRef[None]:
        """Write a file of any size from bytes, an iterable or an async iterable of bytes.

        The source is read on a thread of its own (an async one on an event loop there). SandboxFileError: the write failed, and
        the file may be partial; its __cause__ is the exception of the source, if that was the reason. user: as of exec().
        """
        from ._streaming import write_file_streaming

        return write_file_streaming(self, filepath, source, timeout_seconds, container, user)

    def list_dir(
        self, path: str | bytes, *, user: str | None = None, timeout_seconds: float | None = None, container: str | None = None
    ) -> OperationRef[list[FileInfo]]:
        """What is in a directory, by name, without "." and "..". Links are told as links.

        path: str or bytes, absolute. user, timeout_seconds, container: as of read_file(). SandboxFileError (filepath, reason): not there, no
        directory, not allowed.
        """
        from ._files import infos

        return _core.derive(self._list_dir(path, user, timeout_seconds, container), infos)

    def stat_file(
        self, path: str | bytes, *, user: str | None = None, timeout_seconds: float | None = None, container: str | None = None
    ) -> OperationRef[FileInfo]:
        """What a path names: kind, mode, owner, size, time. A link is told as a link, unless a slash ends the path.

        path: str or bytes, absolute. user, timeout_seconds, container: as of read_file(). SandboxFileError (filepath, reason): not there.
        """
        from ._files import info

        return _core.derive(self._stat_file(path, user, timeout_seconds, container), info)
