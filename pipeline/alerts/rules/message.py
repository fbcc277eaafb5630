"""What is sent about an alert: one body, from which each format is made.

The body is stored once, and every attempt and every channel sends what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from pipeline.domain.event import format_timestamp

#: Errors and items that an alert names at most.
MOST_NAMED = 5
#: Keys of the evidence that stand beside it in the body.
_LIFTED = ("stage", "guard", "errors", "items")


class AlertEventType(StrEnum):
    """Types of events about alerts, in the style of Standard Webhooks."""

    FIRING = "alert.firing"
    RESOLVED = "alert.resolved"


def event_seq(id_: int, event_type: AlertEventType) -> int:
    """Return the `seq` of an event about the alert with this row id: its own number, so that none is used twice."""
    return 2 * id_ + (event_type is AlertEventType.RESOLVED)


def alert_body(row: Mapping[str, Any], event_type: AlertEventType, now: datetime, page_url: str | None) -> bytes:
    """Return the JSON `{"type", "timestamp", "data"}` about an alert.

    Args:
        row: an alert, with `batch` and `definition`.
        page_url: where people reach the web page; None: no link.
    """
    data = alert_data(row, page_url)
    if event_type is AlertEventType.FIRING:
        # It may be resolved already; that is what the next event says.
        data |= {"resolved_at": None, "reason": None}
    return orjson.dumps({"type": event_type.value, "timestamp": format_timestamp(now), "data": data})


def alert_data(row: Mapping[str, Any], page_url: str | None = None) -> dict[str, Any]:
    """Return an alert as callers see it: the same in webhooks, in JSON of the command line, and over HTTP."""
    value = orjson.loads(row["value"])
    lifted = {name: value.pop(name, None) for name in _LIFTED}
    return {
        "alert_id": row["public_id"],
        "name": row["name"],
        "key": row["key"],
        "severity": row["severity"],
        "summary": row["summary"],
        "batch_id": row["batch"],
        "definition": row["definition"],
        "endpoint": row["origin"],
        "guard": lifted["guard"],
        "stage": lifted["stage"],
        "value": value,
        "errors": (lifted["errors"] or [])[:MOST_NAMED],
        "items": (lifted["items"] or [])[:MOST_NAMED],
        "opened_at": format_timestamp(row["opened_at"]),
        "resolved_at": format_timestamp(row["resolved_at"]),
        "reason": row["reason"],
        "url": _page(page_url, row["batch"]),
    }


def _page(page_url: str | None, batch: str | None) -> str | None:
    if page_url is None:
        return None
    base = page_url.rstrip("/")
    return f"{base}/ui" if batch is None else f"{base}/ui/batches/{batch}"
