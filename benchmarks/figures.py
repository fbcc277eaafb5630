"""A short table, printed row by row, with the load of the machine beside each figure; the same as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

#: Of a column; a longer heading makes it wider.
WIDTH = 9

json_option = click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="File that takes the figures as JSON."
)


class Figures:
    """Rows of figures.

    Args:
        first: heading of the first column, which says what a row is about.
        heads: the other headings, each with the format of its figures.
    """

    def __init__(self, first: str, heads: Mapping[str, str]) -> None:
        self._first = first
        self._formats = {**heads, "load": ".1f"}
        #: What was printed, by heading.
        self.rows: list[dict[str, object]] = []

    def add(self, first: object, *figures: float) -> None:
        """Print a row. The load is that of the last minute."""
        if not self.rows:
            self._print(self._first, list(self._formats))
        row = dict(zip(self._formats, (*figures, os.getloadavg()[0]), strict=True))
        self.rows.append({self._first: first, **row})
        self._print(str(first), [format(row[head], how) for head, how in self._formats.items()])

    def _print(self, first: str, cells: Iterable[str]) -> None:
        widths = [max(WIDTH, len(head) + 2) for head in self._formats]
        click.echo(f"{first:<28}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def write(file: Path | None, *tables: Figures) -> None:
    """Write the rows of tables, if somebody wants them."""
    if file is not None:
        file.write_text(json.dumps([row for table in tables for row in table.rows], indent=2) + "\n")


def share(values: list[float], part: float) -> float:
    """Return the value below which so much of the values lies, such as 0.95."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]
