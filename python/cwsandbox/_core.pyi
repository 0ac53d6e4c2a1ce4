from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from os import PathLike
from typing import Any, Generic, Literal, Self, TypeVar, final, overload, type_check_only

from ._status import SandboxStatus
from ._types import ProcessResult, TerminalResult

T = TypeVar("T")
S = TypeVar("S", str, bytes)

__version__: str

class OperationRef(Generic[T]):
    """A handle to an operation that has already started.

    ref.result() blocks for the value, `await ref` awaits it; both raise the same exceptions.
    Cancelling a task that awaits it cancels the operation; dropping it does not.
    """

    def __init__(self, future: Future[T]) -> None: ...
    def result(self, timeout: float | None = None) -> T:
        """Block until the operation is done and return its value.

        timeout: seconds, None = wait for ever. When it passes, TimeoutError is raised and the
        operation goes on; call result() again. Every call returns the same object or raises
        the same exception. Do not call it on an event loop: use `await` there.
        """
    def __await__(self) -> Generator[Any, None, T]: ...
    @property
    def _future(self) -> Future[T] | None: ...

class Process(OperationRef[ProcessResult]):
    """A command that was started with exec(): an OperationRef[ProcessResult] with streams."""

    @property
    def stdout(self) -> StreamReader[str]:
        """StreamReader[str] of the standard output, in chunks as they arrive"""
    @property
    def stderr(self) -> StreamReader[str]:
        """StreamReader[str] of the standard error"""
    @property
    def stdin(self) -> StreamWriter | None:
        """StreamWriter of the standard input, or None (exec without stdin=True)"""
    @property
    def command(self) -> list[str]:
        """list[str]: the command as it was given"""
    @property
    def returncode(self) -> int | None:
        """int exit code once it is known, else None"""
    def poll(self) -> int | None:
        """The exit code, or None while the command runs or when the operation failed. Never blocks."""
    def wait(self, timeout: float | None = None) -> int:
        """Block until the command ended and return its exit code; raises what result() raises.

        timeout: seconds; when it passes, TimeoutError is raised and the command goes on.
        """
    def cancel(self) -> bool:
        """Give up on the command: its call is cancelled and result() raises CancelledError.
        True if it had not finished.
        """

@type_check_only
class _ProcessWithStdin(Process):
    """What exec(stdin=True) returns, for type checkers: stdin is there."""

    @property
    def stdin(self) -> StreamWriter: ...

class TerminalSession(OperationRef[TerminalResult]):
    """A terminal started with shell(): an OperationRef[TerminalResult] with raw output and stdin."""

    @property
    def output(self) -> StreamReader[bytes]:
        """StreamReader[bytes]: what the terminal shows, raw; close() ends the session"""
    @property
    def stdin(self) -> StreamWriter:
        """StreamWriter: what is typed at the terminal"""
    @property
    def command(self) -> list[str]:
        """list[str]: the command as it was given"""
    @property
    def returncode(self) -> int | None:
        """int exit code once it is known, else None"""
    def wait(self, timeout: float | None = None) -> int:
        """Block until the command ended and return its exit code; raises what result() raises.

        timeout: seconds; when it passes, TimeoutError is raised and the command goes on.
        """
    def resize(self, width: int, height: int) -> None:
        """Tell the terminal its new size in characters, 0-65535. SandboxExecutionError when it has ended."""

@final
class StreamReader(Generic[S]):
    """A one-shot stream: `for chunk in reader` or `async for chunk in reader`.

    Items are str or bytes, in chunks as they arrived. A failure of the stream itself is raised
    once by the iteration; a failure of a command is raised by its result().
    """

    def __iter__(self) -> Iterator[S]: ...
    def __next__(self) -> S: ...
    def __aiter__(self) -> AsyncIterator[S]: ...
    def __anext__(self) -> Coroutine[Any, Any, S]: ...
    def close(self) -> None:
        """Drop what has not been read and end every iteration. Ends a log, file or terminal stream;
        a command whose output is closed goes on. May be called again.
        """

@final
class StreamWriter:
    """The standard input of a command. Writes are sent in the order of the calls."""

    QUEUE_SIZE: int
    @property
    def closed(self) -> bool:
        """bool: close() was called"""
    def write(self, data: bytes | bytearray | memoryview) -> OperationRef[None]:
        """Queue bytes. The handle is done once they are queued (at most 16 writes wait at a time).
        SandboxExecutionError at once when the stream is closed or has failed.
        """
    def writeline(self, text: str, encoding: str = "utf-8") -> OperationRef[None]:
        """Queue a line: text plus a newline."""
    def close(self) -> OperationRef[None]:
        """Send end-of-file behind what is queued. May be called again."""

class PortForward:
    """A port of a sandbox on this machine's loopback, from Sandbox.forward().

    Connections to (host, port) reach remote_port in the sandbox until close(), the end of a with
    block, or until this object goes.
    """

    @property
    def host(self) -> str:
        """str: where it listens here, 127.0.0.1"""
    @property
    def port(self) -> int:
        """int: where it listens here"""
    @property
    def remote_port(self) -> int:
        """int: the port in the sandbox"""
    @property
    def closed(self) -> bool:
        """bool: close() was called"""
    def close(self) -> None:
        """Stop listening and reset the connections. May be called again."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

class Target:
    def __new__(cls, base_url: str | None = None, headers: dict[str, str] | None = None) -> Self: ...
    @property
    def url(self) -> str:
        """str: where calls go"""

class Options:
    def __new__(cls, **options: Any) -> Self: ...

class SandboxBase:
    @property
    def sandbox_id(self) -> str | None:
        """str, or None before the service accepted the sandbox"""
    @property
    def status(self) -> SandboxStatus | None:
        """SandboxStatus as last seen, or None before start; get_status() asks"""
    @property
    def status_updated_at(self) -> datetime | None:
        """datetime (UTC) when status was last seen, or None"""
    @property
    def status_reason(self) -> str | None:
        """The service's words on the status (why it failed, what it waits for), or None"""
    @property
    def started_at(self) -> datetime | None:
        """naive datetime in UTC when the sandbox began to run, or None"""
    @property
    def runner_id(self) -> str | None:
        """str, or None"""
    @property
    def runner_group_id(self) -> str | None:
        """str, or None"""
    @property
    def returncode(self) -> int | None:
        """int exit code of the main process, or None"""
    @property
    def resource_requests(self) -> dict[str, str] | None:
        """dict with cpu and memory as granted, or None"""
    @property
    def resource_limits(self) -> dict[str, str] | None:
        """dict with cpu and memory as granted, or None"""
    @property
    def service_urls(self) -> tuple[tuple[int, str, str], ...]:
        """tuple of (port, name, url): services that can be reached by URL, as last heard"""
    @property
    def exposed_ports(self) -> tuple[tuple[int, str], ...] | None:
        """tuple of (port, name): services that are visible to somebody, or None"""
    @property
    def dns_egress_names(self) -> tuple[str, ...]:
        """tuple of names that the sandbox may connect to"""
    @property
    def resource_gpu(self) -> dict[str, Any] | None:
        """dict with count, type, memory_gb, or None"""
    @property
    def file_system_snapshot_id(self) -> str | None:
        """str: the first snapshot that stop(snapshot_on_stop=True) has taken, or None"""
    @property
    def _spilled(self) -> bool: ...
    @property
    def _described(self) -> dict[str, Any] | None: ...
    @property
    def _share_token(self) -> str | None: ...
    @property
    def _tls_addresses(self) -> tuple[tuple[int, str, str], ...]: ...
    @property
    def exec_stats(self) -> dict[str, int]:
        """dict: exec_count, exec_completed_ok, exec_completed_nonzero, exec_failures"""
    @property
    def _startup_seconds(self) -> float | None: ...
    def start(self) -> OperationRef[None]:
        """Create the sandbox. The handle is done when the service accepted it (sandbox_id is known), not
        when it runs. Calling it again returns the same start.
        """
    def wait(self, timeout: float | None = None) -> Self:
        """Block until the sandbox is RUNNING (starting it if needed) and return it.

        timeout: seconds, default request_timeout_seconds (300).
        Raises SandboxFailedError, SandboxTerminatedError, SandboxTimeoutError. In async code: await sandbox.
        """
    def __await__(self) -> Generator[Any, None, Self]: ...
    def wait_until_complete(
        self, timeout: float | None = None, *, raise_on_termination: bool = True
    ) -> OperationRef[Self]:
        """Handle that resolves to the sandbox when its main process has ended.

        timeout: seconds, default request_timeout_seconds (300); then SandboxTimeoutError. FAILED raises
        SandboxFailedError; TERMINATED raises SandboxTerminatedError unless raise_on_termination is False.
        """
    def get_status(self) -> SandboxStatus:
        """Ask the service for the status (blocks, poll_rpc_timeout_seconds at most).

        A final status is known and not asked for again. SandboxNotRunningError: it was never started.
        SandboxNotFoundError, SandboxUnavailableError, SandboxRequestTimeoutError: not retried.
        """
    @overload
    def exec(
        self,
        command: Sequence[str],
        *,
        cwd: str | None = None,
        check: bool = False,
        timeout_seconds: float | None = None,
        stdin: Literal[True] | bytes | bytearray | memoryview | str,
        input: None = None,
        max_output_bytes: int | None = None,
        container: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        discard_output: bool = False,
    ) -> _ProcessWithStdin:
        """Start a command; returns a Process at once. Starts the sandbox if needed.

        command: list of str, run without a shell. cwd: absolute directory in the sandbox.
        check: a non-zero exit raises SandboxExecutionError (with .exec_result) from result().
        timeout_seconds: limit of the command, default request_timeout_seconds (300); then
        SandboxTimeoutError. stdin: True gives the Process a StreamWriter as .stdin; bytes or str (UTF-8) are
        fed to the command, then its end; input: the same, as subprocess.run() calls it.
        max_output_bytes: what the result keeps of each stream, default CWSANDBOX_MAX_OUTPUT_BYTES or 256 MiB, 0 for
        no bound. The rest is dropped, and stdout_truncated says so; a stream that was asked for (.stdout, .stderr)
        delivers everything, and is then to be read or closed.
        container: name of the container to run in; None, blanks: the primary one.
        env: dict of str, over the variables of the sandbox for this command.
        user: name or number, or USER:GROUP, in the sandbox's own /etc/passwd; None: root.
        discard_output: the result has no output, whatever its length. A stream is delivered in full to who asks for it
        before anybody waits for the end, and is then to be read or closed.
        ValueError: empty command, empty or relative cwd.
        """
    @overload
    def exec(
        self,
        command: Sequence[str],
        *,
        cwd: str | None = None,
        check: bool = False,
        timeout_seconds: float | None = None,
        stdin: bool | bytes | bytearray | memoryview | str | None = False,
        input: bytes | bytearray | memoryview | str | None = None,
        max_output_bytes: int | None = None,
        container: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        discard_output: bool = False,
    ) -> Process:
        """Start a command; returns a Process at once. Starts the sandbox if needed.

        command: list of str, run without a shell. cwd: absolute directory in the sandbox.
        check: a non-zero exit raises SandboxExecutionError (with .exec_result) from result().
        timeout_seconds: limit of the command, default request_timeout_seconds (300); then
        SandboxTimeoutError. stdin: True gives the Process a StreamWriter as .stdin; bytes or str (UTF-8) are
        fed to the command, then its end; input: the same, as subprocess.run() calls it.
        max_output_bytes: what the result keeps of each stream, default CWSANDBOX_MAX_OUTPUT_BYTES or 256 MiB, 0 for
        no bound. The rest is dropped, and stdout_truncated says so; a stream that was asked for (.stdout, .stderr)
        delivers everything, and is then to be read or closed.
        container: name of the container to run in; None, blanks: the primary one.
        env: dict of str, over the variables of the sandbox for this command.
        user: name or number, or USER:GROUP, in the sandbox's own /etc/passwd; None: root.
        discard_output: the result has no output, whatever its length. A stream is delivered in full to who asks for it
        before anybody waits for the end, and is then to be read or closed.
        ValueError: empty command, empty or relative cwd.
        """
    def shell(
        self, command: Sequence[str] | None = None, *, width: int | None = None, height: int | None = None,
        container: str | None = None,
    ) -> TerminalSession:
        """Start a command (default /bin/bash) on a terminal; returns a TerminalSession at once.

        command: list of str. width, height: size in characters, None = the service's choice.
        container: name of the container to run in; None, blanks: the primary one.
        It has no time-out. ValueError: empty command. Errors of the start come from result().
        """
    def read_file(
        self, filepath: str | bytes, *, timeout_seconds: float | None = None, container: str | None = None,
        user: str | None = None,
    ) -> OperationRef[bytes]:
        """Handle for the bytes of a file, up to 256 MiB; read_file_streaming() has no limit.

        filepath: str or bytes, absolute. timeout_seconds: of the call, default request_timeout_seconds (300).
        container: name of the container whose files are meant; None, blanks: the primary one.
        user: who does it, as of exec(); None: root.
        SandboxFileError (filepath, reason): missing, a directory, not allowed, too large.
        """
    def write_file(
        self, filepath: str | bytes, contents: bytes | bytearray | memoryview, *, timeout_seconds: float | None = None,
        container: str | None = None, user: str | None = None,
    ) -> OperationRef[None]:
        """Create or replace a file with bytes, up to 256 MiB; write_file_streaming() has no limit. A file that is
        there keeps owner and mode, and its content when the disk is full.

        filepath: str or bytes, absolute. contents: bytes-like, may be changed after the call.
        timeout_seconds: of the call, default request_timeout_seconds (300). SandboxFileError (filepath, reason): a
        directory, not allowed, a full disk, too large.
        """
    def read_file_streaming(
        self, filepath: str | bytes, *, timeout_seconds: float | None = None, container: str | None = None,
        user: str | None = None,
    ) -> StreamReader[bytes]:
        """StreamReader[bytes] over a file of any size. Errors are raised by the iteration.

        filepath: str or bytes, absolute. timeout_seconds: until the whole file is read, default request_timeout_seconds (300).
        SandboxFileError (filepath, reason): missing, a directory, not allowed, or cut off.
        """
    def forward(self, port: int, *, local_port: int | None = None) -> OperationRef[PortForward]:
        """Handle for a PortForward: a port of the sandbox as one of this machine's loopback.

        port: int, of the sandbox's loopback, TCP. local_port: int, on 127.0.0.1; None or 0: any that is free.
        Works without a network of the sandbox. Starts the sandbox if needed. A connection that nobody takes inside
        is reset. CWSandboxError: the local port is taken; SandboxError: a service that is not ours.
        """
    def make_dir(
        self, path: str | bytes, *, mode: int = 0o755, user: str | None = None, timeout_seconds: float | None = None, container: str | None = None,
    ) -> OperationRef[None]:
        """Make a directory, and what is missing above it. One that is there is left as it is.

        path: str or bytes, absolute. mode: permission bits.
        user, timeout_seconds (default 300, for all of it), container: as of read_file().
        SandboxFileError (filepath, reason): a file is in the way, or not allowed.
        """
    def remove_file(
        self, path: str | bytes, *, recursive: bool = False, user: str | None = None, timeout_seconds: float | None = None, container: str | None = None,
    ) -> OperationRef[None]:
        """Remove a file, a link or an empty directory; with recursive a directory with what is in it.

        path: str or bytes, absolute. Links are removed, not followed.
        user, timeout_seconds (default 300, for all of it), container: as of read_file().
        SandboxFileError (filepath, reason): not there, not empty, not allowed.
        """
    def rename_file(
        self, path: str | bytes, new_path: str | bytes, *, user: str | None = None, timeout_seconds: float | None = None, container: str | None = None,
    ) -> OperationRef[None]:
        """Give a file or directory another name, in one step; a file that has the new name is gone.

        path, new_path: str or bytes, absolute, in one file system of the sandbox.
        user, timeout_seconds (default 300, for all of it), container: as of read_file().
        SandboxFileError (filepath, reason): not there, a directory in the way, not allowed.
        """
    def upload_dir(
        self, local_path: str | PathLike[str], path: str | bytes, *, user: str | None = None, timeout_seconds: float | None = None, container: str | None = None,
    ) -> OperationRef[None]:
        """Copy what is in a directory of this machine into one of the sandbox, which is made if it is missing.

        A stream, never whole in memory. Modes and times come along, owners do not: files belong to who wrote them.
        A file that is there is overwritten and keeps owner and mode; a link in its place is replaced; other
        files stay. Links are copied as links and followed on neither side. Sockets, FIFOs and devices are
        left out. On a failure, what came before it stays.
        local_path: str or path. path: str or bytes, absolute. Nothing of the sandbox is executed, not even a tar.
        user, timeout_seconds (default 300, for all of it), container: as of read_file().
        SandboxFileError (filepath, reason): either end failed; the text names the file.
        """
    def download_dir(
        self, path: str | bytes, local_path: str | PathLike[str], *, user: str | None = None, timeout_seconds: float | None = None, container: str | None = None,
    ) -> OperationRef[None]:
        """Copy what is in a directory of the sandbox into one of this machine, which is made if it is missing.

        A stream, never whole in memory. Modes and times come along, owners do not: files belong to who wrote them.
        A file that is there is overwritten and keeps owner and mode; a link in its place is replaced; other
        files stay. Links are copied as links and followed on neither side. Sockets, FIFOs and devices are
        left out. On a failure, what came before it stays.
        What is in the sandbox is not trusted: a name or a link that leads out of local_path ends it.
        path: str or bytes, absolute. local_path: str or path.
        user, timeout_seconds (default 300, for all of it), container: as of read_file().
        SandboxFileError (filepath, reason): either end failed; the text names the file.
        """
    def commit(
        self, reference: str, *, environment_variables: Mapping[str, str] | None = None, working_dir: str | None = None,
        timeout_seconds: float | None = None,
    ) -> OperationRef[str]:
        """Handle for the id, a str, of an image made of what the sandbox has written.

        reference: str, the image's name; what it meant before is replaced. The image has the layers of the sandbox's
        own, one more, and its environment, entry point, user and working directory. /tmp is not part of it. The sandbox
        runs on. environment_variables: dict of str, added to its own. working_dir: str, absolute; None: as it was.
        timeout_seconds: until it is there, default none. Starts the sandbox if needed.
        SandboxError: a service that commits none, or something that cannot be in an image; nothing is left then.
        """
    def _list_dir(
        self, path: str | bytes, user: str | None, timeout_seconds: float | None, container: str | None, /
    ) -> OperationRef[list[tuple[Any, ...]]]: ...
    def _stat_file(
        self, path: str | bytes, user: str | None, timeout_seconds: float | None, container: str | None, /
    ) -> OperationRef[list[tuple[Any, ...]]]: ...
    def _open(self) -> None: ...
    def _attach(self, target: Target, options: Options) -> None: ...
    def _running(self) -> OperationRef[Self]: ...
    def _stop(
        self,
        grace_seconds: float | None,
        missing_ok: bool,
        snapshot: bool = False,
        wait_for_ready: bool = True,
        request_id: str | None = None,
        /,
    ) -> OperationRef[None]: ...
    def _snapshot(self, wait_for_ready: bool, request_id: str | None, budget: float | None, /) -> OperationRef[bytes]: ...
    def _set_request_timeout(self, seconds: float | None) -> None: ...
    def _set_data_plane(self, number: int, /) -> None: ...
    def _set_times(self, request: float | None, retry_budget: float | None, poll_rpc: float | None, /) -> None: ...
    def _write_file_stream(
        self, filepath: str | bytes, timeout_seconds: float | None, container: str | None, user: str | None
    ) -> tuple[OperationRef[None], StreamWriter | None]: ...
    def _logs(
        self,
        follow: bool,
        tail_lines: int | None,
        since_ns: int | None,
        timestamps: bool,
        timeout_seconds: float | None,
        container: str | None,
    ) -> StreamReader[str]: ...

def list_sandboxes(
    cls: type[SandboxBase],
    target: Target,
    tags: Sequence[str],
    runner_ids: Sequence[str],
    status: int,
    show_terminated: bool,
    timeout_seconds: float | None,
    volume_ids: Sequence[str] = ...,
    /,
) -> OperationRef[list[Any]]: ...
def from_id(
    cls: type[SandboxBase], target: Target, sandbox_id: str, timeout_seconds: float | None, /
) -> OperationRef[Any]: ...
def delete(
    target: Target, sandbox_id: str, missing_ok: bool, timeout_seconds: float | None, /
) -> OperationRef[None]: ...
def volume_create(
    target: Target,
    volume_id: str,
    pvc: tuple[str, str, str, str | None],
    read_only: bool,
    description: str,
    request_id: str | None,
    timeout_seconds: float | None,
    /,
) -> OperationRef[Any]: ...
def volume_get(target: Target, volume_id: str, timeout_seconds: float | None, /) -> OperationRef[Any]: ...
def volume_list(
    target: Target, states: tuple[int, ...], runner_ids: Sequence[str], timeout_seconds: float | None, /
) -> OperationRef[Any]: ...
def volume_update(
    target: Target, volume_id: str, description: str, timeout_seconds: float | None, /
) -> OperationRef[Any]: ...
def volume_delete(
    target: Target, volume_id: str, allow_missing: bool, force: bool, timeout_seconds: float | None, /
) -> OperationRef[Any]: ...
def volume_validate(target: Target, volume_id: str, timeout_seconds: float | None, /) -> OperationRef[Any]: ...
def volume_wait(
    target: Target, volume_id: str, seconds: float, timeout_seconds: float | None, /
) -> OperationRef[Any]: ...
def snapshot_get(target: Target, snapshot_id: str, timeout_seconds: float | None, /) -> OperationRef[Any]: ...
def snapshot_list(
    target: Target, source_sandbox_id: str | None, status: int, timeout_seconds: float | None, /
) -> OperationRef[Any]: ...
def snapshot_delete(
    target: Target, snapshot_id: str, missing_ok: bool, timeout_seconds: float | None, /
) -> OperationRef[None]: ...
def bucket_get(target: Target, timeout_seconds: float | None, /) -> OperationRef[Any]: ...
def bucket_set(target: Target, bucket_name: str, region: str, timeout_seconds: float | None, /) -> OperationRef[Any]: ...
def list_runners(
    target: Target,
    runner_group_id: str | None,
    gpu_type: str | None,
    architecture: str | None,
    healthy_only: bool,
    visibility: int,
    with_resources: bool,
    /,
) -> OperationRef[Any]: ...
def get_runner(target: Target, runner_id: str, organization_id: str, /) -> OperationRef[Any]: ...
def derive(ref: OperationRef[Any], finish: Callable[[Any, BaseException | None], Any], /) -> OperationRef[Any]: ...
def gather(
    refs: Sequence[OperationRef[Any]], finish: Callable[[Any, BaseException | None], Any], /
) -> OperationRef[Any]: ...
def resolved(value: T, /) -> OperationRef[T]: ...
def failed(exc: BaseException, /) -> OperationRef[Any]: ...
def failed_reader(exc: BaseException, /) -> StreamReader[str]: ...
def cancel(ref: OperationRef[Any], /) -> None: ...
def is_done(ref: OperationRef[Any], /) -> bool: ...
def settle(seconds: float, /) -> None: ...
def insist_on_sigterm() -> None: ...
def sigterm_seen() -> bool: ...
class Completions:
    """The handles in a list as they get done."""

    def __init__(self, refs: Sequence[OperationRef[Any]], /) -> None: ...
    def next(self, timeout: float | None, /) -> list[int]:
        """The places of those that got done since the last call; blocks for one at least. Empty when the time is up."""
    def close(self) -> None:
        """Forget them; nothing is cancelled."""

def wait(refs: Sequence[OperationRef[Any]], num_returns: int, timeout: float | None, /) -> list[bool]: ...
def set_service_dir(directory: str, /) -> None: ...
