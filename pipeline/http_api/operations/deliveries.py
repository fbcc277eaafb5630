"""Operations on deliveries: list and show them, and send them again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.batches.find import find_owned_item
from pipeline.client.delivery import fields_of
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import deliveries, delivery_search, tenant_view
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.rules.endpoint_state import Condition
from pipeline.delivery.sql.delivery_pages import PagePosition
from pipeline.domain.api_key import Scope
from pipeline.domain.ids import item_id
from pipeline.domain.redaction import redact_url
from pipeline.errors import NotFound
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.pages import PageQuery, encode_delivery_cursor, read_delivery_cursor
from pipeline.http_api.parameters import AnswerModel, BodyModel, Moment

_ATTEMPT = ("stage", "number", "outcome", "status", "trigger", "answer", "started_at", "ended_at", "worker")
_DeliveryStates = Literal["pending", "sending", "delivered", "dead", "paused", "cancelled"]
_FinalStates = Literal["dead", "delivered", "cancelled"]


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    batch: str | None = Field(None, description="Only of this batch.")
    item: str | None = Field(None, description="Only of the events of the item with this id.")
    state: _DeliveryStates | None = Field(None, description="Only in this state.")
    endpoint: str | None = Field(None, description="Only to this endpoint: `https://host`, or any URL there.")
    url: str | None = Field(None, description="Only to exactly this URL.")
    webhook_id: str | None = Field(None, description="Only of the event or bundle with this webhook id.")
    since: Moment | None = Field(None, description="Only created since: a time, or how long ago, such as `PT6H`.")
    before: int | None = Field(None, ge=1, le=2**63 - 1, description="Only with ids below.")


class EndpointCondition(AnswerModel):
    """The state of an endpoint that keeps a delivery waiting."""

    endpoint: str = Field(description="Such as `disabled` or `open`.")
    since: datetime | None
    until: datetime | None
    reason: str | None


class DeliveryAnswer(AnswerModel):
    """One event owed to one URL."""

    id: int
    batch_id: str
    item_id: str | None = Field(description="null: the event is about the batch.")
    key: str | None
    webhook_id: str
    bundle: str | None = Field(description="Webhook id of the request in which it travelled with others.")
    type: str
    url: str = Field(description="Without its query, which may be secret.")
    endpoint: str
    state: str
    attempts: int
    due_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None
    endpoint_disabled: str | None = Field(description="Why its endpoint is disabled; null: it is not.")
    waits: EndpointCondition | None = Field(description="What it waits for beside its time; null: nothing.")


class DeliveryDetails(DeliveryAnswer):
    """One delivery with its attempts."""

    history: list[dict[str, object]] = Field(description="Its attempts, the oldest first.")


class DeliveryPage(AnswerModel):
    """A page of deliveries, newest first; those of a batch or an item by the `seq` of their events."""

    data: list[DeliveryAnswer]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool = Field(description="Also after a page that is short or empty: 10,000 deliveries are looked at.")


class RecoverBody(BodyModel):
    """Which finished deliveries to send again: those that match every filter."""

    batch: str | None = Field(None, description="Only of this batch.")
    endpoint: str | None = Field(None, description="Only to this endpoint.")
    since: Moment | None = Field(None, description="Only finished since: a time, or how long ago, such as `PT6H`.")
    until: Moment | None = Field(None, description="Only finished before.")
    states: list[_FinalStates] = Field(["dead"], min_length=1, max_length=3, description="Only in one of these states.")
    dry_run: bool = Field(False, description="Only count.")


class LeftOut(AnswerModel):
    """Deliveries to an endpoint to which nothing is sent."""

    endpoint: str
    state: str
    count: int


class RecoverAnswer(AnswerModel):
    """How many matched, and how many are sent again."""

    matched: int
    recovered: int
    left_out: list[LeftOut] = Field(description="Those to disabled endpoints, which do not count as matched.")


class ReplayMissingBody(BodyModel):
    """Which events to send where."""

    batch: str = Field(description="Id of the batch.")
    url: str = Field(description="Where its events go that were never owed to this URL.")
    batch_events: bool = Field(False, description="Include `batch.completed`.")
    dry_run: bool = Field(False, description="Only count.")


class ReplayMissingAnswer(AnswerModel):
    """How many events were missing, and how many are sent now."""

    matched: int
    replayed: int


async def every(call: ApiCall) -> Response:
    """Return a page of deliveries."""
    query, sees = call.parameters(DeliveryQuery), call.caller.sees
    is_of_batch = query.batch is not None or query.item is not None
    after = read_delivery_cursor(query.after, is_of_batch=is_of_batch)
    if query.batch is not None:
        await call.batch_named(query.batch)
    wanted = Wanted(
        batch=query.batch,
        state=query.state,
        endpoint=query.endpoint,
        item=None if query.item is None else await call.quick(_item_name, call.context, query.item, sees),
        url=query.url,
        webhook_id=query.webhook_id,
        since=query.since,
        before=query.before,
        tenant=sees,
    )
    found, position = await call.quick(_page, call.context, wanted, after, query.limit)
    return answer(
        {
            "data": [_delivery(call.context, row) for row in found],
            "next": None if position is None else encode_delivery_cursor(position),
            "has_more": position is not None,
        }
    )


async def get(call: ApiCall) -> Response:
    """Return a delivery with its attempts."""
    row = await call.quick(tenant_view.find_delivery, call.context, call.path("delivery"), call.caller.sees)
    found = await call.quick(deliveries.show, call.context, row["id"])
    return answer(
        {**_delivery(call.context, found.delivery), "history": [_attempt(attempt) for attempt in found.attempts]}
    )


async def replay(call: ApiCall) -> Response:
    """Send a delivery again now."""
    row = await call.quick(tenant_view.find_delivery, call.context, call.path("delivery"), call.caller.sees)
    found = await call.quick(deliveries.replay, call.context, row["id"])
    call.gateway.work.wake()
    return answer(_delivery(call.context, found))


async def recover(call: ApiCall) -> Response:
    """Send finished deliveries again that match every filter."""
    body, sees = await call.json(RecoverBody), call.caller.sees
    if body.batch is not None:
        await call.batch_named(body.batch)
    origin = body.endpoint
    if origin is not None:
        origin = await call.quick(tenant_view.check_visible, call.context, origin, sees)
    if body.dry_run:
        call.unchanged()
    chosen = {"batch": body.batch, "origin": origin, "since": body.since, "until": body.until, "states": body.states}
    number = await call.bulk(deliveries.recover, call.context, **chosen, tenant=sees, dry_run=body.dry_run)
    left_out = await call.bulk(deliveries.left_out, call.context, **chosen, tenant=sees)
    call.gateway.work.wake()
    return answer(
        {
            "matched": number,
            "recovered": 0 if body.dry_run else number,
            "left_out": [
                {"endpoint": endpoint, "state": "disabled", "count": count} for endpoint, count in left_out.items()
            ],
        }
    )


async def replay_missing(call: ApiCall) -> Response:
    """Send to a URL the events of a batch that were never owed to it."""
    body = await call.json(ReplayMissingBody)
    batch = await call.batch_named(body.batch)
    if body.dry_run:
        call.unchanged()
    number = await call.bulk(
        tenant_view.replay_missing,
        call.context,
        body.url,
        batch["public_id"],
        tenant=batch["tenant"],
        batch_events=body.batch_events,
        dry_run=body.dry_run,
    )
    call.gateway.work.wake()
    return answer({"matched": number, "replayed": 0 if body.dry_run else number})


def _page(
    context: Context, wanted: Wanted, after: PagePosition | None, limit: int
) -> tuple[list[Row], PagePosition | None]:
    try:
        return delivery_search.page(context, wanted, after=after, limit=limit)
    except NotFound:
        if wanted.webhook_id is None:
            raise
        # As for an event of another tenant: nobody learns which of them there are.
        return [], None


def _item_name(context: Context, name: str, tenant: str | None) -> str:
    with context.database.read() as connection:
        batch, item = find_owned_item(connection, name, tenant)
    return item_id(batch["public_id"], item["position"])


def _delivery(context: Context, row: Row) -> dict[str, Any]:
    waits = delivery_search.waits_for(context, row)
    return {
        **fields_of(row),
        "url": redact_url(row["url"]),
        "endpoint_disabled": row["disabled_reason"],
        "waits": None if waits is None else _condition(waits),
    }


def _condition(found: Condition) -> dict[str, Any]:
    return {"endpoint": found.state.value, "since": found.since, "until": found.until, "reason": found.reason}


def _attempt(row: Row) -> dict[str, Any]:
    found = {name: row[name] for name in _ATTEMPT}
    return {**found, "error": row["error_type"], "message": row["error_message"]}


OPERATIONS = (
    Operation(
        "deliveries.list", "GET", "/v1/deliveries", Scope.READ, "List deliveries, newest first.", every,
        query=DeliveryQuery, answer=DeliveryPage, problems=("bad_cursor", "not_found", "invalid_request"),
    ),
    Operation(
        "deliveries.get", "GET", "/v1/deliveries/{delivery}", Scope.READ,
        "Show a delivery, by its id or webhook id, with its attempts.", get,
        answer=DeliveryDetails, problems=("invalid_request",),
    ),
    Operation(
        "deliveries.replay", "POST", "/v1/deliveries/{delivery}/replay", Scope.OPERATE,
        "Send a delivery again now, with the same webhook id and body.", replay,
        answer=DeliveryAnswer, problems=("conflict", "invalid_request"),
    ),
    Operation(
        "deliveries.recover", "POST", "/v1/deliveries/recover", Scope.OPERATE,
        "Send finished deliveries again that match every filter.", recover,
        body=RecoverBody, answer=RecoverAnswer, problems=("not_found",),
        example={"endpoint": "https://example.com", "since": "PT6H", "dry_run": True},
    ),
    Operation(
        "deliveries.replay_missing", "POST", "/v1/deliveries/replay-missing", Scope.OPERATE,
        "Send to a URL the events of a batch that were never owed to it.", replay_missing,
        body=ReplayMissingBody, answer=ReplayMissingAnswer, problems=("not_found", "endpoint_owned"),
        example={"batch": "2whekg34q0szey76", "url": "https://example.com/hook", "dry_run": True},
    ),
)  # fmt: skip
