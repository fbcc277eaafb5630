"""Recognizes a title above a table, which would be taken for its header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from pipeline.sources.text.csv_rows import CsvRows, TableDialect
from pipeline.sources.text.lines import Line
from pipeline.sources.text.text_input import TextInput

#: Rows below the first that are looked at.
_LOOKED_AT = 20
_SHOWN = 40


class TitleRow(NamedTuple):
    """A title above a table.

    Args:
        line: of the title.
        header_line: of the row that is more likely the header.
        header: the beginning of that row.
        dialect: by which the rows below the title are split alike.
    """

    line: int
    header_line: int
    header: str
    dialect: TableDialect

    @property
    def advice(self) -> str:
        """What to do about it, for messages."""
        return f'line {self.line} may be a title; --header-row {self.header_line} reads from "{self.header}"'


def find_title(source: TextInput, sample: Sequence[Line], candidates: Sequence[TableDialect]) -> TitleRow | None:
    """Return the title that the first row is, None if it is none.

    It is one if it has fewer than half of the fields that most of the next rows have.
    """
    found: tuple[int, TitleRow] | None = None
    for dialect in candidates:
        rows = CsvRows(source, sample, dialect)
        read = [(rows.line, row, rows.text) for row in islice(rows, _LOOKED_AT + 1) if any(map(str.strip, row))]
        if len(read) < 3:
            continue
        (line, first, _), *below = read
        width, count = Counter(len(row) for _, row, _ in below).most_common(1)[0]
        if len(first) * 2 >= width or count * 2 <= len(below) or (found is not None and found[0] >= count):
            continue
        header_line, text = next((line, text) for line, row, text in below if len(row) == width)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        found = count, TitleRow(line, header_line, shown, dialect)
    return None if found is None else found[1]
