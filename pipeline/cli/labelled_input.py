"""Labelled data in any input format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from pipeline.cli.show.output import Messages, pluralize
from pipeline.domain.payload import Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import ReadOptions, ReadReport, open_source


def read_rows(
    sources: Sequence[str], messages: Messages, options: ReadOptions, *, unique: frozenset[str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of labelled data.

    Args:
        unique: names of columns that the header must not repeat.

    Raises:
        InvalidInput: a file or one of its rows cannot be read. Skipping rows would silently change the scores.
    """
    report = ReadReport(warn=messages.warn)
    options = replace(options, header=replace(options.header, unique=unique))
    source = open_source(sources, options, report)
    with closing(source.read()) as records:
        for record in records:
            if isinstance(record, Rejection):
                name = "" if record.file is not None else f"{source.name}, "
                raise InvalidInput(f"{name}{record.place}: {record.reason}")
            yield record.payload
    if report.blank_rows:
        messages.info(f"{source.name}: {pluralize(report.blank_rows, 'blank row')} skipped")
