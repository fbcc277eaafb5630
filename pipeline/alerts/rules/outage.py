"""When a service that does not answer is out, and when it is back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OutageChange(StrEnum):
    """What a check changes."""

    #: It has not answered for so long that it is out.
    BEGAN = "began"
    #: It answers again.
    ENDED = "ended"


@dataclass(slots=True)
class Outage:
    """Follows whether a service answers.

    Args:
        answered_at: seconds of a monotonic clock at which it answered last.
    """

    answered_at: float
    is_out: bool = False

    def answered(self, at: float) -> None:
        """Note that it answered."""
        self.answered_at = max(self.answered_at, at)

    def silent_for(self, at: float) -> float:
        """Return for how many seconds it has not answered."""
        return at - self.answered_at

    def check(self, at: float, after_seconds: float, asked_every: float) -> OutageChange | None:
        """Return what changes.

        Args:
            asked_every: seconds between two questions: without an answer for less, it was not asked.
        """
        silent = self.silent_for(at)
        if not self.is_out and silent >= max(after_seconds, 2 * asked_every):
            self.is_out = True
            return OutageChange.BEGAN
        if self.is_out and silent < 2 * asked_every:
            self.is_out = False
            return OutageChange.ENDED
        return None
