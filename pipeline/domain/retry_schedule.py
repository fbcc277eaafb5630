"""When a failed delivery is tried again: the schedule, and what a receiver asks for."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput

#: Two early steps, so that a receiver's rolling restart costs seconds; then the tail of Standard Webhooks.
STANDARD_DELAYS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
#: Five attempts in about a quarter of an hour, for results that somebody waits for or can read elsewhere.
SHORT_DELAYS = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=3), timedelta(minutes=10))
#: No delivery is tried later than this after its event, whatever the schedule or the receiver says.
HORIZON = timedelta(days=4)
#: The same of the short schedule: a receiver that asks to wait is waited for, but not beyond the day.
SHORT_HORIZON = timedelta(days=1)
#: A receiver may ask for this much at the most.
LONGEST_RETRY_AFTER = timedelta(hours=24)

_RELATIVE_JITTER = 0.2
_LONGEST_JITTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Delays after attempts 1, 2, …; after one more than there are delays a delivery is dead.

    Jitter only adds: uniform, up to a fifth of the delay, or to `spread` where that is more, or to 15 minutes where
    that is less.

    Args:
        horizon: age of a delivery beyond which it is not tried again.
        spread: least range of the jitter, so that short delays spread as well.
    """

    delays: tuple[timedelta, ...] = STANDARD_DELAYS
    horizon: timedelta = HORIZON
    spread: timedelta = timedelta(seconds=2)
    rng: random.Random = field(default_factory=random.Random, compare=False, repr=False)

    def is_exhausted(self, attempt: int) -> bool:
        """Say whether attempt `attempt`, counted from 1, was the last."""
        return attempt > len(self.delays)

    def after(self, attempt: int) -> timedelta:
        """Return the delay after attempt `attempt`; before the first step the first's, beyond the last the last's."""
        base = self.delays[min(max(attempt, 1), len(self.delays)) - 1] if self.delays else timedelta(0)
        widest = min(max(base * _RELATIVE_JITTER, self.spread), _LONGEST_JITTER)
        return base + widest * self.rng.random()


#: The schedules that a batch or an endpoint may name.
SCHEDULES: Mapping[str, Schedule] = {
    "standard": Schedule(),
    "short": Schedule(delays=SHORT_DELAYS, horizon=SHORT_HORIZON),
}


def check_schedule(name: str) -> str:
    """Return the name of a schedule.

    Raises:
        InvalidInput: there is none of that name.
    """
    if name not in SCHEDULES:
        known = " or ".join(SCHEDULES)
        raise InvalidInput(f"there is no schedule {name!r}; it is {known}{hint(name, SCHEDULES)}")
    return name


def parse_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Return how long a `Retry-After` header asks to wait: seconds, or a date in any form HTTP knows.

    None where it says nothing usable; a date that is past says zero; never more than 24 hours.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return timedelta(seconds=math.ceil(min(float(text), LONGEST_RETRY_AFTER.total_seconds())))
    at = _date(text)
    return None if at is None else min(max(at - now, timedelta(0)), LONGEST_RETRY_AFTER)


def _date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # asctime's form names no zone; HTTP dates are in UTC.
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at
