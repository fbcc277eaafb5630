"""Operations on items: list those of a batch, and show one from all sides."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import orjson
from pydantic import Field
from starlette.responses import Response

from pipeline.batches import progress
from pipeline.batches.progress import Details
from pipeline.database.row import Row
from pipeline.delivery import deliveries
from pipeline.domain.api_key import Scope, digest
from pipeline.domain.filters import ItemFilter
from pipeline.domain.ids import item_id, webhook_id
from pipeline.domain.item import ItemState
from pipeline.domain.redaction import redact_url
from pipeline.http_api.authentication import check_scope
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.conditional import UNCHANGED, weak_tag, with_tag
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import AnswerModel, Flag, Parameters
from pipeline.http_api.streaming.cursors import decode_position, encode_position

_PLAIN = ("key", "state", "stage", "attempt", "attempts", "crashes", "label", "confidence")
_TIMES = ("created_at", "due_at", "queued_at", "started_at", "classified_at", "finished_at", "lease_until")
_ERROR = ("kind", "type", "message", "stage")
_ATTEMPT = (
    "stage", "number", "trigger", "outcome", "status", "error_type", "error_message", "started_at", "ended_at",
    "worker", "answer",
)  # fmt: skip
_DELIVERY = ("id", "type", "state", "attempt", "due_at", "last_status", "last_error", "created_at", "finished_at")


class ItemAnswer(AnswerModel):
    """An item and what became of it."""

    batch_id: str
    item_id: str
    key: str | None
    state: str
    stage: str
    attempt: int = Field(description="Attempt at the current stage, from 1.")
    attempts: int = Field(description="Attempts at all stages.")
    crashes: int
    label: str | None
    confidence: float | None
    classification: dict[str, object] | None
    enrichment: dict[str, object] | None
    error: dict[str, object] | None
    worker: str | None
    created_at: datetime
    due_at: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    classified_at: datetime | None
    finished_at: datetime | None
    lease_until: datetime | None
    payload: dict[str, object] | None = Field(None, description="Only with `payload=true`.")


class ItemDetails(ItemAnswer):
    """An item from all sides."""

    attempts_by_stage: dict[str, int]
    failed_attempts: list[dict[str, object]]
    deliveries: list[dict[str, object]] = Field(description="Its callbacks.")


class ItemPage(AnswerModel):
    """A page of items, in the order of the input."""

    data: list[ItemAnswer]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool


class ItemQuery(Parameters):
    """What is shown."""

    payload: Flag = Field(False, description="Add the payload; needs the scope `payloads`.")


class ItemsQuery(ItemQuery):
    """Which items."""

    state: Literal["pending", "queued", "running", "succeeded", "dead", "cancelled"] | None = Field(
        None, description="Only items in this state."
    )
    label: str | None = Field(None, max_length=2_000, description="Only items with this label.")
    key: str | None = Field(None, max_length=500, description="Only the item with this key of yours.")
    after: str | None = Field(None, max_length=100, description="`next` of the page before.")
    limit: int = Field(100, ge=1, le=1_000, description="Items on a page.")


async def every(call: ApiCall) -> Response:
    """Return a page of a batch's items."""
    query = call.parameters(ItemsQuery)
    _check_payload(call, query)
    after = decode_position(query.after) or 0
    batch = await call.batch()
    state = None if query.state is None else ItemState(query.state)
    found, position = await call.quick(
        progress.listed_items,
        call.context,
        batch["id"],
        ItemFilter(state, query.label, query.key),
        after=after,
        limit=query.limit,
    )
    return answer(
        {
            "data": [_item(batch["public_id"], row, with_payload=query.payload) for row in found],
            "next": None if position is None else encode_position(position),
            "has_more": position is not None,
        }
    )


async def get(call: ApiCall) -> Response:
    """Return one item from all sides."""
    query = call.parameters(ItemQuery)
    _check_payload(call, query)
    found = await call.quick(progress.owned_details, call.context, call.path("item"), call.caller.sees)
    owed = await call.quick(deliveries.of_item, call.context, found.batch["id"], found.item["id"])
    response = answer(_details(found, owed, with_payload=query.payload))
    return with_tag(call.request, response, weak_tag(digest(bytes(response.body).decode())[:16]))


def _check_payload(call: ApiCall, query: ItemQuery) -> None:
    if query.payload:
        check_scope(call.caller, Scope.PAYLOADS)


def _details(found: Details, owed: list[Row], *, with_payload: bool) -> dict[str, Any]:
    name = found.batch["public_id"]
    return {
        **_item(name, found.item, with_payload=with_payload),
        "attempts_by_stage": found.attempts_by_stage,
        "failed_attempts": [{key: attempt[key] for key in _ATTEMPT} for attempt in found.attempts],
        "deliveries": [_delivery(name, row) for row in owed],
    }


def _item(batch: str, row: Row, *, with_payload: bool) -> dict[str, Any]:
    return {
        "batch_id": batch,
        "item_id": item_id(batch, row["position"]),
        **{name: row[name] for name in (*_PLAIN, *_TIMES, "worker")},
        **{name: _parsed(row[name]) for name in ("classification", "enrichment")},
        "error": {name: row[f"error_{name}"] for name in _ERROR} if row["error_kind"] else None,
        **({"payload": _parsed(row["payload"])} if with_payload else {}),
    }


def _delivery(batch: str, row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _DELIVERY},
        "url": redact_url(row["url"]),
        "endpoint": row["origin"],
        "webhook_id": webhook_id(batch, row["seq"]),
    }


def _parsed(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)


OPERATIONS = (
    Operation(
        "items.list", "GET", "/v1/batches/{batch}/items", Scope.READ, "List the items of a batch.", every,
        query=ItemsQuery, answer=ItemPage, problems=("bad_cursor",),
    ),
    Operation(
        "items.get", "GET", "/v1/items/{item}", Scope.READ,
        "Show one item: its answers, failed attempts and callbacks.", get,
        query=ItemQuery, answer=ItemDetails, other_statuses=UNCHANGED,
    ),
)  # fmt: skip
