"""Writes CSV and TSV: one row per result, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import orjson

#: Spreadsheets run cells that begin like this as formulas, even after white space, which they strip.
_FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")


class CsvWriter:
    """Writes rows as CSV in UTF-8: a header, then one line per row; null is an empty cell, an object is JSON.

    Text that a spreadsheet would run as a formula, because it begins with `=`, `+`, `-`, `@`, a tab or a line end, is
    prefixed with `'`. Programs that read the file must remove it. Numbers are not prefixed.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str], *, delimiter: str = ",") -> None:
        self._file = file
        self._columns = columns
        self._rows = csv.writer(_Utf8Writer(file), delimiter=delimiter)
        self._rows.writerow(map(_format_cell, columns))

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.writerow([_format_cell(row.get(column)) for column in self._columns])

    def flush(self) -> None:
        self._file.flush()

    close = flush


class _Utf8Writer:
    """Encodes the output of the csv module. io.TextIOWrapper would close the file, which may be standard output."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        return self._file.write(text.encode())


def _format_cell(value: Any) -> Any:
    if isinstance(value, str):
        return "'" + value if value.startswith(_FORMULA_PREFIXES) else value
    if value is None or isinstance(value, int | float):
        return value
    return orjson.dumps(value).decode()
