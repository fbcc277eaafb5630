"""Reads a sheet of an Excel workbook row by row."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, dropwhile, islice
from typing import Any, BinaryIO

from pipeline.domain import payload
from pipeline.domain.did_you_mean import hint, list_names
from pipeline.domain.payload import Record, Rejection, UnreadRecord
from pipeline.errors import InvalidInput
from pipeline.sources.excel.cell_values import cell_value
from pipeline.sources.excel.sheet_title import LOOKED_AT, find_title
from pipeline.sources.file_position import FilePosition
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.text.csv_header import Header

#: Bytes that the parts of a workbook may unpack to. A part is never read beyond the size that the archive says.
_MAX_PARTS_BYTES = 2 * 1024**3
_MAX_STRINGS_BYTES = 256 * 1024**2
_SHARED_STRINGS = "xl/sharedStrings.xml"
#: Members by which the kind of a document is known.
_OTHER_KINDS = (
    ("xl/workbook.bin", "a binary workbook of Excel (.xlsb)", "save it as .xlsx"),
    ("mimetype", "an OpenDocument file or an e-book", "save it as .xlsx or CSV"),
    ("word/document.xml", "a Word document", "give a file with items"),
    ("ppt/presentation.xml", "a PowerPoint presentation", "give a file with items"),
)

CheckColumns = Callable[[Sequence[str]], object]
#: The number of a row, counted from 1, and its cells.
_Row = tuple[int, Sequence[Any]]


def is_workbook(names: Sequence[str], name: str) -> bool:
    """Return whether an archive with these members is a workbook.

    Raises:
        InvalidInput: it is another kind of document.
    """
    if "xl/workbook.xml" in names:
        return True
    for member, kind, advice in _OTHER_KINDS:
        if member in names:
            raise InvalidInput(f"{name} is {kind}: {advice}")
    return False


def read_workbook(
    file: BinaryIO,
    name: str,
    options: ReadOptions,
    report: ReadReport,
    position: FilePosition,
    check_columns: CheckColumns,
) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row below the header.

    Empty cells are null. Rows that are empty are counted as blank, except those at the end.

    Args:
        file: it has `seek`.
        name: of the file in messages.
        report: counts blank rows and takes warnings.
        check_columns: called with the names of the columns.

    Raises:
        InvalidInput: the extra `excel` is not installed; the workbook is damaged or too large, has no such sheet, or no
            header that can be read.
    """
    with _opened(file, name) as workbook:
        sheet = _choose_sheet(workbook, options.sheet, name)
        report.note("sheet", sheet.title, "" if options.sheet is None else "--sheet")
        rows = _rows(sheet)
        if options.table.header_row is not None:
            header_row = options.table.header_row
            rows = dropwhile(lambda row: row[0] < header_row, rows)
        elif options.table.has_header:
            rows = _warn_of_title(rows, name, report)
        header, rows = _find_header(rows, name, options, report)
        if header is None:
            return
        check_columns(header.columns)
        after = position.after.row if position.after is not None else 0
        blank = 0
        for number, values in rows:
            if number <= after:
                continue
            if all(value is None for value in values):
                blank += 1
                continue
            report.blank_rows += blank
            blank = 0
            yield _read_row(number, values, header, options, position)


def _read_row(
    number: int, values: Sequence[Any], header: Header, options: ReadOptions, position: FilePosition
) -> Record | Rejection:
    after = position.after_row(number, number)
    try:
        item = header.to_typed_item(values)
        payload.encode_bytes(item, max_bytes=options.max_bytes)
    except InvalidInput as error:
        return UnreadRecord(number, str(error), payload.to_text(list(values)), position.file, after)
    return Record(number, item, None, position.file, after)


def _find_header(
    rows: Iterator[_Row], name: str, options: ReadOptions, report: ReadReport
) -> tuple[Header | None, Iterator[_Row]]:
    """Return the header and the rows that follow it; None: there is none."""
    for number, values in rows:
        if all(value is None for value in values):
            continue
        has_header = options.table.has_header
        fields = ["" if value is None else str(value) for value in values]
        names = fields if has_header else [f"column_{column}" for column in range(1, len(values) + 1)]
        try:
            header = Header(names, options.header, lambda message: report.warn(f"{name}: {message}"))
        except InvalidInput as error:
            raise InvalidInput(f"{name}, row {number}: {error}") from None
        if has_header:
            report.note(
                "header", f"row {number}", "--header-row" if options.table.header_row else "first row with text"
            )
        return header, rows if has_header else chain([(number, values)], rows)
    return None, rows


def _warn_of_title(rows: Iterator[_Row], name: str, report: ReadReport) -> Iterator[_Row]:
    """Propose a header row if the first one is more likely a title; return all rows."""
    sample = list(islice(rows, LOOKED_AT))
    title = find_title(sample)
    if title is not None:
        report.propose("--header-row", str(title.header_row))
        report.warn(f"{name}: {title.advice}")
    return chain(sample, rows)


def _rows(sheet: Any) -> Iterator[_Row]:
    # What the file says of the sheet's size is often wrong.
    sheet.reset_dimensions()
    expected = 1
    for cells in sheet.iter_rows():
        number = next((cell.row for cell in cells if hasattr(cell, "row")), expected)
        expected = number + 1
        yield number, [cell_value(cell) for cell in cells]


def _choose_sheet(workbook: Any, wanted: str | None, name: str) -> Any:
    sheets = workbook.worksheets
    if not sheets:
        raise InvalidInput(f"{name} has no sheet with cells")
    if wanted is None:
        return next((sheet for sheet in sheets if sheet.sheet_state == "visible"), sheets[0])
    by_name = {sheet.title: sheet for sheet in sheets}
    if wanted in by_name:
        return by_name[wanted]
    if wanted.isascii() and wanted.isdigit() and 0 < int(wanted) <= len(sheets):
        return sheets[int(wanted) - 1]
    near = hint(wanted, by_name) or f"; it has {list_names(by_name)}"
    raise InvalidInput(f"{name} has no sheet {wanted!r}{near}")


@contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[Any]:
    try:
        import openpyxl
    except ImportError:
        raise InvalidInput("reading xlsx needs openpyxl: pip install 'pipeline[excel]'") from None
    with _explain_errors(name):
        _check_parts(file, name)
        with warnings.catch_warnings():
            # It warns of charts, validations and the like, which are not read.
            warnings.simplefilter("ignore")
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            yield workbook
        finally:
            workbook.close()


def _check_parts(file: BinaryIO, name: str) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        total = sum(part.file_size for part in parts)
        strings = sum(part.file_size for part in parts if part.filename == _SHARED_STRINGS)
        if any(part.flag_bits & 0x1 for part in parts):
            raise InvalidInput(f"{name} is encrypted; save it without a password")
    if total > _MAX_PARTS_BYTES:
        raise InvalidInput(f"{name} unpacks to {total:,} bytes, more than {_MAX_PARTS_BYTES:,}; save it as CSV")
    if strings > _MAX_STRINGS_BYTES:
        raise InvalidInput(f"{name} has {strings:,} bytes of texts, more than {_MAX_STRINGS_BYTES:,}; save it as CSV")
    file.seek(0)


@contextmanager
def _explain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput:
        raise
    except zipfile.BadZipFile:
        raise InvalidInput(
            f"{name} cannot be read as an Excel workbook: it is none, or it is damaged; save it as .xlsx again"
        ) from None
    except (EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        # openpyxl raises all of these for XML that it does not expect.
        raise InvalidInput(f"{name} cannot be read as an Excel workbook: {_first_line(error)}") from None
    except (SyntaxError, RuntimeError, OverflowError, zipfile.LargeZipFile) as error:
        raise InvalidInput(f"{name} cannot be read as an Excel workbook: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    # The text of a KeyError is the representation of its argument.
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return str(text).partition("\n")[0][:200] or type(error).__name__
