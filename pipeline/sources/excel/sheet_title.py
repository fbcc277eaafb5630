"""Recognizes a title above a sheet's table, which would be taken for its header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

#: Rows to look at, with those that are empty.
LOOKED_AT = 25
_SHOWN = 40


class SheetTitle(NamedTuple):
    """A title above a table.

    Args:
        row: of the title.
        header_row: the row that is more likely the header.
        header: the beginning of that row.
    """

    row: int
    header_row: int
    header: str

    @property
    def advice(self) -> str:
        """What to do about it, for messages."""
        return f'row {self.row} may be a title; --header-row {self.header_row} reads from "{self.header}"'


def find_title(rows: Sequence[tuple[int, Sequence[Any]]]) -> SheetTitle | None:
    """Return the title that the first row with a value is, None if it is none.

    It is one if it has fewer than half of the values that most of the next rows have.

    Args:
        rows: their numbers and values, None where a cell is empty.
    """
    filled = [(number, [value for value in values if value is not None]) for number, values in rows]
    filled = [(number, values) for number, values in filled if values]
    if len(filled) < 3:
        return None
    (row, first), *below = filled
    width, count = Counter(len(values) for _, values in below).most_common(1)[0]
    if len(first) * 2 >= width or count * 2 <= len(below):
        return None
    header_row, names = next((number, values) for number, values in below if len(values) >= width)
    text = ", ".join(map(str, names))
    return SheetTitle(row, header_row, text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
