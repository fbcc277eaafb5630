"""Episodes: one alert from the moment it fires until it is resolved."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

#: Prefix of every alert's public id.
ALERT_PREFIX = "alr_"


class AlertState(StrEnum):
    """Whether what an alert reports is still going on."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How urgent an alert is."""

    #: Somebody may want to know.
    INFO = "info"
    #: Something will go wrong if nobody looks at it.
    WARNING = "warning"
    #: Results are lost or late.
    ERROR = "error"
    #: Work stands still.
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Episode:
    """What an alert says when it fires.

    Args:
        name: of the rule or the guard.
        key: what it is about, such as `batch_stuck:42`. While an alert of this key fires, no other one opens.
        summary: one sentence with the figures, for people. No payload, no text of a user's exception.
        batch_id: the row id of a batch; None: it is about no batch.
        origin: of an endpoint or a channel; None: it is about none.
        value: the evidence, as JSON: figures, and where they apply `stage`, `guard`, `errors` and `items`.
    """

    name: str
    key: str
    severity: Severity
    summary: str
    batch_id: int | None = None
    origin: str | None = None
    value: Mapping[str, object] = field(default_factory=dict)


def new_alert_id() -> str:
    """Return a new public id of 80 random bits."""
    return ALERT_PREFIX + secrets.token_hex(10)
