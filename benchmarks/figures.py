"""A short table, printed row by row, with the machine's load beside each figure; the same as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

#: Of a column; a longer heading makes it wider.
WIDTH = 9

json_option = click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="File that takes the figures as JSON."
)


class Figures:
    """Rows of figures under these headings; the first column is text."""

    def __init__(self, first: str, *heads: str) -> None:
        self._heads = (first, *heads, "load")
        #: What was printed, by heading.
        self.rows: list[dict[str, object]] = []

    def add(self, first: object, *cells: object) -> None:
        """Print a row. The load is that of the last minute, before the row."""
        if not self.rows:
            self._print(self._heads)
        row = (first, *cells, f"{os.getloadavg()[0]:.1f}")
        self.rows.append(dict(zip(self._heads, row, strict=True)))
        self._print(row)

    def _print(self, row: tuple[object, ...]) -> None:
        first, *cells = map(str, row)
        widths = [max(WIDTH, len(head) + 2) for head in self._heads[1:]]
        click.echo(f"{first:<28}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def write(file: Path | None, *tables: Figures) -> None:
    """Write the rows of tables, if somebody wants them."""
    if file is not None:
        file.write_text(json.dumps([row for table in tables for row in table.rows], indent=2) + "\n")


def share(values: list[float], part: float) -> float:
    """Return the value below which so much of the values lies, such as 0.95."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]
