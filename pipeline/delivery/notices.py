"""Log notices about endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.delivery.rules.notice import Notice, NoticeType
from pipeline.log import get_logger

log = get_logger(__name__)


def tell(noticed: Sequence[Notice]) -> None:
    """Log notices. Call it after the transaction that stored them has committed."""
    for notice in noticed:
        _tell(notice)


def _tell(notice: Notice) -> None:
    fields = {
        "origin": notice.origin,
        "detail": notice.detail,
        **({} if notice.actor is None else {"actor": notice.actor}),
    }
    match notice.type:
        case NoticeType.DISABLED:
            log.warning("endpoint_disabled", **fields)
        case NoticeType.ENABLED:
            log.info("endpoint_enabled", **fields)
        case NoticeType.FAILING:
            log.warning("endpoint_failing", **fields)
        case NoticeType.OPENED:
            log.warning("endpoint_opened", **fields)
        case NoticeType.RECOVERED:
            log.info("endpoint_recovered", **fields)
        case _:
            _tell_at_once(notice.type, fields)


def _tell_at_once(notice_type: NoticeType, fields: Mapping[str, str | None]) -> None:
    """Log what an operator has to mend before anything can be sent."""
    match notice_type:
        case NoticeType.AUTH_REFUSED:
            log.warning("endpoint_auth_refused", **fields)
        case NoticeType.BLOCKED:
            log.warning("endpoint_blocked", **fields)
        case NoticeType.UNUSABLE:
            log.warning("endpoint_unusable", **fields)
