"""A source of numbered items that can be read from any of them, and dies or fails where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.domain.payload import Record, Rejection, UnreadRecord
from pipeline.sources.item_source import ReadProgress


@dataclass
class NumberSource:
    """Items from 1 to `total`.

    Args:
        refused: numbers of those that are rejected.
        payload: of an item, by its number.
        before: called with a number before its item is read.
        content: differs if the items do; None: it cannot be known.
    """

    total: int
    refused: frozenset[int] = frozenset()
    payload: Callable[[int], dict[str, Any]] = lambda number: {"text": f"text number {number}"}
    before: Callable[[int], object] = lambda number: None
    content: str | None = "1"
    name: str = "numbers"
    #: Numbers that were read.
    read_numbers: list[int] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return {"names": [self.name]}

    def fingerprint(self) -> str | None:
        return self.content

    def read(self, after: InputCursor | None = None) -> Iterator[Record | Rejection]:
        for number in range(1 if after is None else after.row + 1, self.total + 1):
            self.before(number)
            self.read_numbers.append(number)
            cursor = InputCursor(row=number)
            if number in self.refused:
                yield UnreadRecord(number, "it is refused", str(number), after=cursor)
            else:
                yield Record(number, self.payload(number), after=cursor)

    def progress(self) -> ReadProgress:
        return ReadProgress()
