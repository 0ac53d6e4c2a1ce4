"""Functions that run in sandboxes: what is sent of a function, and the object that @session.function() makes of it.

A function travels as source text and JSON: its definition without our decorator, the values of its closure and of the globals it
names, and its arguments. Nothing is pickled, so what arrives is data, and the sandbox may run another version of Python.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import os
import threading
import weakref
from typing import Generic, ParamSpec, TypeVar

from . import _cleanup, _core
from .exceptions import AsyncFunctionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from types import CodeType, FunctionType
    from typing import Any

    from ._core import OperationRef
    from ._image import Image
    from ._data_plane import DataPlaneMode
    from ._options import PlacementMode, PlacementSpillover, ResourceOptions
    from ._isolation import ObjectStorageAccess, SecurityContext
    from ._network import NetworkOptions
    from ._pool import Pool
    from ._services import Service
    from ._session import Session
    from ._volumes import FileSystemSnapshotOptions, HostDirectory, RegisteredVolumeOptions, ScratchVolumeOptions

P = ParamSpec("P")
R = TypeVar("R")


class RemoteFunction(Generic[P, R]):
    """A function whose calls run in sandboxes of a session; made by ``@session.function()``.

    ``f.remote(*args)`` starts a call, ``f.map([(a, b), ...])`` one per item; ``f.local(*args)`` runs it here. It cannot be called
    directly, so that where it runs is always visible. Arguments and results are JSON: tuples become lists, dict keys strings.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        session: Session,
        container_image: str | Image | None = None,
        temp_dir: str = "/tmp",
        runner_ids: Sequence[str] | None = None,
        resources: ResourceOptions | Mapping[str, Any] | None = None,
        mounted_files: Sequence[Mapping[str, Any]] | Mapping[str, bytes | str] | None = None,
        network: NetworkOptions | Mapping[str, Any] | None = None,
        services: Sequence[Service | Mapping[str, Any]] | None = None,
        volumes: Sequence[ScratchVolumeOptions | RegisteredVolumeOptions | HostDirectory | Mapping[str, Any]] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | Mapping[str, Any] | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | Mapping[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | Mapping[str, Any] | None = None,
        environment_variables: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        request_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        fresh: bool = False,
        max_in_flight: int | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if value is not None and name not in _NOT_SANDBOX}
        original = inspect.unwrap(fn)
        if inspect.iscoroutinefunction(original) or inspect.isasyncgenfunction(original):
            raise AsyncFunctionError(f"{_name_of(fn)!r} is async: @session.function() takes plain functions only")
        if network is not None:
            from ._network import to_network

            given["network"] = to_network(network)  # a wrong type is told here, not by the first call
        self._fn, self._session, self._temp_dir, self._fresh = fn, session, temp_dir.rstrip("/") or "/", fresh
        if max_in_flight is not None and (type(max_in_flight) is not int or max_in_flight < 1):
            raise ValueError(f"max_in_flight must be a positive int, not {max_in_flight!r}")
        self._max_in_flight = max_in_flight
        self._environment = environment_variables  # read at each call
        self._overrides = given
        self._definition: tuple[str, str] | None = None
        self._pool: Pool | None = None  # replaced under _pool_lock
        self._pool_lock = threading.Lock()
        self.__name__: str = _name_of(fn)
        self.__qualname__ = getattr(fn, "__qualname__", self.__name__)
        self.__doc__ = getattr(fn, "__doc__", None)
        self.__module__ = getattr(fn, "__module__", __name__)
        self.__annotations__: dict[str, Any] = getattr(fn, "__annotations__", {})

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> OperationRef[R]:
        """Start a call in a sandbox; the handle has its result. All errors, also those of arguments, come from the handle.

        SandboxExecutionError: the function raised (exception_type, exception_message), or its process died; exec_result has its
        output. SandboxTimeoutError: longer than the request timeout. TypeError: something is not JSON.
        """
        _cleanup.owned()
        try:
            pool = self._open_pool()
            environment, changed = self._read_environment(pool)
            return _core.OperationRef(pool.submit(self._request(args, kwargs, changed), environment))
        except Exception as exc:
            return _core.failed(exc)

    def map(self, items: Iterable[Iterable[Any]], *, return_exceptions: bool = False) -> list[OperationRef[R]]:
        """Start a call for each item, the item being the positional arguments; handles in the order of the items.

        return_exceptions: a call that fails has its exception as the value of its handle, which then raises nothing.
        """
        refs = [self.remote(*item) for item in items]  # type: ignore[call-arg]
        return [_core.OperationRef(_forgiving(ref)) for ref in refs] if return_exceptions else refs

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here, in this process."""
        return self._fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<RemoteFunction {self.__qualname__}>"

    def _open_pool(self) -> Pool:
        pool = self._pool
        if pool is not None and pool.pid == os.getpid() and not pool.dropped:
            return pool
        if pool is not None and pool.pid != os.getpid():
            self._pool_lock = threading.Lock()  # a thread of the parent may have held it
        with self._pool_lock:
            if self._pool is pool:
                self._pool = self._new_pool()
            return self._pool  # type: ignore[return-value]

    def _new_pool(self) -> Pool:
        from ._pool import Pool

        self._session._check_open()
        defaults = self._session._defaults
        timeout = self._overrides.get("request_timeout_seconds", defaults.request_timeout_seconds)
        limits = self._overrides.get("resources", defaults.resources) is not None
        overrides = dict(self._overrides)
        if self._environment is not None:
            overrides["environment_variables"] = dict(self._environment)  # what its sandboxes are made with
        pool = Pool(
            self._session, self.__name__, overrides, temp_dir=self._temp_dir, timeout=timeout, limits=limits,
            fresh=self._fresh, max_in_flight=self._max_in_flight,
        )  # fmt: skip
        weakref.finalize(self, pool.retire).atexit = False  # at exit the session does it
        return pool

    def _read_environment(self, pool: Pool) -> tuple[dict[str, str] | None, dict[str, str | None]]:
        """The variables of a call, and what of them differs from those that the sandboxes of the pool are made with."""
        if self._environment is None:
            return None, {}
        now, before = dict(self._environment), pool.overrides["environment_variables"]
        changed = {name: value for name, value in now.items() if before.get(name) != value}
        return now, {**changed, **dict.fromkeys(before.keys() - now.keys())}

    def _request(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], environment: Mapping[str, str | None] | None = None
    ) -> str:
        """The request as JSON text. environment: what differs from that of the sandbox; None: is not set."""
        fn = inspect.unwrap(self._fn)
        if self._definition is None:
            self._definition = definition_of(fn)
        source, name = self._definition
        mine = (self, self._fn, fn)  # a function that calls itself finds itself there
        variables = {n: v for n, v in variables_of(fn).items() if not any(v is m for m in mine)}
        for value, path in ((variables, "closure_vars"), (args, "args"), (kwargs, "kwargs")):
            check_json(value, path, set())
        request = {"source": source, "name": name, "closure_vars": variables, "args": args, "kwargs": kwargs}
        if environment:
            request["environment"] = environment
        return json.dumps(request, separators=(",", ":"))


_NOT_SANDBOX = ("self", "fn", "session", "temp_dir", "fresh", "max_in_flight", "__class__")


def _forgiving(ref: OperationRef[Any]) -> Future[Any]:
    """A future whose value is that of the call, or its exception. Cancelling it cancels the call."""
    from concurrent.futures import CancelledError, Future

    inner, outer = ref._future, Future()
    if inner is None:  # it failed before it began
        try:
            outer.set_result(ref.result())
        except Exception as error:
            outer.set_result(error)
        return outer

    def done(_: object) -> None:
        if not outer.cancelled() and outer.set_running_or_notify_cancel():
            if inner.cancelled():
                outer.set_exception(CancelledError())
            else:
                outer.set_result(inner.exception() or inner.result())

    outer.add_done_callback(lambda _: inner.cancel() if outer.cancelled() else None)
    inner.add_done_callback(done)
    return outer


def _name_of(fn: object) -> str:
    return getattr(fn, "__name__", type(fn).__name__)


# ---- the definition


def definition_of(fn: Callable[..., object]) -> tuple[str, str]:
    """(source, name) of a def statement, without decorators of the form x.function.

    OSError: there is no source. TypeError, ValueError: it is not a def.
    """
    if _name_of(fn) == "<lambda>":
        raise ValueError("a lambda cannot run remotely: use def")
    source = inspect.getsource(fn)
    try:
        # A block instead of textwrap.dedent(), which would change the inside of multi-line strings
        tree = ast.parse("if True:\n" + source if source[:1] in " \t" else source)
    except SyntaxError as error:
        raise ValueError(f"the source of {_name_of(fn)!r} is not a function definition") from error
    node = tree.body[0]
    if isinstance(node, ast.If):
        node = node.body[0]
    if not isinstance(node, ast.FunctionDef):
        raise ValueError(f"the source of {_name_of(fn)!r} is not a function definition")
    node.decorator_list = [d for d in node.decorator_list if not _is_ours(d)]
    text = ast.unparse(ast.fix_missing_locations(node))
    if _annotations_are_text(fn):
        text = "from __future__ import annotations\n" + text
    return text, node.name


def _is_ours(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(target, ast.Attribute) and target.attr == "function"


def _annotations_are_text(fn: Callable[..., object]) -> bool:
    """Its module says `from __future__ import annotations`; then names in them need not exist in the sandbox either."""
    import __future__

    code = getattr(fn, "__code__", None)
    return code is not None and bool(code.co_flags & __future__.annotations.compiler_flag)


# ---- the variables


def variables_of(fn: FunctionType) -> dict[str, Any]:
    """Present values of the globals that the code names and of the closure, which wins. No modules, classes, builtins."""
    found = {}
    for name in _global_names(fn.__code__):
        if name in fn.__globals__:
            value = fn.__globals__[name]
            if not (inspect.ismodule(value) or isinstance(value, type) or _is_builtin(value)):
                found[name] = value
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            found.pop(name, None)
    return found


def _is_builtin(value: object) -> bool:
    return getattr(value, "__module__", None) == builtins.__name__


def _global_names(code: CodeType) -> Iterator[str]:
    import dis

    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL"):
            yield instruction.argval
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _global_names(constant)


# ---- JSON


def check_json(value: object, path: str, above: set[int]) -> None:
    """TypeError with the path of the first thing in value that JSON cannot carry unchanged but for tuples.

    above: ids of the containers around it, for cycles.
    """
    if value is None or isinstance(value, (str, int, float)):
        return
    if not isinstance(value, (dict, list, tuple)):
        raise TypeError(f"{path} is not JSON-serializable: {type(value).__name__}")
    if id(value) in above:
        raise TypeError(f"{path} is not JSON-serializable: it contains itself")
    above.add(id(value))
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"{path} is not JSON-serializable: key {key!r} is {type(key).__name__}, and keys must be str"
                )
            check_json(item, f"{path}[{key!r}]", above)
    else:
        for i, item in enumerate(value):
            check_json(item, f"{path}[{i}]", above)
    above.discard(id(value))
