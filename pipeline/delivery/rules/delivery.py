"""Deliveries: one event owed to one URL, what an attempt was answered, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pipeline.delivery.rules.credentials import Credentials
from pipeline.domain.retry_schedule import Schedule, parse_retry_after


class DeliveryState(StrEnum):
    """Where a delivery is. `pending → sending → delivered | pending again | dead`."""

    #: Waits in SQL; may be sent from `due_at` on.
    PENDING = "pending"
    #: Claimed by a sender under a lease; when the lease ends it is pending again.
    SENDING = "sending"
    #: The receiver answered 2xx. Final.
    DELIVERED = "delivered"
    #: Given up, with the code of its last failure; a person may replay it. Final.
    DEAD = "dead"
    #: Its endpoint is disabled; pending again when the endpoint is enabled.
    PAUSED = "paused"
    #: No longer owed. Final.
    CANCELLED = "cancelled"


class AttemptOutcome(StrEnum):
    """What an attempt at a delivery came to."""

    #: The receiver answered 2xx.
    SUCCEEDED = "succeeded"
    #: Failed; tried again by the schedule.
    RETRY = "retry"
    #: The receiver asked to wait; tried again, the attempt is not counted.
    SNOOZED = "snoozed"
    #: Failed; not tried again.
    DEAD = "dead"


class DisabledReason(StrEnum):
    """Why an endpoint is not called any more."""

    #: It answered 410.
    GONE = "gone"
    #: It answered with `webhook-delivery: disable`.
    RECEIVER_REQUEST = "receiver_request"
    #: It has taken nothing for days.
    FAILING = "failing"
    #: A person asked for it.
    MANUAL = "manual"


#: Pause of an endpoint that answers 429 without saying how long.
THROTTLE_PAUSE = timedelta(seconds=60)
#: The least pause of one that answers 429. At none, everything owed to it would be sent again and again, uncounted.
LEAST_PAUSE = timedelta(seconds=1)
#: An overloaded receiver is left alone for at least this long.
OVERLOAD_PAUSE = timedelta(seconds=60)
#: Retries of a delivery whose address is refused: a name may be corrected, a deployment's rule seldom changes.
BLOCKED_RETRIES = 3

#: Of an attempt that a person asked for.
MANUAL = "manual"
#: Codes that decisions depend on; the others only describe.
TIMEOUT, BLOCKED, UNUSABLE, INTERNAL = "timeout", "ssrf_blocked", "config_error", "internal_error"
#: Code of a delivery that grew too old while its endpoint was left alone: no attempt was made.
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Owed:
    """A claimed request: one delivery, or a bundle of several, what to send, and where.

    Args:
        schedule: name of the schedule of its retries; None: the sender's.
        is_probe: its answer decides whether the endpoint's breaker closes.
        replays: of the attempts, those by request; they do not spend what the schedule allows.
        trigger: `manual` for an attempt by request.
        bundle_id: of deliveries that travel together; None for one alone.
        count: how many deliveries these are.
        credentials: what its endpoint has of its own; None: nothing.
    """

    id: int
    url: str
    origin: str
    attempt: int
    webhook_id: str
    body: bytes
    created_at: datetime
    schedule: str | None = None
    is_probe: bool = False
    replays: int = 0
    trigger: str | None = None
    bundle_id: int | None = None
    count: int = 1
    credentials: Credentials | None = None

    @property
    def spent(self) -> int:
        """Attempts that count against the schedule, this one included."""
        return self.attempt - self.replays

    def __repr__(self) -> str:
        return f"Owed(id={self.id}, origin={self.origin!r}, attempt={self.attempt})"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: an HTTP status, or the code of what went wrong before there was one.

    Args:
        retry_after: the header of that name, as received.
        control: the header `webhook-delivery`: `disable` or `abort-message`.
        location: host that a redirect names.
        text: how the body begins.
    """

    status: int | None = None
    error: str | None = None
    retry_after: str | None = None
    control: str | None = None
    location: str | None = None
    text: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status <= 299

    @property
    def is_plain_success(self) -> bool:
        """A success by which the receiver asks for nothing."""
        return self.is_success and self.control is None

    @property
    def is_overload(self) -> bool:
        """Fewer requests at a time would help: a gateway gave up, or nothing came within the deadline."""
        return self.status in (502, 504) or self.error == TIMEOUT

    @property
    def code(self) -> str | None:
        """The failure in one word, `http_503` or `connection_refused`; None for a success."""
        return None if self.is_success else self.error or f"http_{self.status}"


@dataclass(frozen=True, slots=True)
class Sent:
    """An attempt that is over."""

    owed: Owed
    answer: Answer
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from an attempt.

    Args:
        delay: time from the attempt's end to the next; only where the delivery is pending again.
        pause: the whole endpoint is not called for this long.
        disable: the endpoint is not called any more, and why.
    """

    state: DeliveryState
    outcome: AttemptOutcome
    delay: timedelta | None = None
    pause: timedelta | None = None
    disable: DisabledReason | None = None


# What nearly every answer comes to.
_DELIVERED = Decision(DeliveryState.DELIVERED, AttemptOutcome.SUCCEEDED)


def decide(sent: Sent, schedule: Schedule) -> Decision:
    """Say what follows from an attempt. `owed.spent` counts from 1 and includes this one, unless it is by request."""
    answer = sent.answer
    if answer.is_plain_success:
        return _DELIVERED
    disable = _disables(answer)
    if answer.is_success:
        return Decision(DeliveryState.DELIVERED, AttemptOutcome.SUCCEEDED, disable=disable)
    if disable or _is_terminal(answer, sent.owed.spent):
        return Decision(DeliveryState.DEAD, AttemptOutcome.DEAD, disable=disable)
    return _retry(sent, schedule)


def _retry(sent: Sent, schedule: Schedule) -> Decision:
    left = schedule.horizon - (sent.ended_at - sent.owed.created_at)
    asked = parse_retry_after(sent.answer.retry_after, sent.ended_at)
    pause = _pause(sent.answer, asked)
    # Asked to wait beyond the horizon, the last attempt is made at the horizon.
    wait = min(max(asked or timedelta(0), pause or timedelta(0)), max(left, timedelta(0)))
    floor = OVERLOAD_PAUSE if sent.answer.is_overload else timedelta(0)
    delay = max(schedule.after(sent.owed.spent), floor, wait)
    exhausted = pause is None and schedule.is_exhausted(sent.owed.spent)
    if exhausted or left <= timedelta(0) or delay > left:
        return Decision(DeliveryState.DEAD, AttemptOutcome.DEAD, pause=pause)
    outcome = AttemptOutcome.RETRY if pause is None else AttemptOutcome.SNOOZED
    return Decision(DeliveryState.PENDING, outcome, delay=delay, pause=pause)


def _disables(answer: Answer) -> DisabledReason | None:
    if answer.status == 410:
        return DisabledReason.GONE
    return DisabledReason.RECEIVER_REQUEST if answer.control == "disable" else None


def _is_terminal(answer: Answer, attempt: int) -> bool:
    if answer.error == BLOCKED:
        return attempt > BLOCKED_RETRIES
    return answer.error == UNUSABLE or answer.control == "abort-message"


def _pause(answer: Answer, asked: timedelta | None) -> timedelta | None:
    """Return how long the whole endpoint asked to be left alone; None where it did not."""
    if answer.status == 429:
        return THROTTLE_PAUSE if asked is None else max(asked, LEAST_PAUSE)
    # No time at all, or one that is past, is no wish to be left alone.
    return (asked or None) if answer.status == 503 else None
