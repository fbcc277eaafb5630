"""Reads CSV: a header, then one item per row; every value is text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, dropwhile
from typing import NamedTuple

from pipeline.domain import payload
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.text.csv_dialect import (
    candidate_dialects,
    declared_delimiter,
    detect_dialect,
    splits_alike,
    take_sample,
)
from pipeline.sources.text.csv_header import Header, HeaderRules
from pipeline.sources.text.csv_rows import CsvRows, TableDialect
from pipeline.sources.text.lines import Line, number_lines
from pipeline.sources.text.table_options import TableOptions
from pipeline.sources.text.text_input import TextInput
from pipeline.sources.text.title_row import TitleRow, find_title


def read_table(
    source: TextInput,
    delimiter: str | None = None,
    rules: HeaderRules | None = None,
    options: TableOptions | None = None,
) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row; rows without any text are counted as blank.

    Args:
        delimiter: that of the format; default: the one that a line `sep=;` at the beginning declares, or that splits
            the rows alike.
        rules: what to do about a header that repeats a name or lacks one.
        options: how the table is written, as the user says.

    Raises:
        InvalidInput: the header cannot be read, or repeats a name that must not be repeated.
    """
    options, rules = options or TableOptions(), rules or HeaderRules()
    table = inspect_table(source, delimiter, options)
    if not table.dialect.has_quotes and options.quote is None:
        source.report.warn(f"{source.name}: quotes are read as text, because they do not enclose its fields")
    _note_dialect(source, table, delimiter, options)
    if table.title is not None:
        source.report.propose("--header-row", str(table.title.header_line))
        source.report.warn(f"{source.name}: {table.title.advice}")
    rows = CsvRows(source, table.lines, table.dialect)
    header, first = _find_header(source, rows, rules, options)
    if header is None:
        return
    after = source.position.after
    if after is not None and after.line:
        rows = CsvRows(source, number_lines(source, after), table.dialect, failed_until=after.open_until)
    elif first is not None:
        yield _read_row(source, rows, first, header)
    advice = "" if table.title is None or after is not None else f"; {table.title.advice}"
    yield from _read_rows(source, rows, header, advice)


class Table(NamedTuple):
    """How a table is written.

    Args:
        lines: all of its lines, from that of the header on.
        declared: the delimiter that a line `sep=;` declares.
        title: what the first row is, if it is more likely a title than the header.
    """

    dialect: TableDialect
    lines: Iterator[Line]
    declared: str | None
    title: TitleRow | None


def inspect_table(source: TextInput, delimiter: str | None, options: TableOptions) -> Table:
    """Return how a table is written, by what the user says and by its first lines."""
    # This limit applies to the whole process, so it is only ever raised.
    # A field that is longer than a payload may be is read to its end, so that no text from within it becomes an item.
    csv.field_size_limit(max(csv.field_size_limit(), source.max_record_bytes))
    lines = number_lines(source)
    first = next(lines, None)
    declared = None if first is None else declared_delimiter([first])
    before = [] if first is None or declared is not None else [first]
    all_lines: Iterator[Line] = chain(before, lines)
    if options.header_row is not None:
        header_row = options.header_row
        all_lines = dropwhile(lambda line: line[0] < header_row, all_lines)
    sample = take_sample(all_lines)
    candidates = candidate_dialects(options, options.delimiter or declared or delimiter)
    dialect = detect_dialect(source, sample, candidates)
    may_have_title = options.has_header and options.header_row is None
    # What another dialect makes of quoted fields says nothing about a header that the rows agree with.
    may_have_title = may_have_title and not splits_alike(source, sample, dialect)
    title = find_title(source, sample, candidates) if may_have_title else None
    if title is not None and title.dialect.delimiter != dialect.delimiter:
        # The other one does not split the title either, and would make one column of all.
        dialect = title.dialect
    return Table(dialect, chain(sample, all_lines), declared, title)


def _note_dialect(source: TextInput, table: Table, delimiter: str | None, options: TableOptions) -> None:
    """Keep what separates the fields, and by what that is known."""
    found = table.dialect.delimiter
    if options.delimiter is not None:
        reason = "--delimiter"
    elif table.declared is not None:
        reason = f"the line sep={table.declared}"
    else:
        reason = "format" if delimiter is not None else "the rows are split alike"
    source.report.note("delimiter", _NAMES.get(found, found), reason)
    source.report.note("quotes", table.dialect.quote if table.dialect.has_quotes else "none")


_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}


def _find_header(
    source: TextInput, rows: CsvRows, rules: HeaderRules, options: TableOptions
) -> tuple[Header | None, list[str] | None]:
    """Return the header, and the first row if it is an item; None for both if there are only blank rows."""
    for row in rows:
        is_first = source.position.after is None
        source.report.blank_rows += rows.take_comments() if is_first else 0
        if rows.problem is None and not any(map(str.strip, row)):
            source.report.blank_rows += is_first
            continue
        if options.has_header:
            reason = "--header-row" if options.header_row else "first line with text"
            source.report.note("header", f"line {rows.line}", reason)
            return _read_header(source, rows, row, rules), None
        names = [f"column_{number}" for number in range(1, len(row) + 1)]
        return _read_header(source, rows, names, replace(rules, strict=False)), row
    return None, None


def _read_rows(source: TextInput, rows: CsvRows, header: Header, advice: str) -> Iterator[Record | Rejection]:
    """Yield the rows below the header. The first rejection says `advice` as well."""
    for row in rows:
        if rows.comments:
            source.report.blank_rows += rows.take_comments()
        if rows.problem is None and not any(map(str.strip, row)):
            source.report.blank_rows += 1
            continue
        item = _read_row(source, rows, row, header)
        if advice and isinstance(item, Rejection):
            item, advice = replace(item, reason=item.reason + advice), ""
        yield item
    source.report.blank_rows += rows.take_comments()


def _read_row(source: TextInput, rows: CsvRows, row: list[str], header: Header) -> Record | Rejection:
    if rows.problem is not None:
        return source.reject(rows.line, rows.problem + rows.span(), rows.text, rows.after())
    try:
        item = header.to_item(row)
        payload.encode_bytes(item, max_bytes=source.max_bytes)
    except InvalidInput as error:
        reason = str(error).replace(_NUL, f"{_NUL}, or pass --nul strip")
        if _NUL in reason:
            source.report.propose("--nul", "strip")
        return source.reject(rows.line, f"{reason}{rows.span()}", rows.text, rows.after())
    return source.accept(rows.line, item, rows.after())


_NUL = "which databases cannot store; remove it"


def _read_header(source: TextInput, rows: CsvRows, row: list[str], rules: HeaderRules) -> Header:
    try:
        if rows.problem is not None:
            raise InvalidInput(rows.problem)
        if max(map(len, row)) > source.max_bytes:
            raise InvalidInput("a name is longer than a payload may be; is a closing quote missing?")
        header = Header(row, rules, lambda message: source.report.warn(f"{source.name}: {message}"))
    except InvalidInput as error:
        raise InvalidInput(f"{source.name}, line {rows.line}: {error}") from None
    source.check_columns(header.columns)
    return header
