"""CSV: one row a result, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, BinaryIO

import orjson

#: Column by column, the path to its value. `classification` and `enrichment` are JSON in one column each, since their
#: fields depend on the definition.
COLUMNS = (
    "batch_id",
    "item_id",
    "key",
    "seq",
    "state",
    "label",
    "confidence",
    "classification",
    "enrichment",
    "error.kind",
    "error.type",
    "error.message",
    "error.stage",
    "attempts",
    "timings.created_at",
    "timings.queued_at",
    "timings.started_at",
    "timings.classified_at",
    "timings.finished_at",
)

#: A spreadsheet runs a cell that begins so, also after white space that it drops.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class CsvWriter:
    """Writes results as CSV in UTF-8: a header, then one row each; null is an empty cell.

    Text that a spreadsheet would run as a formula (begins with `=`, `+`, `-`, `@`, tab or line end) gets a `'` in
    front; a reader that is no spreadsheet removes it. Numbers stay as they are.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rows = csv.writer(_Utf8(file))
        self._rows.writerow(COLUMNS)

    def write(self, result: Mapping[str, Any]) -> None:
        self._rows.writerow([_cell(_value(result, column)) for column in COLUMNS])

    def flush(self) -> None:
        self._file.flush()

    close = flush


class _Utf8:
    """Encodes what the csv module writes; io.TextIOWrapper would close the file, standard output included."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def _value(result: Mapping[str, Any], column: str) -> Any:
    outer, _, inner = column.partition(".")
    value = result.get(outer)
    return value.get(inner) if inner and value is not None else value


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(_FORMULA_STARTS) else value
    if value is None or isinstance(value, int | float):
        return value
    return orjson.dumps(value).decode()
