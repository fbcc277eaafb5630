"""Offsets of Kafka as text that sorts, and the offsets that people write."""

from __future__ import annotations

from pipeline.errors import InvalidInput
from pipeline.intakes.rules import stream_ids

_DIGITS = 20
#: Below every message of a partition.
FIRST = f"{0:0{_DIGITS}}"
EARLIEST = "earliest"


def to_text(offset: int) -> str:
    """Return an offset so that it sorts as text."""
    return f"{offset:0{_DIGITS}}"


def parse_offset(written: str, like: str) -> str:
    """Return the offset that somebody wrote.

    Args:
        written: `earliest`, an offset of Kafka, or the id of an entry of Redis.
        like: an offset of the same source.

    Raises:
        InvalidInput: the source has no such offsets.
    """
    if "-" in like:
        return stream_ids.FIRST if written == EARLIEST else stream_ids.to_offset(written)
    if written == EARLIEST:
        return FIRST
    if not (written.isascii() and written.isdecimal() and len(written) < _DIGITS):
        raise InvalidInput(f"{written!r} is no offset; write a number such as 1200, or {EARLIEST}")
    return to_text(int(written))
