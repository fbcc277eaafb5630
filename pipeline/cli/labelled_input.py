"""Labelled data in any input format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.domain.payload import Rejection
from pipeline.errors import InvalidInput
from pipeline.sources import read_items


def read_rows(source: str, input_format: str | None, encoding: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of labelled data.

    Raises:
        InvalidInput: the file or one of its rows cannot be read. Skipping rows would silently change the scores.
    """
    for record in read_items(source, format=input_format, encoding=encoding):
        if isinstance(record, Rejection):
            raise InvalidInput(f"{source}, line {record.line}: {record.reason}")
        yield record.payload
