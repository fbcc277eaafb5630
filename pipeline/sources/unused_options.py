"""Refuse options that have no effect on what is read: somebody who gives one expects it to do something."""

from __future__ import annotations

from pipeline.errors import InvalidInput
from pipeline.sources.format import BINARY_FORMATS, InputFormat
from pipeline.sources.read_options import ReadOptions

_TEXT_TABLES = frozenset({InputFormat.CSV, InputFormat.TSV})
_TABLES = _TEXT_TABLES | {InputFormat.XLSX}
_COLUMNS = frozenset({InputFormat.PARQUET, InputFormat.ARROW})
_TEXTS = frozenset(InputFormat).difference(BINARY_FORMATS)


def refuse_unused(options: ReadOptions, format: InputFormat, name: str, *, is_member: bool = False) -> None:
    """Refuse options without an effect on a file.

    Args:
        format: of the file.
        name: of the file in messages.
        is_member: whether it is in an archive.

    Raises:
        InvalidInput: one was given.
    """
    table = options.table
    given = {
        "--sheet": (options.sheet is not None, {InputFormat.XLSX}, "a workbook"),
        "--binary": (options.binary != "refuse", _COLUMNS, "Parquet, Arrow or a database"),
        "--nan": (options.nan != "refuse", _COLUMNS, "Parquet, Arrow or a database"),
        "--member": (options.member is not None and not is_member, frozenset(), "an archive"),
        "--encoding": (options.encoding is not None, _TEXTS, "text"),
        "--delimiter": (table.delimiter is not None, _TEXT_TABLES, "a text table"),
        "--quote": (table.quote is not None, _TEXT_TABLES, "a text table"),
        "--escape": (table.escape is not None, _TEXT_TABLES, "a text table"),
        "--comment": (table.comment is not None, _TEXT_TABLES, "a text table"),
        "--nul": (table.nul != "refuse", _TEXT_TABLES, "a text table"),
        "--header-row": (table.header_row is not None, _TABLES, "a table"),
        "--no-header": (not table.has_header, _TABLES, "a table"),
    }
    for option, (is_given, formats, what) in given.items():
        if is_given and format not in formats:
            raise InvalidInput(f"{option} is for {what}; {name} is {format}, so leave it out")


def refuse_unused_of_query(options: ReadOptions, name: str) -> None:
    """Refuse options without an effect on the rows of a query.

    Raises:
        InvalidInput: one was given.
    """
    given = {
        "--sheet": options.sheet is not None,
        "--member": options.member is not None,
        "--encoding": options.encoding is not None,
        "--items": options.items is not None,
        "--format": options.format is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise InvalidInput(f"{option} is for files; {name} is a database, so leave it out")
