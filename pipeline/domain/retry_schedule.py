"""When to retry a failed delivery: retry schedules, and the receiver's `Retry-After`."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from pipeline.domain.bounds import shown
from pipeline.domain.did_you_mean import hint
from pipeline.errors import InvalidInput

#: Two early retries, so that a receiver's rolling restart costs only seconds; then the schedule of Standard Webhooks.
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
#: Five attempts in about a quarter of an hour, for results that somebody is waiting for or can read elsewhere.
SHORT_DELAYS = (timedelta(seconds=5), timedelta(seconds=30), timedelta(minutes=3), timedelta(minutes=10))
#: No delivery is retried later than this after its event, no matter what the schedule or the receiver says.
HORIZON = timedelta(days=4)
#: The horizon of the short schedule: a receiver's `Retry-After` is honored, but only within a day of the event.
SHORT_HORIZON = timedelta(days=1)
#: A longer `Retry-After` is capped at this.
MAX_RETRY_AFTER = timedelta(hours=24)

_RELATIVE_JITTER = 0.2
_MAX_JITTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Delays after attempts 1, 2, …. A delivery has one attempt more than there are delays; then it is dead.

    Jitter only lengthens a delay. It is uniform between zero and a fifth of the delay; that upper bound is at least
    `min_jitter` and at most 15 minutes.

    Args:
        horizon: age beyond which a delivery is not retried.
        min_jitter: lower limit of the jitter's upper bound, so that short delays are spread out too.
    """

    delays: tuple[timedelta, ...] = STANDARD_DELAYS
    horizon: timedelta = HORIZON
    min_jitter: timedelta = timedelta(seconds=2)
    rng: random.Random = field(default_factory=random.Random, compare=False, repr=False)

    def is_exhausted(self, attempt: int) -> bool:
        """Return whether attempt `attempt`, counted from 1, was the last."""
        return attempt > len(self.delays)

    def delay_after(self, attempt: int) -> timedelta:
        """Return the delay after attempt `attempt`; numbers out of range get the first or the last delay."""
        base = self.delays[min(max(attempt, 1), len(self.delays)) - 1] if self.delays else timedelta(0)
        jitter = min(max(base * _RELATIVE_JITTER, self.min_jitter), _MAX_JITTER)
        return base + jitter * self.rng.random()


#: Alerts: soon, and then every half hour for a day.
ALERT_DELAYS = (*STANDARD_DELAYS[:4], *(timedelta(minutes=30),) * 47)

#: The schedules that a batch or an endpoint may choose, by name.
SCHEDULES: Mapping[str, Schedule] = {
    "standard": Schedule(),
    "short": Schedule(delays=SHORT_DELAYS, horizon=SHORT_HORIZON),
}

#: Name of the schedule of alerts, which nobody chooses.
ALERTS = "alerts"
#: Every schedule by its name.
ALL_SCHEDULES: Mapping[str, Schedule] = {
    **SCHEDULES,
    ALERTS: Schedule(delays=ALERT_DELAYS, horizon=timedelta(days=1)),
}


def check_schedule(name: str) -> str:
    """Return `name` if it is the name of a schedule.

    Raises:
        InvalidInput: there is no schedule with that name.
    """
    if not isinstance(name, str) or name not in SCHEDULES:
        known = " or ".join(SCHEDULES)
        raise InvalidInput(f"there is no schedule {shown(name)}; choose {known}{hint(str(name), SCHEDULES)}")
    return name


def parse_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Return how long a `Retry-After` header asks to wait, or None if it is missing or unreadable.

    Accepts seconds and dates in any format that HTTP allows (RFC 9110 §5.6.7); fractions of a second, which HTTP does
    not allow, are rounded up. A date in the past means zero. The result is at most 24 hours.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return timedelta(seconds=math.ceil(min(float(text), MAX_RETRY_AFTER.total_seconds())))
    date = _parse_date(text)
    return None if date is None else min(max(date - now, timedelta(0)), MAX_RETRY_AFTER)


def _parse_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # The asctime format names no time zone; HTTP dates are in UTC.
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date
