"""Deliveries: one event owed to one URL, the answer to an attempt, and what happens next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pipeline.delivery.rules.credentials import Credentials
from pipeline.domain.retry_schedule import Schedule, parse_retry_after


class DeliveryState(StrEnum):
    """The state of a delivery: `pending → sending → delivered | pending again | dead`."""

    #: Waits; may be sent from `due_at` on.
    PENDING = "pending"
    #: Claimed by a sender under a lease. Pending again when the lease ends.
    SENDING = "sending"
    #: The receiver answered 2xx. Final.
    DELIVERED = "delivered"
    #: Given up, with the code of its last failure. Final until replayed.
    DEAD = "dead"
    #: Its endpoint is disabled; pending again when the endpoint is enabled.
    PAUSED = "paused"
    #: No longer owed. Final.
    CANCELLED = "cancelled"


class AttemptOutcome(StrEnum):
    """The outcome of an attempt."""

    #: The receiver answered 2xx.
    SUCCEEDED = "succeeded"
    #: Failed; retried by the schedule.
    RETRY = "retry"
    #: The receiver asked to wait; retried without counting the attempt.
    SNOOZED = "snoozed"
    #: Failed; not retried.
    DEAD = "dead"


class DisabledReason(StrEnum):
    """Why an endpoint is disabled."""

    #: It answered 410.
    GONE = "gone"
    #: It answered with `webhook-delivery: disable`.
    RECEIVER_REQUEST = "receiver_request"
    #: It has accepted nothing for days.
    FAILING = "failing"
    #: A user disabled it.
    MANUAL = "manual"


#: Pause of an endpoint that answers 429 without `Retry-After`.
THROTTLE_PAUSE = timedelta(seconds=60)
#: Minimum pause after a 429. Without one, `Retry-After: 0` would resend everything in a loop, uncounted.
LEAST_PAUSE = timedelta(seconds=1)
#: Minimum delay after an answer that shows overload.
OVERLOAD_PAUSE = timedelta(seconds=60)
#: Retries of a delivery whose address is refused: DNS may be corrected, but a deployment's rules seldom change.
BLOCKED_RETRIES = 3

#: Trigger of an attempt that a user requested.
MANUAL = "manual"
#: Codes that decisions depend on. Other codes are descriptive.
TIMEOUT, BLOCKED, UNUSABLE, INTERNAL = "timeout", "ssrf_blocked", "config_error", "internal_error"
#: Codes of message targets that decisions depend on: it asked to wait; the message can never be taken there.
THROTTLED, TOO_LARGE, REJECTED = "throttled", "too_large", "rejected"
#: The target refused the user name, the password or the right to send.
AUTH_REFUSED = "auth_refused"
#: What is about one route of a target, not about the target: no queue is bound there, no such exchange, topic, stream.
UNROUTABLE, TARGET_MISSING = "unroutable", "target_missing"
#: This process cannot send there: it lacks the connection, one of its variables, or the client of the protocol.
CONNECTION_MISSING, CLIENT_MISSING = "connection_missing", "client_missing"
#: Code of a delivery that became too old while its endpoint was not called: no attempt was made.
EXPIRED = "expired"


def is_target(origin: str) -> bool:
    """Return whether an endpoint is a message target, not a receiver of webhooks."""
    return not origin.startswith(("http:", "https:"))


def is_alert_channel(origin: str) -> bool:
    """Return whether an endpoint is a channel of alerts, which is never disabled."""
    return origin.startswith("alert:")


@dataclass(frozen=True, slots=True)
class Owed:
    """A claimed request: one delivery, or a bundle of several.

    Args:
        id: of the delivery; of a bundle, that of its first delivery.
        attempt: number of this attempt, from 1.
        schedule: name of its retry schedule; None: the sender's.
        is_probe: whether its answer decides if the endpoint's breaker closes.
        replays: how many of the attempts users requested; these do not count against the schedule.
        trigger: `manual` if a user requested this attempt.
        bundle_id: id of the bundle; None for a single delivery.
        count: number of deliveries in it.
        credentials: the endpoint's credentials; None if it has none.
        is_preclaimed: whether it was inserted as claimed, so that no claim has looked at its endpoint.
        in_flight_cap: of the endpoint, if the request is preclaimed and the endpoint has one.
        lease_until: when another sender may take it; None: not known.
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
    is_preclaimed: bool = False
    in_flight_cap: int | None = None
    lease_until: datetime | None = None

    @property
    def spent(self) -> int:
        """Attempts that count against the schedule, including this one."""
        return self.attempt - self.replays

    def __repr__(self) -> str:
        return f"Owed(id={self.id}, origin={self.origin!r}, attempt={self.attempt})"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an attempt: an HTTP status, or the code of a failure before there was one.

    Args:
        status: HTTP status; 202 if a message target has acknowledged the message.
        error: code of the failure.
        retry_after: the `Retry-After` header, as received.
        control: the `webhook-delivery` header: `disable` or `abort-message`.
        location: host of a redirect.
        text: beginning of the body; of a message target, what it says about the message.
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
        """A success with which the receiver requests nothing else."""
        return self.is_success and self.control is None

    @property
    def is_overload(self) -> bool:
        """The endpoint is overloaded: a gateway gave up, or there was no answer within the deadline."""
        return self.status in (502, 504) or self.error == TIMEOUT

    @property
    def is_for_endpoint(self) -> bool:
        """It concerns all requests to the endpoint: overload, a request to wait, or to send no more."""
        is_asking = self.control is not None or self.status in (410, 429, 503) or self.error == THROTTLED
        return self.is_overload or is_asking

    @property
    def code(self) -> str | None:
        """The code of the failure, such as `http_503` or `connection_refused`; None for a success."""
        return None if self.is_success else self.error or f"http_{self.status}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A finished attempt."""

    owed: Owed
    answer: Answer
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens after an attempt.

    Args:
        delay: time from the end of the attempt to the next one, if the delivery is pending again.
        pause: how long the whole endpoint is not called.
        disable: why the endpoint is disabled, if it is.
    """

    state: DeliveryState
    outcome: AttemptOutcome
    delay: timedelta | None = None
    pause: timedelta | None = None
    disable: DisabledReason | None = None


# The decision for nearly every answer.
_DELIVERED = Decision(DeliveryState.DELIVERED, AttemptOutcome.SUCCEEDED)


def decide(sent: Sent, schedule: Schedule) -> Decision:
    """Decide what happens after an attempt.

    `owed.spent` counts from 1 and includes this attempt, unless a user requested it.
    """
    answer = sent.answer
    if answer.is_plain_success:
        return _DELIVERED
    # The channel is the operator's: what it answers today, it may not answer tomorrow.
    disable = None if is_alert_channel(sent.owed.origin) else _disables(answer)
    if answer.is_success:
        return Decision(DeliveryState.DELIVERED, AttemptOutcome.SUCCEEDED, disable=disable)
    if disable or _is_terminal(answer, sent.owed.spent):
        return Decision(DeliveryState.DEAD, AttemptOutcome.DEAD, disable=disable)
    return _retry(sent, schedule)


def _retry(sent: Sent, schedule: Schedule) -> Decision:
    left = schedule.horizon - (sent.ended_at - sent.owed.created_at)
    asked = parse_retry_after(sent.answer.retry_after, sent.ended_at)
    pause = _pause(sent.answer, asked)
    # If asked to wait beyond the horizon, make the last attempt at the horizon.
    wait = min(max(asked or timedelta(0), pause or timedelta(0)), max(left, timedelta(0)))
    floor = OVERLOAD_PAUSE if sent.answer.is_overload else timedelta(0)
    delay = max(schedule.delay_after(sent.owed.spent), floor, wait)
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
    return answer.error in (UNUSABLE, TOO_LARGE, REJECTED) or answer.control == "abort-message"


def _pause(answer: Answer, asked: timedelta | None) -> timedelta | None:
    """Return how long the whole endpoint asked not to be called; None if it did not."""
    if answer.error == THROTTLED:
        return LEAST_PAUSE
    if answer.status == 429:
        return THROTTLE_PAUSE if asked is None else max(asked, LEAST_PAUSE)
    # Zero, or a date in the past, is not a request to wait.
    return (asked or None) if answer.status == 503 else None
