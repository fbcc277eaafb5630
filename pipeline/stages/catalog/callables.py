"""`use = "module:callable"`: the user's own classifiers and enrichers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.domain.did_you_mean import hint
from pipeline.domain.item import WorkItem
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.batched import get_max_items
from pipeline.stages.catalog.import_module import import_module, module_exists
from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec, StageSpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.telemetry import current_span
from pipeline.telemetry.tracing import is_tracing


class Classifier(ClassifySpec):
    """`[classify]` with `use = "module:callable"`."""


class Enricher(EnrichSpec):
    """`[[enrich]]` with `use = "module:callable"`."""


def is_callable_name(use: str) -> bool:
    """Return whether `use` has the form "module:callable"; both parts may be dotted."""
    module, colon, attribute = use.partition(":")
    return bool(colon) and all(part.isidentifier() for part in f"{module}.{attribute}".split("."))


def has_module(use: str, folder: Path) -> bool:
    """Return whether the module of `use` exists, without importing it."""
    return module_exists(use.partition(":")[0], folder)


def short_name(use: str) -> str:
    """Return the name of the callable without its module and class."""
    return use.rpartition(":")[2].rpartition(".")[2]


def build(spec: StageSpec, folder: Path) -> Step:
    """Import the callable and return its step. Coroutine functions run on the event loop, all others in threads.

    Raises:
        InvalidDefinition: it cannot be imported, is not callable, or does not accept one argument.
    """
    target = _import_target(spec.use, folder)
    _check(spec.use, target)
    max_items = get_max_items(_unwrap_partial(target))
    return Step(
        name=short_name(spec.use),
        call=_traced(target) if is_tracing() and not max_items else target,
        mode=Mode.ASYNC if _is_async(target) else Mode.THREAD,
        is_batched=max_items is not None,
        timeout_seconds=spec.timeout_seconds,
        max_items=max_items or 1,
    )


def _traced(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return a callable for one item that runs with the span of the attempt as the current one, if it is traced."""
    if not _is_async(target):

        def call(item: WorkItem) -> Any:
            with current_span.using(item.item_id):
                return target(item)

        return call

    async def call_async(item: WorkItem) -> Any:
        with current_span.using(item.item_id):
            return await target(item)

    return call_async


def _import_target(use: str, folder: Path) -> Any:
    module, _, attributes = use.partition(":")
    target: Any = import_module(module, folder)
    for name in attributes.split("."):
        owner = target
        try:
            target = getattr(owner, name)
        except AttributeError:
            suggestion = hint(name, [known for known in dir(owner) if not known.startswith("_")])
            raise InvalidDefinition(f"{use!r}: {_describe(owner)} has no {name!r}{suggestion}") from None
    return target


def _describe(owner: object) -> str:
    name = getattr(owner, "__name__", type(owner).__name__)
    return f"module {name!r} ({getattr(owner, '__file__', 'built in')})" if inspect.ismodule(owner) else repr(name)


def _check(use: str, target: Any) -> None:
    if inspect.isclass(target):
        raise InvalidDefinition(f"{use!r} is a class; name a function or an instance of the class")
    if not callable(target):
        raise InvalidDefinition(f"{use!r} is of type {type(target).__name__}, which is not callable; name a function")
    try:
        inspect.signature(target).bind(None)
    except TypeError as error:
        argument = "a list of items" if get_max_items(_unwrap_partial(target)) else "the item"
        raise InvalidDefinition(f"{use!r} must accept one argument, {argument}: {error}") from None
    except ValueError:
        # Some callables written in C have no signature to check; a mismatch shows at the first call.
        return


def _is_async(target: Callable[..., Any]) -> bool:
    function = _unwrap_partial(target)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _unwrap_partial(target: Any) -> Any:
    while isinstance(target, partial):
        target = target.func
    return target
