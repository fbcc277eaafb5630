"""Tables for people, on any terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.output import cell

#: Where output goes to a file or another program, tables are as wide as they are.
_UNBOUNDED = 10_000


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[str] = (),
    title: str | None = None,
    err: bool = False,
) -> None:
    """Print a table of texts; columns in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.pad_edge = table.show_edge = False
    for header in headers:
        table.add_column(Text(header), justify="right" if header in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    console(err=err).print(table)


def console(*, err: bool) -> Console:
    """Return a console that prints texts as they are; NO_COLOR and the stream's encoding are honoured."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else _UNBOUNDED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
