"""Prints the public face of the package `cwsandbox` that is imported, as JSON: {what: how it is}. Runs in the environment of any version.

    describe_package.py [DIRECTORY]     of the package, when the interpreter has it not installed
"""

import dataclasses
import enum
import inspect
import json
import sys

if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])

import cwsandbox
import cwsandbox.exceptions

# What statements and operators use
SPECIAL = {"__enter__", "__exit__", "__aenter__", "__aexit__", "__await__", "__iter__", "__next__", "__aiter__", "__anext__", "__bool__"}


def default_text(value):
    """A default as one writes it; the same for an enum's member and its value."""
    if value is inspect.Parameter.empty or value is dataclasses.MISSING:
        return "required"
    if isinstance(value, enum.StrEnum):
        return repr(str(value))
    return repr(value) if isinstance(value, (str, int, float, bytes, tuple, list, dict, type(None))) else type(value).__name__


def describe_signature(path, function, found, is_method=False):
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        found[f"{path}()"] = "no signature"
        return
    parameters = [p for p in parameters if not p.name.startswith("_") and not (is_method and p.name == "self")]
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    found[f"{path}()"] = "positional: " + " ".join("/" if p.kind is p.POSITIONAL_ONLY else p.name for p in by_position)
    if dataclasses.is_dataclass(function):
        return  # its fields say the rest
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            found[f"{path}({'**' if p.kind is p.VAR_KEYWORD else '*'})"] = "any"
        elif p.kind is not p.POSITIONAL_ONLY:  # its name is nobody's business
            found[f"{path}({p.name})"] = default_text(p.default)


def describe_member(path, cls, name, found):
    member = inspect.getattr_static(cls, name)
    if isinstance(member, enum.Enum) or (dataclasses.is_dataclass(cls) and name in {f.name for f in dataclasses.fields(cls)}):
        return  # described as such
    value = getattr(cls, name)
    if callable(value):
        found[path] = "method of the class" if isinstance(member, (classmethod, staticmethod)) or inspect.ismethod(value) else "method"
        if name not in SPECIAL:
            describe_signature(path, value, found, is_method=True)
    else:
        found[path] = "attribute"


def describe_dataclass(name, cls, found):
    found[f"{name} is frozen"] = str(cls.__dataclass_params__.frozen)
    for f in dataclasses.fields(cls):
        if f.name.startswith("_"):
            continue
        default = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        found[f"{name}.{f.name}"] = ", ".join(
            ["field", default_text(default), *["keyword only"] * f.kw_only, *["not shown"] * (not f.repr)])


def describe_class(name, cls, found):
    own = [c.__name__ for c in cls.__mro__[1:] if getattr(cwsandbox.exceptions, c.__name__, None) is c and c.__name__[0] != "_"]
    if issubclass(cls, BaseException):
        found[f"{name} is a"] = " ".join(own)
    if issubclass(cls, enum.Enum):
        found[f"{name} is a"] = "StrEnum" if issubclass(cls, enum.StrEnum) else "Enum"
        found.update({f"{name}.{member.name}": repr(member.value) for member in cls})
    else:
        describe_signature(name, cls, found)
    if dataclasses.is_dataclass(cls):
        describe_dataclass(name, cls, found)
    basics = {*dir(str), *dir(enum.Enum), *dir(Exception)} if issubclass(cls, (enum.Enum, BaseException)) else set()
    for member in sorted(set(dir(cls)) - basics):
        if not member.startswith("_") or member in SPECIAL:
            describe_member(f"{name}.{member}", cls, member, found)


def describe():
    found = {}
    for name in cwsandbox.__all__:
        value = getattr(cwsandbox, name)
        if inspect.isclass(value):
            found[name] = "class"
            describe_class(name, value, found)
        elif inspect.isfunction(value) or inspect.isbuiltin(value):
            found[name] = "function"
            describe_signature(name, value, found)
        else:
            found[name] = "value"
    for name, value in vars(cwsandbox.exceptions).items():
        if inspect.isclass(value) and issubclass(value, BaseException) and not name.startswith("_") and name not in cwsandbox.__all__:
            found[f"exceptions.{name}"] = "class"
            describe_class(name, value, found)
    return found


if __name__ == "__main__":
    print(json.dumps(describe()))
