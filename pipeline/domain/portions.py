"""Divide what is stored or sent into portions that are bounded in number and in bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

#: Bytes of payloads or results in one portion: enough for the speed of bulk work. On their way into the database and
#: out of it, there are up to ten copies of a portion.
PORTION_BYTES = 2 * 1024 * 1024


def portions(
    values: Iterable[T], size: Callable[[T], int], *, count: int, size_limit: int = PORTION_BYTES
) -> Iterator[list[T]]:
    """Yield the values in lists, in order. Each has at most `count` values and `size_limit` bytes, or a single value.

    Args:
        values: read as the lists are needed, at most one further.
        size: returns the bytes of a value.
    """
    portion: list[T] = []
    total = 0
    for value in values:
        added = size(value)
        if portion and total + added > size_limit:
            yield portion
            portion, total = [], 0
        portion.append(value)
        total += added
        if len(portion) >= count:
            yield portion
            portion, total = [], 0
    if portion:
        yield portion


def text_bytes(text: str) -> int:
    """Return how many bytes a text takes in memory, at most."""
    return len(text) if text.isascii() else 4 * len(text)
