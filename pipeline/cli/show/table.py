"""Tables that fit any terminal: words are never broken, and empty columns are left out."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.cells import cell_len

from pipeline.cli.show.output import Messages, format_time, format_value, zone_name
from pipeline.cli.streams import data_stream

# Imported where they are used: most commands print no table, or none when they are quiet.
if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

#: Width of a table that goes to a file or another program: unlimited.
_UNBOUNDED = 10_000
_GAP = "  "


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[str] = (),
    below: Sequence[str] = (),
    title: str | None = None,
    empty: str | None = None,
    err: bool = False,
) -> None:
    """Print a table. Columns without any value are left out.

    If the terminal is too narrow, columns of `below` move to a line below their row, in the given order, as many as
    necessary. If that is not enough, all columns but the first move.

    Args:
        headers: the names of the columns.
        rows: the values of each row; times are printed in short form on a terminal, and their column names the zone.
        right: the columns that are aligned right.
        below: the columns that may move below the row.
        title: printed above the table, after an empty line.
        empty: printed to standard error instead of a table without rows.
        err: print to standard error.
    """
    from rich.text import Text

    out = console(err=err)
    rows = list(rows)
    if not rows and empty:
        Messages().info(empty)
        return
    has_times = {name for row in rows for name, value in zip(headers, row, strict=False) if isinstance(value, datetime)}
    titles = [f"{name} ({zone_name()})" if name in has_times else name for name in headers]
    table = _Table(headers, titles, [[_text(value, out) for value in row] for row in rows], right)
    if title:
        out.print()
        out.print(Text(title, style="bold"))
    for line in _lines(table, below, out.width, rule="─" if out.encoding.startswith("utf") else "-"):
        # The terminal wraps a line that is too long; copying it still gives one line.
        out.print(line, soft_wrap=True)


def console(*, err: bool) -> Console:
    """Return a console that prints text unchanged. It respects NO_COLOR and the encoding of the stream."""
    from rich.console import Console

    stream = sys.stderr if err else data_stream()
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


@dataclass(frozen=True, slots=True)
class _Table:
    headers: Sequence[str]
    titles: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[str]

    def columns(self) -> list[int]:
        """Return the indexes of the columns that have a value; of all columns, if there are no rows."""
        indexes = range(len(self.headers))
        return [index for index in indexes if not self.rows or any(row[index] for row in self.rows)]

    def column_width(self, index: int) -> int:
        return max(map(cell_len, (self.titles[index], *(row[index] for row in self.rows))))

    def width(self, columns: Sequence[int]) -> int:
        return sum(map(self.column_width, columns)) + len(_GAP) * (len(columns) - 1)

    def line(self, row: Sequence[str], columns: Sequence[int]) -> str:
        padded = []
        for index in columns:
            padding = " " * (self.column_width(index) - cell_len(row[index]))
            padded.append(padding + row[index] if self.headers[index] in self.right else row[index] + padding)
        return _GAP.join(padded).rstrip()

    def labelled_cells(self, row: Sequence[str], columns: Sequence[int]) -> list[str]:
        return [f"{self.titles[index]} {row[index]}".strip() for index in columns if row[index]]


def _lines(table: _Table, below: Sequence[str], width: int, *, rule: str) -> Iterator[Text]:
    from rich.text import Text

    inline = table.columns()
    movable = [index for name in below for index in inline if table.headers[index] == name]
    moved: list[int] = []
    while movable and table.width(inline) > width:
        moved.insert(0, movable.pop(0))
        inline.remove(moved[0])
    if table.width(inline) > width:
        inline, moved = inline[:1], inline[1:] + moved
    yield Text(table.line(table.titles, inline), style="bold")
    yield Text(rule * min(table.width(inline), width))
    for row in table.rows:
        yield Text(table.line(row, inline))
        yield from map(Text, _wrap(table.labelled_cells(row, moved), width))


def _wrap(parts: Sequence[str], width: int) -> Iterator[str]:
    """Yield indented lines made of whole parts."""
    line = ""
    for part in parts:
        longer = f"{line}{_GAP}{part}" if line else f"{_GAP}{part}"
        if line and cell_len(longer) > width:
            yield line
            longer = f"{_GAP}{part}"
        line = longer
    if line:
        yield line


def _text(value: object, out: Console) -> str:
    return format_time(value) if isinstance(value, datetime) and out.is_terminal else format_value(value)
