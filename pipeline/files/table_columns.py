"""The columns of a table of results."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from pipeline.files.layout import FIELDS, PAYLOAD, Layout
from pipeline.files.output_format import OutputFormat

#: Kept in memory; the rest goes to a file.
_MAX_MEMORY_BYTES = 8 * 2**20

# `classification` and `enrichment` are one column of JSON each, because their fields depend on the definition.
_PLAIN = tuple(name for name in FIELDS if name != PAYLOAD)
_SUBFIELDS = {
    "error": ("error.kind", "error.type", "error.message", "error.stage"),
    "timings": tuple(
        f"timings.{name}" for name in ("created_at", "queued_at", "started_at", "classified_at", "finished_at")
    ),
}


def choose_columns(layout: Layout, format: OutputFormat) -> tuple[str, ...] | None:
    """Return the columns of a table; None if only the results tell."""
    if layout.columns:
        return layout.columns
    if layout.is_flat:
        return None
    names = (*_PLAIN, PAYLOAD) if layout.with_payload else _PLAIN
    if format is OutputFormat.PARQUET:
        return names
    return tuple(column for name in names for column in _SUBFIELDS.get(name, (name,)))


class UnknownColumnsWriter:
    """Writes rows to a table whose columns are the names in all of them, in the order in which they first come.

    Args:
        make: makes the writer of a table with these columns.
    """

    def __init__(self, make: Callable[[Sequence[str]], Any]) -> None:
        self._make = make
        self._columns: dict[str, None] = {}
        # Deleted by the system when it is closed, even if the process is killed.
        self._rows = tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES)  # noqa: SIM115

    def write(self, row: Mapping[str, Any]) -> None:
        self._columns.update(dict.fromkeys(row))
        self._rows.write(orjson.dumps(dict(row), option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        """Do nothing: the header needs all rows."""

    def close(self) -> None:
        with self._rows:
            self._rows.seek(0)
            writer = self._make(tuple(self._columns))
            for line in self._rows:
                writer.write(orjson.loads(line))
            writer.close()
