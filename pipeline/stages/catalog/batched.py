"""The decorator that marks a callable as taking a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_Callable = TypeVar("_Callable", bound=Callable[..., Any])

_MARK = "__pipeline_max_items__"


def batched(max_items: int = 64) -> Callable[[_Callable], _Callable]:
    """Mark a classifier or an enricher that takes a list of items and answers in the same order.

    An exception object among the answers fails its item. Where the call as a whole raises or takes too long, the items
    are given again one by one, so that only the bad one fails; where another service asks to wait, answer
    `[Throttled(…)] * len(items)` rather than raise.

    Args:
        max_items: at most so many items in one call, 1 to 10,000.

    Raises:
        TypeError: used without parentheses.
        ValueError: `max_items` is out of range.
    """
    if callable(max_items):
        raise TypeError("write @batched() or @batched(max_items=64), with parentheses")
    if isinstance(max_items, bool) or not isinstance(max_items, int) or not 1 <= max_items <= 10_000:
        raise ValueError(f"max_items must be a whole number from 1 to 10000, got {max_items!r}")

    def mark(target: _Callable) -> _Callable:
        setattr(target, _MARK, max_items)
        return target

    return mark


def list_limit(target: Callable[..., Any]) -> int | None:
    """Return the `max_items` that `target` was marked with; None: it takes one item."""
    limit = getattr(target, _MARK, None) or getattr(type(target).__call__, _MARK, None)
    return limit if isinstance(limit, int) else None
