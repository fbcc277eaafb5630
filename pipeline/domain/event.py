"""Events: what happened, as the bytes that every receiver gets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from pipeline.domain.ids import item_id, webhook_id
from pipeline.domain.item import ItemState


class EventType(StrEnum):
    """Types as in Standard Webhooks: words joined by dots."""

    #: An item succeeded.
    ITEM_COMPLETED = "item.completed"
    #: An item is dead.
    ITEM_FAILED = "item.failed"
    #: An item was cancelled with its batch.
    ITEM_CANCELLED = "item.cancelled"
    #: Every item of the batch is final.
    BATCH_COMPLETED = "batch.completed"
    #: A delivery was given up; told to the batch's fallback URL.
    DELIVERY_EXHAUSTED = "delivery.exhausted"


#: What an item came to; the other types are about the batch or a delivery.
RESULTS = frozenset({EventType.ITEM_COMPLETED, EventType.ITEM_FAILED, EventType.ITEM_CANCELLED})


_TYPE_OF_STATE = {
    ItemState.SUCCEEDED: EventType.ITEM_COMPLETED,
    ItemState.DEAD: EventType.ITEM_FAILED,
    ItemState.CANCELLED: EventType.ITEM_CANCELLED,
}


def item_event_type(state: ItemState) -> EventType:
    return _TYPE_OF_STATE[state]


def body(event_type: EventType, at: datetime, data: Mapping[str, Any]) -> bytes:
    """Return the compact UTF-8 JSON `{"type", "timestamp", "data"}` of Standard Webhooks 1.0."""
    return orjson.dumps({"type": event_type, "timestamp": _written(at), "data": data}, option=orjson.OPT_UTC_Z)


def item_data(batch_id: str, seq: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as `body` takes it: one shape for webhooks, the command line and Python.

    `row` is the item's row; its `classification` and `enrichment` are JSON text, embedded as they are.
    """
    return {
        "batch_id": batch_id,
        "item_id": item_id(batch_id, row["position"]),
        "key": row["key"],
        "seq": seq,
        "state": row["state"],
        "label": row["label"],
        "confidence": row["confidence"],
        "classification": _embedded(row["classification"]),
        "enrichment": _embedded(row["enrichment"]),
        "error": _error(row),
        "attempts": row["attempts"],
        "timings": {name: _written(row[name]) for name in _TIMES},
    }


def batch_data(batch_id: str, seq: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of `batch.completed`."""
    names = ("state", "total", "succeeded", "dead", "cancelled")
    times = ("created_at", "started_at", "completed_at")
    return {
        "batch_id": batch_id,
        "seq": seq,
        **{name: row[name] for name in names},
        "timings": {name: instant(row[name]) for name in times},
    }


def exhausted_data(batch_id: str, seq: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of `delivery.exhausted`: what was given up and why, with the event that nobody took."""
    return {
        "batch_id": batch_id,
        "seq": seq,
        "webhook_id": webhook_id(batch_id, row["seq"]),
        "delivery_id": row["id"],
        "endpoint": row["origin"],
        "attempts": row["attempt"],
        "status": row["last_status"],
        "error": row["last_error"],
        "event": orjson.Fragment(row["body"]),
        "timings": {"created_at": instant(row["created_at"]), "finished_at": instant(row["finished_at"])},
    }


def data(body: bytes) -> dict[str, Any]:
    """Return the data of an event's body."""
    found: dict[str, Any] = orjson.loads(body)["data"]
    return found


def instant(at: datetime | None) -> str | None:
    """Return an instant as ISO 8601 in UTC, with microseconds and `Z`."""
    if at is None:
        return None
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def _written(at: datetime | None) -> datetime | str | None:
    """Return an instant as `body` writes it as `instant` does, by itself where that is the same and much quicker."""
    return at if at is not None and at.tzinfo is UTC and at.microsecond else instant(at)


_TIMES = ("created_at", "queued_at", "started_at", "classified_at", "finished_at")


def _embedded(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)


def _error(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["state"] == ItemState.SUCCEEDED or row["error_kind"] is None:
        return None
    return {name: row[f"error_{name}"] for name in ("kind", "type", "message", "stage")}
