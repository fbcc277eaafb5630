"""Detects how a text table separates its fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from pipeline.sources.head_stream import HEAD_BYTES
from pipeline.sources.text.csv_rows import CsvRows, TableDialect
from pipeline.sources.text.lines import Line
from pipeline.sources.text.table_options import NO_QUOTE, TableOptions
from pipeline.sources.text.text_input import TextInput

#: In order of preference, if several fit equally well.
_DELIMITERS = ",;\t|"
#: Share of the rows that is most of them.
_MOST = 0.5
#: The first line by which Excel is told the delimiter.
_DECLARATION = "sep="


def take_sample(lines: Iterator[Line]) -> list[Line]:
    """Return the first lines, about `HEAD_BYTES` of them."""
    sample: list[Line] = []
    size = 0
    for line in lines:
        sample.append(line)
        size += len(line[2])
        if size >= HEAD_BYTES:
            break
    return sample


def declared_delimiter(sample: Sequence[Line]) -> str | None:
    """Return the delimiter that a first line such as `sep=;` declares, None if there is no such line."""
    text = sample[0][2].decode("utf-8", "replace").rstrip("\r\n") if sample else ""
    delimiter = text[len(_DECLARATION) :]
    is_declaration = text.lower().startswith(_DECLARATION) and len(delimiter) == 1 and delimiter not in '" \r\n'
    return delimiter if is_declaration else None


def candidate_dialects(options: TableOptions, delimiter: str | None) -> list[TableDialect]:
    """Return the dialects to choose from, the likeliest first.

    Args:
        delimiter: the only one to consider; None: comma, semicolon, tab and pipe.
    """
    given = TableDialect(
        ",",
        has_quotes=options.quote != NO_QUOTE,
        quote=options.quote if options.quote not in (None, NO_QUOTE) else '"',
        escape=options.escape,
        comment=None if options.comment is None else options.comment.encode(),
        strips_nul=options.nul == "strip",
    )
    candidates = [replace(given, delimiter=each) for each in delimiter or _DELIMITERS]
    if delimiter in (None, "\t") and options.quote is None:
        # Many exports separated by tabs do not quote: a quote at the beginning of a field is text there.
        candidates.append(replace(given, delimiter="\t", has_quotes=False))
    return candidates


def detect_dialect(source: TextInput, sample: Sequence[Line], candidates: Sequence[TableDialect]) -> TableDialect:
    """Return the dialect that splits the header, and the rows of the sample like the header, without faulty quotes."""
    fits = [(_measure_fit(source, sample, dialect), dialect) for dialect in candidates]
    # The first of the best.
    best, dialect = max(fits, key=lambda fit: fit[0])
    if best.fields < 2:
        return candidates[0]
    if best.spaced_quotes and dialect.has_quotes:
        skipping = replace(dialect, skips_spaces=True)
        if _measure_fit(source, sample, skipping).share_alike >= best.share_alike:
            return skipping
    return dialect


def splits_alike(source: TextInput, sample: Sequence[Line], dialect: TableDialect) -> bool:
    """Return whether a dialect splits the header, and most of the rows like the header."""
    fit = _measure_fit(source, sample, dialect)
    return fit.splits_header and fit.rows_alike > 0 and fit.share_alike > _MOST


class _Fit(NamedTuple):
    """How well a dialect fits a sample, in the order of importance."""

    splits_header: bool
    share_alike: float
    rows_alike: int
    fields: int
    #: Negative: names that begin or end with a space were probably split at a comma of a sentence.
    spaces: int
    #: Negative: fields that begin with a space and a quote are probably enclosed in quotes.
    spaced_quotes: int


def _measure_fit(source: TextInput, sample: Sequence[Line], dialect: TableDialect) -> _Fit:
    widths: list[int] = []
    header: list[str] = []
    is_enclosed = False
    spaced_quotes = 0
    rows = CsvRows(source, sample, dialect)
    for row in rows:
        if rows.problem is None and not any(map(str.strip, row)):
            continue
        spaced_quotes -= sum(field[:1] == " " and field.lstrip(" ")[:1] == dialect.quote for field in row)
        is_enclosed |= any(len(field) > 1 and field[0] == field[-1] == dialect.quote for field in row)
        if not header:
            header = row
            if rows.problem is not None or len(header) < 2:
                break
        else:
            widths.append(0 if rows.problem else len(row))
    # Quotes that enclose a field on both sides are not text.
    if len(header) < 2 or (is_enclosed and not dialect.has_quotes):
        return _Fit(False, 0, 0, len(header), 0, 0)
    if widths and not widths[-1]:
        # The sample may end inside this row.
        widths.pop()
    alike = widths.count(len(header))
    spaces = -sum(name != name.strip() for name in header)
    return _Fit(True, alike / len(widths) if widths else 1.0, alike, len(header), spaces, spaced_quotes)
