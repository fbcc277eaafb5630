"""Which results a part has: a range of the batch's log, closed by rows, bytes, time or the end of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pipeline.domain.urls.export_target import ExportOptions


class LogEntry(NamedTuple):
    """One event of the log, without its body.

    Args:
        size: bytes that it adds to a part.
        is_result: whether it is a row of an export.
    """

    seq: int
    size: int
    is_result: bool
    created_at: datetime


@dataclass(slots=True)
class OpenRange:
    """A range that is measured while the log grows. What it holds was read once, and is not read again.

    Args:
        first_seq: where it begins.
        last_seq: up to where the log was measured; below `first_seq`: not at all yet.
        rows: results in it.
        began_at: when its first result was recorded.
    """

    first_seq: int
    last_seq: int
    rows: int = 0
    bytes: int = 0
    began_at: datetime | None = None

    @classmethod
    def starting_at(cls, seq: int) -> OpenRange:
        """Return an empty range."""
        return cls(seq, seq - 1)

    def add(self, entry: LogEntry, options: ExportOptions) -> bool:
        """Add the next event of the log. Return whether the range is full with it."""
        self.last_seq = entry.seq
        if not entry.is_result:
            return False
        self.rows += 1
        self.bytes += entry.size
        self.began_at = self.began_at or entry.created_at
        return self.is_full(options)

    def is_full(self, options: ExportOptions) -> bool:
        """Return whether nothing more may be added."""
        return self.rows >= options.rows or self.bytes >= options.bytes

    def is_due(self, options: ExportOptions, now: datetime) -> bool:
        """Return whether the range has waited long enough, by the clock: no further result need come for that."""
        if not options.seconds or self.began_at is None:
            return False
        return now - self.began_at >= timedelta(seconds=options.seconds)
