"""Reads JSON Lines: one object per line."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.text.input_position import InputPosition
from pipeline.sources.text.lines import number_lines, strip_mark
from pipeline.sources.text.text_input import TextInput


def read_lines(source: TextInput) -> Iterator[Record | Rejection]:
    """Yield a record or a rejection for each line; blank lines are counted."""
    max_bytes = source.max_record_bytes
    lines = number_lines(source, source.position.after, skips_blank=True)
    for number, offset, raw in map(strip_mark, lines):
        if raw.isspace():
            source.report.blank_rows += 1
            continue
        after = source.position.after_line(number, offset + len(raw))
        if len(raw) > max_bytes:
            yield source.reject(number, source.too_long, raw, after)
        else:
            yield source.parse_record(raw, InputPosition(number, 0, offset), after)
