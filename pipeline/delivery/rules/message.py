"""The message that a target gets for a delivery: the event's bytes, and headers that say what they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.delivery import Owed

CONTENT_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class TargetMessage:
    """A message, whatever the protocol.

    Args:
        id: the `webhook-id`: the same for every attempt and replay.
        dedupe_id: what brokers tell duplicates by: the id, and for an attempt that a person asked for its number, since
            a broker would drop that attempt otherwise.
        body: the bytes that a webhook would get.
        headers: `webhook-…`, `content-type`, and those of the endpoint.
        event: the attributes of CloudEvents 1.0, without the prefix that each protocol gives them.
        batch_id: whose event it is; empty if it is of no batch.
        item_key: the item's key, or its id; the batch's id for other events.
        at: when the attempt began.
    """

    id: str
    dedupe_id: str
    body: bytes
    headers: Mapping[str, str]
    event: Mapping[str, str]
    batch_id: str
    item_key: str
    at: datetime

    def __repr__(self) -> str:
        return f"TargetMessage(id={self.id!r})"

    def all_headers(self, prefix: str) -> dict[str, str]:
        """Return the headers with those of CloudEvents, which get a prefix."""
        return {**self.headers, **{f"{prefix}{name}": value for name, value in self.event.items()}}


def make_message(owed: Owed, at: datetime, signer: Signer | None) -> TargetMessage:
    """Return the message for an attempt.

    Args:
        at: the time of the attempt, which is signed.
        signer: signs unless the endpoint has secrets of its own; None: nothing is signed.
    """
    content = orjson.loads(owed.body)
    data = _first(content["data"])
    batch_id, timestamp = str(data.get("batch_id") or ""), int(at.timestamp())
    own = owed.credentials
    signing = own.signer if own is not None and own.signer is not None else signer
    headers = {
        **(own.headers if own is not None else {}),
        "content-type": CONTENT_TYPE,
        "webhook-id": owed.webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-attempt": str(owed.attempt),
    }
    if signing is not None:
        headers["webhook-signature"] = signing.sign(owed.webhook_id, timestamp, owed.body)
    return TargetMessage(
        id=owed.webhook_id,
        dedupe_id=f"{owed.webhook_id}.r{owed.replays}" if owed.replays else owed.webhook_id,
        body=owed.body,
        headers=headers,
        event={
            "id": owed.webhook_id,
            "source": f"/pipeline/batches/{batch_id}" if batch_id else "/pipeline",
            "type": f"pipeline.{content['type']}",
            "specversion": "1.0",
            "time": content["timestamp"],
        },
        batch_id=batch_id,
        item_key=str(data.get("key") or data.get("item_id") or batch_id),
        at=at,
    )


def _first(data: Any) -> Mapping[str, Any]:
    """Return what an event is about; of a bundle, its first item."""
    found = data[0] if isinstance(data, list) and data else data
    return found if isinstance(found, dict) else {}
