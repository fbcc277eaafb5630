"""Writes CSV: one row per result, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, BinaryIO

import orjson

#: The path of each column's value. `classification` and `enrichment` are one column of JSON each, because their fields
#: depend on the definition.
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

#: Spreadsheets run cells that begin like this as formulas, even after white space, which they strip.
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")


class CsvWriter:
    """Writes results as CSV in UTF-8: a header, then one row per result; null is an empty cell.

    Text that a spreadsheet would run as a formula, because it begins with `=`, `+`, `-`, `@`, a tab or a line end, is
    prefixed with `'`. Programs that read the file must remove it. Numbers are not prefixed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._rows = csv.writer(_Utf8Writer(file))
        self._rows.writerow(COLUMNS)

    def write(self, result: Mapping[str, Any]) -> None:
        self._rows.writerow([_format_cell(_get_value(result, column)) for column in COLUMNS])

    def flush(self) -> None:
        self._file.flush()

    close = flush


class _Utf8Writer:
    """Encodes the output of the csv module. io.TextIOWrapper would close the file, which may be standard output."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def _get_value(result: Mapping[str, Any], column: str) -> Any:
    outer, _, inner = column.partition(".")
    value = result.get(outer)
    return value.get(inner) if inner and value is not None else value


def _format_cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(_FORMULA_PREFIXES) else value
    if value is None or isinstance(value, int | float):
        return value
    return orjson.dumps(value).decode()
