"""What an intake asks of a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import InvalidSettings
from pipeline.intakes.rules.messages import Chunk


class Gap(Exception):
    """Messages were deleted before they were read. The next call goes on with those that are left."""

    def __init__(self, start: str, end: str) -> None:
        super().__init__(f"messages from {start} to {end} were deleted before they were read")
        self.start, self.end = start, end


class SourceRestarted(Exception):
    """The source was made anew: its offsets begin again below what is accepted."""


class SourceMissing(InvalidSettings):
    """There is no such queue, stream or topic on the server. The message names it."""


@dataclass(frozen=True, slots=True)
class IntakeReader:
    """Who reads a source.

    Args:
        name: of the intake; servers that share messages among processes know those by it.
        chunk: messages that are taken at once, at most.
        begins_at_end: whether messages that were there before the intake are left out.
    """

    name: str
    chunk: int
    begins_at_end: bool = False


class MessageSource(Protocol):
    """An open source, used by one thread.

    Attributes:
        is_exclusive: whether one process reads it at a time, under a lease.
        unplaced: the partitions of a source with offsets that this process is to read and that wait for `seek`. None of
            their messages is taken before. After `put_back` and `keep_alive`, all of them may be among these again.
        is_drained: whether nothing was there when `take` returned nothing. A source that is still looking is not.

    Every method raises `SourceUnavailable` if the server does not answer. After that, only `close` may be called.
    """

    is_exclusive: bool

    @property
    def unplaced(self) -> Sequence[str]: ...

    @property
    def is_drained(self) -> bool: ...

    def ends(self) -> dict[str, str]:
        """Return the offset behind the last message of every partition, also of those that other processes read."""

    def earliest(self, partition: str) -> str:
        """Return the offset below every message of a partition."""

    def seek(self, partition: str, offset: str) -> None:
        """Read a partition from an offset on."""

    def take(self, limit: int, seconds: float) -> Chunk:
        """Return up to `limit` messages; none after so many seconds without one.

        Raises:
            Gap, SourceRestarted
            SourceMissing: it was deleted.
        """

    def keep_alive(self) -> None:
        """Stay connected, instead of `take`: nothing may be taken now."""

    def confirm(self) -> None:
        """Tell the source that what was taken is accepted."""

    def put_back(self) -> None:
        """Give back what was taken: it was not accepted."""

    def backlog(self, positions: Mapping[str, str]) -> int | None:
        """Return how many messages are not accepted yet, about; None: the server does not tell.

        Args:
            positions: up to where each partition is accepted.
        """

    def close(self) -> None:
        """Disconnect. What is not confirmed is delivered again."""
