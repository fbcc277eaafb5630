"""Reads CSV: a header, then one item per row; every value is text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain

from pipeline.domain import payload
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.text.csv_dialect import declared_delimiter, detect_dialect, take_sample
from pipeline.sources.text.csv_header import Header, HeaderRules
from pipeline.sources.text.csv_rows import CsvRows
from pipeline.sources.text.lines import number_lines
from pipeline.sources.text.text_input import TextInput


def read_table(
    source: TextInput, delimiter: str | None = None, rules: HeaderRules | None = None
) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each row; rows without any text are counted as blank.

    Args:
        delimiter: defaults to the one that a line `sep=;` at the beginning declares, or that splits the rows alike.
        rules: what to do about a header that repeats a name or lacks one.

    Raises:
        InvalidInput: the header cannot be read, or repeats a name that must not be repeated.
    """
    # This limit applies to the whole process, so it is only ever raised.
    # A field that is longer than a payload may be is read to its end, so that no text from within it becomes an item.
    csv.field_size_limit(max(csv.field_size_limit(), source.max_record_bytes))
    lines = number_lines(source)
    sample = take_sample(lines)
    declared = declared_delimiter(sample)
    if declared is not None:
        del sample[0]
    dialect = detect_dialect(source, sample, declared or delimiter)
    if not dialect.has_quotes:
        source.report.warn(f"{source.name}: quotes are read as text, because they do not enclose its fields")
    rows = CsvRows(source, chain(sample, lines), dialect)
    header = _find_header(source, rows, rules or HeaderRules())
    if header is None:
        return
    after = source.position.after
    if after is not None and after.line:
        rows = CsvRows(source, number_lines(source, after), dialect, failed_until=after.open_until)
    yield from _read_rows(source, rows, header)


def _find_header(source: TextInput, rows: CsvRows, rules: HeaderRules) -> Header | None:
    for row in rows:
        if rows.problem is not None or any(map(str.strip, row)):
            return _read_header(source, rows, row, rules)
        if source.position.after is None:
            source.report.blank_rows += 1
    return None


def _read_rows(source: TextInput, rows: CsvRows, header: Header) -> Iterator[Record | Rejection]:
    for row in rows:
        if rows.problem is not None:
            yield source.reject(rows.line, rows.problem + rows.span(), rows.text, rows.after())
        elif not any(map(str.strip, row)):
            source.report.blank_rows += 1
        else:
            yield _read_row(source, rows, row, header)


def _read_row(source: TextInput, rows: CsvRows, row: list[str], header: Header) -> Record | Rejection:
    try:
        item = header.to_item(row)
        payload.encode_bytes(item, max_bytes=source.max_bytes)
    except InvalidInput as error:
        return source.reject(rows.line, f"{error}{rows.span()}", rows.text, rows.after())
    return source.accept(rows.line, item, rows.after())


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
