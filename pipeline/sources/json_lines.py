"""Reads JSON Lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.input_position import InputPosition
from pipeline.sources.lines import number_lines, strip_mark
from pipeline.sources.text_input import TextInput, reject


def read_lines(source: TextInput) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each line; blank lines are counted."""
    max_bytes = source.max_record_bytes
    for number, offset, raw in map(strip_mark, number_lines(source)):
        if len(raw) > max_bytes:
            yield reject(number, source.too_long, raw)
        elif raw.isspace():
            source.report.blank_rows += 1
        else:
            yield source.parse_record(raw, InputPosition(number, 0, offset))
