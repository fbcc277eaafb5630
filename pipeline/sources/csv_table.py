"""Reads CSV: a header, then one item per row; every value is text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain

from pipeline.domain import payload
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput
from pipeline.sources.csv_dialect import declared_delimiter, detect_dialect, take_sample
from pipeline.sources.csv_header import Header, HeaderRules
from pipeline.sources.csv_rows import CsvRows
from pipeline.sources.lines import number_lines
from pipeline.sources.text_input import TextInput


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
    return _read_rows(source, CsvRows(source, chain(sample, lines), dialect), rules or HeaderRules())


def _read_rows(source: TextInput, rows: CsvRows, rules: HeaderRules) -> Iterator[Record | Rejection]:
    header: Header | None = None
    for row in rows:
        if rows.problem is None and not any(map(str.strip, row)):
            source.report.blank_rows += 1
        elif header is None:
            header = _read_header(source, rows, row, rules)
        elif rows.problem is not None:
            yield Rejection(rows.line, rows.problem + rows.span(), rows.text)
        else:
            yield _read_row(source, rows, row, header)


def _read_row(source: TextInput, rows: CsvRows, row: list[str], header: Header) -> Record | Rejection:
    try:
        item = header.to_item(row)
        payload.encode_bytes(item, max_bytes=source.max_bytes)
    except InvalidInput as error:
        return Rejection(rows.line, f"{error}{rows.span()}", rows.text)
    return Record(rows.line, item)


def _read_header(source: TextInput, rows: CsvRows, row: list[str], rules: HeaderRules) -> Header:
    try:
        if rows.problem is not None:
            raise InvalidInput(rows.problem)
        if max(map(len, row)) > source.max_bytes:
            raise InvalidInput("a name is longer than a payload may be; is a closing quote missing?")
        return Header(row, rules, lambda message: source.report.warn(f"{source.name}: {message}"))
    except InvalidInput as error:
        raise InvalidInput(f"{source.name}, line {rows.line}: {error}") from None
