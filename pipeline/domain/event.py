"""Events: what happened, encoded as the bytes that every receiver gets."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from pipeline.domain.ids import item_id, webhook_id
from pipeline.domain.item import ItemState


class EventType(StrEnum):
    """Event types in the style of Standard Webhooks: words joined by dots."""

    #: An item succeeded.
    ITEM_COMPLETED = "item.completed"
    #: An item is dead.
    ITEM_FAILED = "item.failed"
    #: An item was cancelled along with its batch.
    ITEM_CANCELLED = "item.cancelled"
    #: Every item of the batch is final.
    BATCH_COMPLETED = "batch.completed"
    #: A delivery was given up; sent to the batch's fallback URL.
    DELIVERY_EXHAUSTED = "delivery.exhausted"
    #: Every result of the batch is written to the target of an export.
    EXPORT_COMPLETED = "export.completed"
    #: A message of an intake cannot be an item; sent to the intake's `--reject-to`.
    ITEM_REJECTED = "item.rejected"


#: Event types that carry the result of an item; the others are about a batch or a delivery.
RESULT_TYPES = frozenset({EventType.ITEM_COMPLETED, EventType.ITEM_FAILED, EventType.ITEM_CANCELLED})

#: What the value of `data` follows in a stored event. Before it are a type and a time, which contain no quotes.
_DATA = b'"data":'

_TYPE_BY_STATE = {
    ItemState.SUCCEEDED: EventType.ITEM_COMPLETED,
    ItemState.DEAD: EventType.ITEM_FAILED,
    ItemState.CANCELLED: EventType.ITEM_CANCELLED,
}


def item_event_type(state: ItemState) -> EventType:
    """Return the type of the event that reports an item's final state."""
    return _TYPE_BY_STATE[state]


def encode_body(event_type: EventType, timestamp: datetime, data: Mapping[str, Any]) -> bytes:
    """Return the compact UTF-8 JSON `{"type", "timestamp", "data"}` of Standard Webhooks 1.0."""
    body = {"type": event_type, "timestamp": _serializable(timestamp), "data": data}
    return orjson.dumps(body, option=orjson.OPT_UTC_Z)


def item_data(batch_id: str, seq: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item's result as event data: the same shape for webhooks, the command line and Python.

    Args:
        row: the item's row; its `classification` and `enrichment` are JSON text, embedded unchanged.
    """
    return {
        "batch_id": batch_id,
        "item_id": item_id(batch_id, row["position"]),
        "key": row["key"],
        "seq": seq,
        "state": row["state"],
        "label": row["label"],
        "confidence": row["confidence"],
        "classification": _json_fragment(row["classification"]),
        "enrichment": _json_fragment(row["enrichment"]),
        "error": _error(row),
        "attempts": row["attempts"],
        "timings": {name: _serializable(row[name]) for name in _ITEM_TIMES},
    }


def batch_data(batch_id: str, seq: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of `batch.completed`."""
    names = ("state", "total", "succeeded", "dead", "cancelled")
    times = ("created_at", "started_at", "completed_at")
    return {
        "batch_id": batch_id,
        "seq": seq,
        **{name: row[name] for name in names},
        "timings": {name: format_timestamp(row[name]) for name in times},
    }


def exhausted_data(batch_id: str, seq: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of `delivery.exhausted`: which delivery was given up, why, and the event it carried."""
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
        "timings": {name: format_timestamp(row[name]) for name in ("created_at", "finished_at")},
    }


def export_data(batch_id: str, seq: int, row: Mapping[str, Any], manifest: str | None) -> dict[str, Any]:
    """Return the data of `export.completed`.

    Args:
        row: the export's row.
        manifest: where its manifest is; None: it is a table, which has none.
    """
    return {
        "batch_id": batch_id,
        "seq": seq,
        "export_id": row["id"],
        "target": row["target"],
        "completion": row["completions"],
        "manifest": manifest,
        "parts": row["parts"],
        "rows": row["rows"],
        "timings": {name: format_timestamp(row[name]) for name in ("created_at", "finished_at")},
    }


def rejected_data(batch_id: str, seq: int, intake: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of `item.rejected`: the message, and why it cannot be an item.

    Args:
        intake: the intake's row.
        row: the message's row; its `body` is text, or base64 with `encoding`.
    """
    return {
        "batch_id": batch_id,
        "seq": seq,
        "intake": intake["name"],
        "source": intake["source"],
        **{name: row[name] for name in ("partition", "offset", "message_id", "reason")},
        **_text_or_base64(row["body"]),
    }


def _text_or_base64(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body": b64encode(body).decode(), "encoding": "base64"}


def cut_data(body: bytes) -> bytes:
    """Return the value of `data` of a stored event, byte for byte: for the event of an item, its result."""
    return body[body.index(_DATA) + len(_DATA) : -1]


def with_payload(data: bytes, payload: str) -> bytes:
    """Return the JSON of a result with the item's payload added to it, as `payload`."""
    return b'%b,"payload":%b}' % (data[:-1], payload.encode())


def decode_data(body: bytes) -> dict[str, Any]:
    """Return the data of an event's body."""
    data: dict[str, Any] = orjson.loads(body)["data"]
    return data


def placeholder_values(body: bytes) -> dict[str, object]:
    """Return what may be filled into the URL of a message target: of `delivery.exhausted`, the event it carried."""
    event = orjson.loads(body)
    data = event["data"]
    inner = data.get("event", event)["data"]
    values = {"type": event["type"], "batch_id": data.get("batch_id")}
    return {**values, "state": inner.get("state"), "label": inner.get("label")}


def format_timestamp(timestamp: datetime | None) -> str | None:
    """Return an instant as ISO 8601 in UTC, with microseconds and `Z`."""
    if timestamp is None:
        return None
    in_utc = timestamp if timestamp.tzinfo is UTC else timestamp.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"


def _serializable(timestamp: datetime | None) -> datetime | str | None:
    """Return the datetime itself if orjson writes it as `format_timestamp` does, or else its text.

    Letting orjson write it is much faster, but orjson leaves out the fraction of whole seconds.
    """
    is_native = timestamp is not None and timestamp.tzinfo is UTC and timestamp.microsecond
    return timestamp if is_native else format_timestamp(timestamp)


_ITEM_TIMES = ("created_at", "queued_at", "started_at", "classified_at", "finished_at")


def _json_fragment(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)


def _error(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["state"] == ItemState.SUCCEEDED or row["error_kind"] is None:
        return None
    return {name: row[f"error_{name}"] for name in ("kind", "type", "message", "stage")}
