"""Labelled data in any input format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pipeline.cli import options
from pipeline.cli.show.output import Messages, pluralize
from pipeline.domain.payload import Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import HeaderRules, ReadReport, read_items

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (options.input_format, options.encoding, options.header, options.strict)


def reading_options(command: F) -> F:
    """Add the options of `read_rows` to a command."""
    return options.with_options(_OPTIONS)(command)


def read_rows(
    source: str,
    messages: Messages,
    *,
    input_format: str | None,
    encoding: str | None,
    header: str | None,
    strict: bool,
    unique: frozenset[str],
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of labelled data.

    Args:
        unique: names of columns that the header must not repeat.

    Raises:
        InvalidInput: the file or one of its rows cannot be read. Skipping rows would silently change the scores.
    """
    report = ReadReport(warn=messages.warn)
    rules = HeaderRules(lenient=header == "lenient", strict=strict, unique=unique)
    for record in read_items(source, format=input_format, encoding=encoding, header=rules, report=report):
        if isinstance(record, Rejection):
            raise InvalidInput(f"{source}, line {record.line}: {record.reason}")
        yield record.payload
    if report.blank_rows:
        messages.info(f"{source}: {pluralize(report.blank_rows, 'blank row')} skipped")
