"""The Python reference: every public name of the package, with signature and docstring."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import types
from dataclasses import MISSING, fields, is_dataclass
from html import escape
from pathlib import Path

from text import highlight, inline, prose

_GROUPS = (
    ("Sandboxes", ("Sandbox", "Session", "SandboxStatus")),
    ("Handles and streams", ("OperationRef", "Process", "StreamReader", "StreamWriter", "TerminalSession", "results", "wait", "Waitable",
                             "ProcessResult", "TerminalResult")),
    ("Functions", ("RemoteFunction",)),
    ("Options", ("SandboxDefaults", "ResourceOptions", "NetworkOptions", "EgressRule", "Service", "ServiceProtocol", "ServiceVisibility",
                 "Endpoint", "EndpointKind", "EndpointAuth", "Secret", "ImagePullCredentials", "ScratchVolumeOptions",
                 "FileSystemSnapshotOptions", "PlacementMode", "PlacementSpillover")),
    ("Credentials", ("set_auth_mode", "AuthHeaders")),
    ("Snapshots", ("FileSystemSnapshot", "FileSystemSnapshotStatus", "FileSystemSnapshotTrigger", "FileSystemSnapshotBucketConfig",
                   "FileSystemSnapshotBucketMode")),
    ("Discovery", ("list_runners", "get_runner", "Runner", "RunnerResources")),
)  # fmt: skip
_WIDTH = 90


def _stub_signatures(stub: Path) -> dict[str, ast.FunctionDef]:
    """Class.method -> its definition in the stub of the extension, which has no signatures with types."""
    found = {}
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    found[f"{node.name}.{member.name}"] = member
    return found


def _from_stub(node: ast.FunctionDef) -> tuple[list[str], str]:
    arguments = node.args
    arguments.args = [a for a in arguments.args if a.arg not in ("self", "cls")]
    text = ast.unparse(arguments)
    # A call of one argument per piece: split at top level only
    pieces, depth, piece = [], 0, ""
    for char in text:
        depth += char in "([{"
        depth -= char in ")]}"
        if char == "," and depth == 0:
            pieces.append(piece.strip())
            piece = ""
        else:
            piece += char
    pieces += [piece.strip()] if piece.strip() else []
    return pieces, ast.unparse(node.returns) if node.returns else ""


def _from_object(value) -> tuple[list[str], str]:
    """Parameters that are private, or only there to be refused, are left out."""
    signature, pieces, seen_star = inspect.signature(value), [], False
    for name, p in signature.parameters.items():
        annotation = p.annotation if isinstance(p.annotation, str) and p.kind is not p.VAR_KEYWORD else ""
        if name in ("self", "cls") or name.startswith("_") or annotation == "None":
            continue
        if p.kind is p.KEYWORD_ONLY and not seen_star:
            pieces.append("*")
        seen_star |= p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        prefix = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        default = "" if p.default is p.empty else (" = " if annotation else "=") + repr(p.default)
        pieces.append(prefix + name + (f": {annotation}" if annotation else "") + default)
    returned = signature.return_annotation
    return pieces, returned if isinstance(returned, str) else ""


def _signature(label: str, pieces: list[str], returned: str) -> str:
    tail = f" -> {returned}" if returned and returned != "None" else ""
    line = f"{label}({', '.join(pieces)}){tail}"
    if len(line) > _WIDTH:
        line = f"{label}(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){tail}"
    return highlight(line.replace("builtins.", ""), "python")


class _Reference:
    def __init__(self) -> None:
        import cwsandbox

        self.package = cwsandbox
        self.stubs = _stub_signatures(Path(cwsandbox.__file__).with_name("_core.pyi"))
        self.out: list[str] = []

    def _public(self, name: str):
        return getattr(self.package, name)

    def _call(self, label: str, owner: type | None, name: str, value) -> str:
        for cls in owner.__mro__ if owner else ():
            if f"{cls.__name__}.{name}" in self.stubs and name in vars(cls):
                return _signature(label, *_from_stub(self.stubs[f"{cls.__name__}.{name}"]))
        try:
            return _signature(label, *_from_object(value))
        except (TypeError, ValueError):
            return ""

    def function(self, name: str, value) -> None:
        self.out += [f'<section class="item"><h3 id="{name}"><code>{name}</code></h3>', self._call(name, None, name, value),
                     prose(inspect.getdoc(value) or "", "python"), "</section>"]  # fmt: skip

    def union(self, name: str, value: types.UnionType) -> None:
        definition = f"{name} = {' | '.join(member.__name__ for member in value.__args__)}"
        self.out += [f'<section class="item"><h3 id="{name}"><code>{name}</code></h3>', highlight(definition, "python"), "</section>"]

    def cls(self, name: str, value: type) -> None:
        self.out.append(f'<section class="item"><h3 id="{name}"><code>{name}</code></h3>')
        if issubclass(value, enum.Enum):
            members = " · ".join(f"<code>{m.name}</code> <code>{m.value!r}</code>" for m in value)
            self.out += [prose(inspect.getdoc(value) or "", "python"), f"<p>{members}</p>", "</section>"]
            return
        if is_dataclass(value):
            self.out += [prose(inspect.getdoc(value) or "", "python"), _fields(value)]
        else:
            if "__init__" in vars(value) or f"{name}.__init__" in self.stubs:
                self.out.append(self._call(name, value, "__init__", value.__init__))
            self.out.append(prose(inspect.getdoc(value) or "", "python"))
        self.out.append("</section>")
        for member in sorted(dir(value)):
            if not member.startswith("_") and not _is_field(value, member):
                self._member(name, value, member)

    def _member(self, owner_name: str, owner: type, name: str) -> None:
        attribute = inspect.getattr_static(owner, name)
        home = next(cls for cls in owner.__mro__ if name in vars(cls))
        if not home.__module__.startswith(self.package.__name__):
            return
        anchor = f"{owner_name}.{name}"
        self.out.append(f'<section class="item member"><h4 id="{anchor}"><code>{anchor}</code></h4>')
        bound = getattr(owner, name)
        if callable(bound):
            prefix = "await " if inspect.iscoroutinefunction(bound) else ""
            self.out.append(prefix + self._call(name, owner, name, bound))
        doc = inspect.getdoc(attribute) if callable(bound) or hasattr(attribute, "__get__") else None
        self.out += [prose(doc or repr(attribute), "python"), "</section>"]

    def exceptions(self) -> None:
        module = importlib.import_module(f"{self.package.__name__}.exceptions")
        public = [value for value in map(self._public, self.package.__all__) if _is_exception(value)]

        def tree(base: type) -> str:
            below = [cls for cls in public if base is next((b for b in cls.__mro__[1:] if b in public), None)]
            inner = "".join(tree(cls) for cls in below)
            doc = inline((inspect.getdoc(base) or "").replace("\n", " "))
            text = f'<li id="{base.__name__}"><code>{escape(base.__name__)}</code> {doc}'
            return text + (f"<ul>{inner}</ul>" if inner else "") + "</li>"

        self.out += ['<h2 id="exceptions">Exceptions</h2>', prose(inspect.getdoc(module) or "", "python"),
                     f'<ul class="tree">{tree(module.CWSandboxError)}</ul>']  # fmt: skip

    def build(self) -> str:
        self.out += ["<h1>Python reference</h1>", prose(inspect.getdoc(self.package) or "", "python")]
        named = {name for _, names in _GROUPS for name in names}
        others = [n for n in self.package.__all__ if n not in named and not n.startswith("_")]
        others = [n for n in others if not _is_exception(self._public(n))]
        for title, names in (*_GROUPS, ("Others", others)):
            self.out.append(f'<h2 id="{title.lower().replace(" ", "-")}">{title}</h2>')
            for name in names:
                value = getattr(self.package, name)
                show = self.union if isinstance(value, types.UnionType) else self.cls if inspect.isclass(value) else self.function
                show(name, value)
        self.exceptions()
        return "\n".join(self.out)


def _is_exception(value) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def _is_field(cls: type, name: str) -> bool:
    return is_dataclass(cls) and name in {f.name for f in fields(cls)}


def _fields(cls: type) -> str:
    rows = []
    for f in fields(cls):
        value = f.default if f.default is not MISSING else f.default_factory() if f.default_factory is not MISSING else None
        default = "" if f.default is MISSING and f.default_factory is MISSING else escape(repr(value))
        rows.append(f"<tr><td><code>{f.name}</code></td><td><code>{escape(str(f.type))}</code></td>"
                    f"<td><code>{default}</code></td></tr>")  # fmt: skip
    return ('<div class="table"><table><thead><tr><th>field</th><th>type</th><th>default</th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>")  # fmt: skip


def html() -> str:
    return _Reference().build()
