"""The decorator for classifiers and enrichers that take a list of items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Callable = TypeVar("_Callable", bound=Callable[..., Any])

_ATTRIBUTE = "__pipeline_max_items__"


def batched(max_items: int = 64) -> Callable[[_Callable], _Callable]:
    """Mark a classifier or an enricher that takes a list of items and returns their answers in the same order.

    An exception object among the answers fails only its item. If the call itself raises or times out, it is repeated
    item by item, so that only the bad item fails. To pass on another service's request to wait, therefore return
    `[Throttled(…)] * len(items)` instead of raising.

    Args:
        max_items: maximum number of items per call, 1 to 10,000.

    Raises:
        TypeError: the decorator is used without parentheses.
        ValueError: `max_items` is out of range.
    """
    if callable(max_items):
        raise TypeError("write @batched() or @batched(max_items=64), with parentheses")
    if isinstance(max_items, bool) or not isinstance(max_items, int) or not 1 <= max_items <= 10_000:
        raise ValueError(f"max_items must be a whole number from 1 to 10000, got {max_items!r}")

    def mark(target: _Callable) -> _Callable:
        setattr(target, _ATTRIBUTE, max_items)
        return target

    return mark


def get_max_items(target: Callable[..., Any]) -> int | None:
    """Return the `max_items` of a callable marked with `batched`; None if it takes one item."""
    max_items = getattr(target, _ATTRIBUTE, None) or getattr(type(target).__call__, _ATTRIBUTE, None)
    return max_items if isinstance(max_items, int) else None
