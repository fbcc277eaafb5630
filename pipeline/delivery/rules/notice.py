"""Notices: what happened to an endpoint, for the people who answer for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NoticeType(StrEnum):
    """What a notice is about."""

    #: It has taken nothing for an hour, a day, three days.
    FAILING = "endpoint.failing"
    #: Its breaker opened: it is left alone for a while.
    OPENED = "endpoint.opened"
    #: It takes deliveries again.
    RECOVERED = "endpoint.recovered"
    #: It is not called any more; what it is owed is paused.
    DISABLED = "endpoint.disabled"
    #: A person had it called again.
    ENABLED = "endpoint.enabled"
    #: A delivery was not sent: its address is refused.
    BLOCKED = "endpoint.blocked"
    #: A delivery was not sent: its URL cannot be used.
    UNUSABLE = "endpoint.unusable"


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice; `detail` is a sentence without addresses or content."""

    origin: str
    type: NoticeType
    at: datetime
    detail: str | None = None
