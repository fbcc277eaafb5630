"""`use = "module:callable"`: a caller's own classifier or enricher."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.batched import list_limit
from pipeline.stages.catalog.import_module import import_module, is_there
from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec, StageSpec
from pipeline.stages.catalog.step import Mode, Step


class Classifier(ClassifySpec):
    """`[classify]` with `use = "module:callable"`."""


class Enricher(EnrichSpec):
    """`[[enrich]]` with `use = "module:callable"`."""


def is_callable_name(use: str) -> bool:
    """Whether `use` has the form "module:callable", where both may be dotted."""
    module, colon, attribute = use.partition(":")
    return bool(colon) and all(part.isidentifier() for part in f"{module}.{attribute}".split("."))


def is_findable(use: str, folder: Path) -> bool:
    """Whether the module of `use` could be imported here; nothing is."""
    return is_there(use.partition(":")[0], folder)


def short_name(use: str) -> str:
    """Return the callable's own name, without its module and class."""
    return use.rpartition(":")[2].rpartition(".")[2]


def build(spec: StageSpec, folder: Path) -> Step:
    """Import the callable and return its step: a coroutine function runs on the event loop, any other in a thread.

    Raises:
        InvalidDefinition: it cannot be imported, is not callable, or cannot be called with one argument.
    """
    target = _find(spec.use, folder)
    _check(spec.use, target)
    limit = list_limit(_unwrapped(target))
    return Step(
        name=short_name(spec.use),
        call=target,
        mode=Mode.ASYNC if _is_async(target) else Mode.THREAD,
        is_batched=limit is not None,
        timeout_seconds=spec.timeout_seconds,
        max_items=limit or 1,
    )


def _find(use: str, folder: Path) -> Any:
    module, _, attributes = use.partition(":")
    target: Any = import_module(module, folder)
    for name in attributes.split("."):
        owner = target
        try:
            target = getattr(owner, name)
        except AttributeError:
            near = hint(name, [known for known in dir(owner) if not known.startswith("_")])
            raise InvalidDefinition(f"{use!r}: {_title(owner)} has no {name!r}{near}") from None
    return target


def _title(owner: object) -> str:
    name = getattr(owner, "__name__", type(owner).__name__)
    return f"module {name!r} ({getattr(owner, '__file__', 'built in')})" if inspect.ismodule(owner) else repr(name)


def _check(use: str, target: Any) -> None:
    if inspect.isclass(target):
        raise InvalidDefinition(f"{use!r} is a class; name a function, or an object made from the class")
    if not callable(target):
        raise InvalidDefinition(f"{use!r} is of type {type(target).__name__}, which cannot be called; name a function")
    try:
        inspect.signature(target).bind(None)
    except TypeError as error:
        argument = "a list of items" if list_limit(_unwrapped(target)) else "the item"
        raise InvalidDefinition(f"{use!r} is called with one argument, {argument}: {error}") from None
    except ValueError:
        # Some callables written in C do not tell their signature; the first call will.
        return


def _is_async(target: Callable[..., Any]) -> bool:
    function = _unwrapped(target)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _unwrapped(target: Any) -> Any:
    while isinstance(target, partial):
        target = target.func
    return target
