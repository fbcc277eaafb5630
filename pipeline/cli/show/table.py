"""Tables for people, on any terminal: nothing is broken in the middle of a word, and no column is empty."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from pipeline.cli.show.output import brief, cell

#: Where output goes to a file or another program, tables are as wide as they are.
_UNBOUNDED = 10_000
_GAP = "  "


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[str] = (),
    below: Sequence[str] = (),
    title: str | None = None,
    err: bool = False,
) -> None:
    """Print a table of texts; columns that are empty throughout are left out.

    Where a terminal is too narrow, columns of `below` stand on a line below their row, as many as it takes, the first
    named first. Where that does not do, every column does.

    Args:
        right: columns of numbers.
    """
    out = console(err=err)
    table = _Table(headers, [[_text(value, out) for value in row] for row in rows], right)
    if title:
        out.print(Text(title, style="bold"))
    for line in _lines(table, below, out.width, rule="─" if out.encoding.startswith("utf") else "-"):
        # A line that is too long for a terminal is broken by it, and stays one where it is copied.
        out.print(line, soft_wrap=True)


def console(*, err: bool) -> Console:
    """Return a console that prints texts as they are; NO_COLOR and the stream's encoding are honoured."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


@dataclass(frozen=True, slots=True)
class _Table:
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Collection[str]

    def kept(self) -> list[int]:
        """Return the columns that hold something."""
        every = range(len(self.headers))
        return [each for each in every if not self.rows or any(row[each] for row in self.rows)]

    def width(self, column: int) -> int:
        return max(map(cell_len, (self.headers[column], *(row[column] for row in self.rows))))

    def line(self, row: Sequence[str], columns: Sequence[int]) -> str:
        padded = []
        for each in columns:
            space = " " * (self.width(each) - cell_len(row[each]))
            padded.append(space + row[each] if self.headers[each] in self.right else row[each] + space)
        return _GAP.join(padded).rstrip()

    def pairs(self, row: Sequence[str], columns: Sequence[int]) -> list[str]:
        return [f"{self.headers[each]} {row[each]}".strip() for each in columns if row[each]]


def _lines(table: _Table, below: Sequence[str], width: int, *, rule: str) -> Iterator[Text]:
    beside = table.kept()
    beneath = [each for name in below for each in beside if table.headers[each] == name]
    moved: list[int] = []
    while beneath and _width(table, beside) > width:
        moved.insert(0, beneath.pop(0))
        beside.remove(moved[0])
    if _width(table, beside) > width:
        beside, moved = beside[:1], beside[1:] + moved
    yield Text(table.line(table.headers, beside), style="bold")
    yield Text(rule * min(_width(table, beside), width))
    for row in table.rows:
        yield Text(table.line(row, beside))
        yield from map(Text, _wrapped(table.pairs(row, moved), width))


def _width(table: _Table, columns: Sequence[int]) -> int:
    return sum(table.width(each) for each in columns) + len(_GAP) * (len(columns) - 1)


def _wrapped(parts: Sequence[str], width: int) -> Iterator[str]:
    """Yield lines of parts, none of which is broken."""
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
    return brief(value) if isinstance(value, datetime) and out.is_terminal else cell(value)
