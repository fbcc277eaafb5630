"""Messages as an intake takes them, and which of them it has accepted before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: Bytes of a refused message that are kept.
MAX_KEPT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class IntakeMessage:
    """A message of a source.

    Args:
        body: None: it has none, such as the mark of a deletion.
        partition, offset: where it is, in a source with offsets; offsets sort as text.
        message_id: what it is known by, in a source without offsets.
    """

    body: bytes | None = field(repr=False)
    partition: str | None = None
    offset: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """A range of offsets that a chunk covers.

    Args:
        start: where the reader stood before it, which is not always the offset of its first message.
        end: where the reader stands after it.
    """

    partition: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages that are accepted together.

    Args:
        ranges: what they cover, one for each partition; none in a source whose messages have ids.
    """

    messages: Sequence[IntakeMessage]
    ranges: tuple[OffsetRange, ...] = ()


def is_ahead(given: OffsetRange, next_offset: str) -> bool:
    """Return whether messages between the accepted ones and a range are missing: its reader must go back."""
    return given.start > next_offset


def is_accepted(message: IntakeMessage, next_offsets: dict[str, str]) -> bool:
    """Return whether a message with an offset is accepted already."""
    return message.partition is not None and str(message.offset) < next_offsets[message.partition]


def advance(given: OffsetRange, next_offset: str) -> str:
    """Return up to where a partition is accepted once a range is."""
    return max(next_offset, given.end)
