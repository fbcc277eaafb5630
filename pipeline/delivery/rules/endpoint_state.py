"""How an endpoint is, in one word for people: the first that holds of several."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.delivery.rules.breaker import BreakerState
from pipeline.delivery.rules.health import Health


class EndpointState(StrEnum):
    """What can be said of an endpoint."""

    #: It is not called any more; what it is owed is paused.
    DISABLED = "disabled"
    #: Its secrets or headers cannot be read here; nothing is sent from here.
    LOCKED = "locked"
    #: It failed too often and is left alone for a while, or tried with one delivery.
    OPEN = "open"
    #: It asked not to be called for a while.
    THROTTLED = "throttled"
    #: It is called, and has taken nothing since its last failure.
    FAILING = "failing"
    #: Nothing is known against it.
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Condition:
    """How an endpoint is.

    Args:
        since: when that began, where it is known.
        until: when it is called again, where it is left alone.
        reason: why, where there is one.
    """

    state: EndpointState
    since: datetime | None = None
    until: datetime | None = None
    reason: str | None = None


def condition(
    health: Health, now: datetime, *, disabled: tuple[datetime, str | None] | None = None, locked: str | None = None
) -> Condition:
    """Say how an endpoint is at the instant `now`.

    Args:
        disabled: since when, and why.
        locked: why what it has of its own cannot be read.
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
