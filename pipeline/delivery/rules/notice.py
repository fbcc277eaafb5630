"""Notices: what happened to an endpoint, for its operators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class NoticeType(StrEnum):
    """The type of a notice."""

    #: It has accepted nothing for an hour, a day, three days.
    FAILING = "endpoint.failing"
    #: Its breaker opened: it is not called for a while.
    OPENED = "endpoint.opened"
    #: It accepts deliveries again.
    RECOVERED = "endpoint.recovered"
    #: It is not called any more; its deliveries are paused.
    DISABLED = "endpoint.disabled"
    #: A user enabled it again.
    ENABLED = "endpoint.enabled"
    #: A delivery was not sent because its address is refused.
    BLOCKED = "endpoint.blocked"
    #: A delivery was not sent because its URL is invalid, or this deployment lacks its connection or its client.
    UNUSABLE = "endpoint.unusable"
    #: A message target refused the user name, the password or the right to send.
    AUTH_REFUSED = "endpoint.auth_refused"


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice.

    Args:
        detail: a sentence without addresses or content.
        actor: who did it; None: pipeline.
    """

    origin: str
    type: NoticeType
    at: datetime
    detail: str | None = None
    actor: str | None = None
