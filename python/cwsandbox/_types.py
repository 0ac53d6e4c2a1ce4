"""Plain data that comes out of operations."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

TYPE_CHECKING = False


@dataclass(repr=False)
class ProcessResult:
    """What a finished command left: output as text and as bytes, exit code, the command as it was given.

    stdout and stderr are the bytes decoded as UTF-8, with U+FFFD where they are not. stdout_truncated and
    stderr_truncated: the command wrote more than exec(max_output_bytes=) keeps.
    repr() is one line, str() and a notebook's cell are the output.

    What happened to it, and to the children that it waited for:

    timed_out: its time-out ended it; the result is then the exec_result of a SandboxTimeoutError.
    oom_killed: the kernel killed it because the memory of the sandbox was used up. None: not known, which without a memory limit is
    so when somebody on the machine was killed for memory meanwhile.
    signal: the number of the signal that killed it; None when none did, or not known.
    duration, cpu_seconds: seconds on the clock and of processors. None: not known.
    peak_memory_bytes: of its largest process, resident. None: not known.
    """

    stdout: str
    stderr: str
    returncode: int
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    command: list[str] = field(default_factory=list)
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    # Results of the same command are equal, whatever it took.
    timed_out: bool = field(default=False, compare=False)
    oom_killed: bool | None = field(default=None, compare=False)
    signal: int | None = field(default=None, compare=False)
    duration: float | None = field(default=None, compare=False)
    cpu_seconds: float | None = field(default=None, compare=False)
    peak_memory_bytes: int | None = field(default=None, compare=False)

    # A large result that came from a command makes its output when it is first asked for: who streamed a gigabyte does
    # not pay for two more copies of it. `_output` is a function of the extension: (is_stdout, is_text).

    @classmethod
    def _late(cls, returncode: int, output, *rest: object) -> ProcessResult:
        """rest: the fields from `command` on."""
        self = cls.__new__(cls)
        self.__dict__.update(zip([f.name for f in fields(cls)[5:]], rest), returncode=returncode, _output=output)
        return self

    if not TYPE_CHECKING:  # a checker would believe that any attribute exists

        def __getattr__(self, name: str):
            output = self.__dict__.get("_output")
            if output is None or name not in _LATE:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            stream, is_text = _LATE[name]
            value = self.__dict__[name] = output(stream == "stdout", is_text)
            return value

    def __getstate__(self) -> dict[str, object]:
        """For pickle and copy: everything made, no handle."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __repr__(self) -> str:
        from ._display import result_repr

        return result_repr(self)

    def __str__(self) -> str:
        from ._display import result_text

        return result_text(self)

    def _repr_html_(self) -> str:
        from ._display import result_html

        return result_html(self)


# name -> (stream, text?)
_LATE = {"stdout": ("stdout", True), "stderr": ("stderr", True), "stdout_bytes": ("stdout", False), "stderr_bytes": ("stderr", False)}
# The defaults live on in __init__; as class attributes they would hide what __getattr__ makes.
del ProcessResult.stdout_bytes, ProcessResult.stderr_bytes


@dataclass(frozen=True)
class TerminalResult:
    """Exit code of a terminal session; -1 when the session ended without one."""

    returncode: int
    command: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FieldViolation:
    """One value that the service refused, and why."""

    field: str = ""
    description: str = ""
