"""Exponential backoff with full jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay after attempt n: uniform in [0, min(cap, base · 2^(n-1))].

    This is "full jitter" from Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    base: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(minutes=5)
    rng: random.Random = field(default_factory=random.Random, compare=False, repr=False)

    def ceiling(self, attempt: int) -> timedelta:
        """Return the longest possible delay after attempt `attempt`, counted from 1."""
        # Bounding the exponent keeps the product finite; the bound is far beyond any cap.
        seconds = self.base.total_seconds() * 2.0 ** min(attempt - 1, 100)
        return timedelta(seconds=min(self.cap.total_seconds(), seconds))

    def delay_after(self, attempt: int, *, retry_after: float | None = None) -> timedelta:
        """Return a random delay after attempt `attempt`; `retry_after`, in seconds, is added to it."""
        delay = self.ceiling(attempt) * self.rng.random()
        if retry_after is None:
            return delay
        return timedelta(seconds=max(retry_after, 0)) + delay
