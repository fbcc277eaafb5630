"""The state of an endpoint, in one word: the first one that applies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.delivery.rules.breaker import BreakerState
from pipeline.delivery.rules.health import Health


class EndpointState(StrEnum):
    """The state of an endpoint."""

    #: It is not called; its deliveries are paused.
    DISABLED = "disabled"
    #: Its secrets or headers cannot be decrypted here, so nothing is sent from here.
    LOCKED = "locked"
    #: Its breaker is open: it is not called for a while, or probed with one delivery.
    OPEN = "open"
    #: It asked senders to wait.
    THROTTLED = "throttled"
    #: It is called, but has accepted nothing since its last failure.
    FAILING = "failing"
    #: No problem is known.
    OK = "ok"


#: States in which callbacks are not sent.
NOT_CALLED = frozenset({EndpointState.DISABLED, EndpointState.OPEN, EndpointState.THROTTLED})


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of an endpoint, with its reason.

    Args:
        since: when the state began, if known.
        until: when the endpoint is called again, if it is not being called.
        reason: why, if there is a reason.
    """

    state: EndpointState
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None


def condition(
    health: Health, now: datetime, *, disabled: tuple[datetime, str | None] | None = None, locked: str | None = None
) -> Condition:
    """Return the state of an endpoint at `now`.

    Args:
        disabled: when and why it was disabled.
        locked: why its secrets or headers cannot be decrypted.
    """
    if disabled is not None:
        return Condition(EndpointState.DISABLED, since=disabled[0], reason=disabled[1])
    if locked is not None:
        return Condition(EndpointState.LOCKED, reason=locked)
    if health.breaker.state is not BreakerState.CLOSED:
        return Condition(EndpointState.OPEN, since=health.failing_since, until=health.breaker.open_until)
    if health.not_before is not None and health.not_before > now:
        return Condition(EndpointState.THROTTLED, until=health.not_before)
    if health.failing_since is not None:
        return Condition(EndpointState.FAILING, since=health.failing_since)
    return Condition(EndpointState.OK)
