"""Reads JSON Lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.input_position import InputPosition
from pipeline.sources.text_input import TextInput, reject


def read_lines(source: TextInput) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each line; blank lines are skipped."""
    max_bytes = source.max_record_bytes
    for position, raw in number_lines(source):
        if len(raw) > max_bytes:
            yield reject(position.line, source.too_long, raw)
        elif not raw.isspace():
            yield source.parse_record(raw, position)


def number_lines(source: TextInput) -> Iterator[tuple[InputPosition, bytes]]:
    """Yield each line with its position; a line of more than `max_record_bytes` is truncated to one byte more."""
    size = source.max_record_bytes + 1
    number = offset = 0
    while raw := source.stream.readline(size):
        number += 1
        yield InputPosition(number, 0, offset), raw
        offset += len(raw)
        while len(raw) == size and not raw.endswith(b"\n"):
            raw = source.stream.readline(size)
            offset += len(raw)
