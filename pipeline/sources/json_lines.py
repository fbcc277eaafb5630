"""JSON Lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.domain.payload import Record, Rejection
from pipeline.sources.input_position import InputPosition
from pipeline.sources.text_input import TextInput, refuse


def read_lines(given: TextInput) -> Iterator[Record | Rejection]:
    """Yield what each line holds; blank lines are skipped."""
    longest = given.max_record_bytes
    for place, raw in numbered(given):
        if len(raw) > longest:
            yield refuse(place.line, given.too_long, raw)
        elif not raw.isspace():
            yield given.accept(raw, place)


def numbered(given: TextInput) -> Iterator[tuple[InputPosition, bytes]]:
    """Yield each line with its place; of one that is too long only a part, which is too long as well."""
    size = given.max_record_bytes + 1
    number = offset = 0
    while raw := given.stream.readline(size):
        number += 1
        yield InputPosition(number, 0, offset), raw
        offset += len(raw)
        while len(raw) == size and not raw.endswith(b"\n"):
            raw = given.stream.readline(size)
            offset += len(raw)
