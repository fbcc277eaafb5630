"""Writes a workbook of Excel: one row per result."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import orjson

from pipeline.errors import InvalidInput

#: Limits of Excel: rows of a sheet, characters of a cell, and digits of a number.
MAX_ROWS = 1_048_576
MAX_CHARACTERS = 32_767
MAX_INTEGER = 10**15
_ELLIPSIS = "…"
#: Kept in memory of a finished workbook; the rest goes to a file.
_MAX_MEMORY_BYTES = 8 * 2**20


class XlsxWriter:
    """Writes rows as a workbook with one sheet. The file is readable once `close` has written it.

    Text is stored as text: Excel runs none of it as a formula, and changes no key such as `007`. Text that is too long
    for a cell is cut, and ends in `…`.

    Raises:
        InvalidInput: the extra `excel` is not installed; or, from `write`, there are more rows than a sheet has.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        openpyxl, self._cell, self._illegal = _import_openpyxl()
        self._file = file
        self._columns = columns
        self._workbook = openpyxl.Workbook(write_only=True)
        self._sheet = self._workbook.create_sheet("results")
        self._sheet.freeze_panes = "A2"
        self._rows = 0
        self._append(columns)

    def write(self, row: Mapping[str, Any]) -> None:
        self._append([row.get(column) for column in self._columns])

    def flush(self) -> None:
        """Do nothing: a workbook is written as a whole."""

    def close(self) -> None:
        # Written whole, since openpyxl leaves parts of it open if the file fails halfway, and a pipe cannot be sought.
        with tempfile.SpooledTemporaryFile(_MAX_MEMORY_BYTES) as content:
            self._workbook.save(content)
            content.seek(0)
            shutil.copyfileobj(content, self._file)

    def _append(self, values: Sequence[Any]) -> None:
        self._rows += 1
        if self._rows > MAX_ROWS:
            raise InvalidInput(f"a sheet of Excel has at most {MAX_ROWS:,} rows; write csv or parquet instead")
        self._sheet.append([self._format(value) for value in values])

    def _format(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and math.isfinite(value) and abs(value) < MAX_INTEGER:
            return value
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if len(text) > MAX_CHARACTERS:
            text = text[: MAX_CHARACTERS - len(_ELLIPSIS)] + _ELLIPSIS
        cell = self._cell(self._sheet, value=self._illegal.sub("\N{REPLACEMENT CHARACTER}", text))
        # The value alone would make a formula of a text that begins with `=`, and an error of `#N/A`.
        cell.data_type = "s"
        return cell


def _import_openpyxl() -> tuple[Any, Any, Any]:
    try:
        import openpyxl
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    except ImportError:
        raise InvalidInput("writing a workbook needs openpyxl: pip install 'pipeline[excel]'") from None
    return openpyxl, WriteOnlyCell, ILLEGAL_CHARACTERS_RE
