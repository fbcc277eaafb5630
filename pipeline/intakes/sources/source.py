"""What an intake asks of a source."""

from __future__ import annotations

from typing import Protocol

from pipeline.intakes.rules.messages import Chunk


class Gap(Exception):
    """Messages were deleted before they were read. The next call goes on with those that are left."""

    def __init__(self, start: str, end: str) -> None:
        super().__init__(f"messages from {start} to {end} were deleted before they were read")
        self.start, self.end = start, end


class SourceRestarted(Exception):
    """The source was made anew: its offsets begin again below what is accepted."""


class MessageSource(Protocol):
    """An open source, used by one thread.

    Attributes:
        first: the offset below every message.
        partitions: of a source with offsets, which one process reads at a time; none in a source that is shared.

    Every method raises `SourceUnavailable` if the server does not answer. After that, only `close` may be called.
    """

    first: str
    partitions: tuple[str, ...]

    def latest(self, partition: str) -> str:
        """Return the offset behind the last message."""

    def seek(self, partition: str, offset: str) -> None:
        """Go on reading at an offset."""

    def take(self, limit: int, seconds: float) -> Chunk:
        """Return up to `limit` messages; none after so many seconds without one.

        Raises:
            Gap, SourceRestarted
        """

    def confirm(self) -> None:
        """Tell the source that what was taken is accepted."""

    def put_back(self) -> None:
        """Give back what was taken: it was not accepted."""

    def close(self) -> None:
        """Disconnect. What is not confirmed is delivered again."""
