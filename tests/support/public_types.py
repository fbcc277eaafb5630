"""The types that public names lead to, read from annotations."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, ForwardRef, get_args, get_origin, is_typeddict

#: Names with an underscore that callers use all the same.
_CALLED = frozenset({"__init__", "__enter__", "__aenter__", "__iter__", "__aiter__", "__call__"})


def reached_from(name: str, value: object, *, made_elsewhere: frozenset[type]) -> Iterator[tuple[str, type]]:
    """Yield the classes that the annotations of a public name lead to, each with the way there.

    Args:
        made_elsewhere: Classes whose constructor is not public.
    """
    for where, annotation, module in _annotations(name, value, made_elsewhere):
        for found in _classes(annotation, module):
            yield where, found


def _annotations(name: str, value: object, made_elsewhere: frozenset[type]) -> Iterator[tuple[str, Any, str]]:
    if isinstance(value, type):
        for owner in value.__mro__:
            if _is_ours(owner):
                yield from _of_class(name, owner, value in made_elsewhere)
    elif isinstance(value, FunctionType):
        yield from _of_function(name, value)
    elif not isinstance(value, str):
        # An alias, such as that of a callable.
        yield name, value, "pipeline"


def _of_class(name: str, owner: type, is_made_elsewhere: bool) -> Iterator[tuple[str, Any, str]]:
    for field, annotation in inspect.get_annotations(owner).items():
        if not field.startswith("_"):
            yield f"{name}.{field}", annotation, owner.__module__
    for member, value in vars(owner).items():
        if member.startswith("_") and (member not in _CALLED or is_made_elsewhere and member == "__init__"):
            continue
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        # Pydantic puts functions of its own into classes.
        if isinstance(function, FunctionType) and _is_ours(function):
            yield from _of_function(f"{name}.{member}", function)


def _of_function(name: str, function: FunctionType) -> Iterator[tuple[str, Any, str]]:
    for parameter, annotation in inspect.get_annotations(function).items():
        yield f"{name}({parameter})", annotation, function.__module__


def _classes(annotation: Any, module: str) -> Iterator[type]:
    """Yield the classes of an annotation that are ours."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        annotation = eval(annotation, _names(module))
    origin = get_origin(annotation)
    if isinstance(annotation, type) and origin is None and _is_ours(annotation):
        yield annotation
    for part in [*get_args(annotation), *([origin] if isinstance(origin, type) else [])]:
        for inner in part if isinstance(part, list) else [part]:
            if not isinstance(inner, str):
                yield from _classes(inner, module)


@cache
def _names(module: str) -> dict[str, Any]:
    """Return what annotations of a module may name, including what it imports for type checkers only."""
    found = sys.modules[module]
    names = dict(vars(found))
    tree = ast.parse(Path(str(found.__file__)).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for each in node.body:
                if isinstance(each, ast.Import):
                    names |= {alias.asname or alias.name: import_module(alias.name) for alias in each.names}
                if isinstance(each, ast.ImportFrom) and each.module:
                    names |= {alias.asname or alias.name: _import(each.module, alias.name) for alias in each.names}
    return names


def _import(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def _is_ours(value: type | FunctionType) -> bool:
    return value.__module__.partition(".")[0] in ("pipeline", "workers")


def program_that_names(modules: Sequence[ModuleType]) -> str:
    """Return a program that names everything public of modules: values, and the members of classes.

    A strict type checker complains of each whose type it cannot tell from annotations.
    """
    lines = [f"import {module.__name__}" for module in modules]
    lines += ["def use(*values: object) -> None: ..."]
    for module in modules:
        for name, value in public_values(module).items():
            path = f"{module.__name__}.{name}"
            lines.append(f"use({path})")
            if isinstance(value, type):
                uses = ", ".join(_uses_of_members(value, path))
                lines.append(f"def of_{name}(value: {path}) -> None: use({uses})")
    return "\n".join(lines) + "\n"


def _uses_of_members(value: type, path: str) -> list[str]:
    names = dict.fromkeys(name for owner in value.__mro__ if _is_ours(owner) for name in _members(owner))
    called = [name for name in names if name in _CALLED or not name.startswith("_")]
    if is_typeddict(value):
        return [f'value.get("{name}")' for name in called]
    # Which constructor an instance has is not known from its type.
    return [f"{path if name == '__init__' else 'value'}.{name}" for name in called]


def _members(owner: type) -> Iterator[str]:
    """Yield the names in a class, and those that its methods give to `self`."""
    yield from inspect.get_annotations(owner)
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(tree, ast.ClassDef)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr
    for each in tree.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield each.name
        if isinstance(each, ast.Assign):
            yield from (target.id for target in each.targets if isinstance(target, ast.Name))


def untyped_bases(value: type) -> list[type]:
    """Return the bases of a class that come from a package without types."""
    typed = {"pipeline", "pydantic", *sys.stdlib_module_names}
    return [base for base in value.__mro__ if base.__module__.partition(".")[0] not in typed]


def public_values(module: ModuleType) -> dict[str, object]:
    """Return the values of a module's public names."""
    return {name: getattr(module, name) for name in module.__all__}
