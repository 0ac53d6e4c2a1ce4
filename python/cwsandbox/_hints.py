"""typing.get_type_hints() of what is public, although importing the package loads nothing for annotations.

Annotations are texts whose names the modules import for type checkers only (`if TYPE_CHECKING:`). Whoever reads all annotations of a
function or class, as get_type_hints() and inspect.signature() do, reads a LateAnnotations, which makes these imports first.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView
    from typing import Any

_filled: set[str] = set()  # modules


def _fill(namespace: dict[str, Any]) -> None:
    """Make the imports of the module's own TYPE_CHECKING blocks."""
    if namespace["__name__"] in _filled:
        return
    _filled.add(namespace["__name__"])
    import ast

    source = namespace["__spec__"].loader.get_source(namespace["__name__"])
    for block in ast.parse(source or "").body:
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING":
            for statement in block.body:
                try:
                    exec(compile(ast.Module([statement], []), namespace["__file__"], "exec"), namespace)
                except ImportError:  # what exists in the stub of the extension only; nothing public names it
                    pass


class LateAnnotations(dict):
    """Annotations of a function or class of `namespace`, whose names are there once somebody reads them all."""

    def __init__(self, annotations: dict[str, Any], namespace: dict[str, Any]) -> None:
        super().__init__(annotations)
        self._namespace = namespace

    def __iter__(self) -> Iterator[str]:  # without it, dict(self) would copy behind keys()
        _fill(self._namespace)
        return super().__iter__()

    def keys(self) -> KeysView:
        _fill(self._namespace)
        return super().keys()

    def items(self) -> ItemsView:
        _fill(self._namespace)
        return super().items()


def _attach_function(value: Any) -> None:
    value = getattr(value, "__func__", getattr(value, "fget", value))
    annotations = getattr(value, "__annotations__", None)
    if annotations and type(annotations) is dict and hasattr(value, "__globals__"):
        value.__annotations__ = LateAnnotations(annotations, value.__globals__)


def attach(value: Any) -> None:
    """Make the annotations of a function, or of a class of ours and its bases, late ones."""
    if not isinstance(value, type):
        _attach_function(value)
        return
    import sys

    for cls in value.__mro__:
        if not cls.__module__.startswith("cwsandbox."):
            continue
        annotations = vars(cls).get("__annotations__")
        if annotations and type(annotations) is dict:
            cls.__annotations__ = LateAnnotations(annotations, vars(sys.modules[cls.__module__]))
        for member in list(vars(cls).values()):
            _attach_function(member)
