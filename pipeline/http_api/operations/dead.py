"""Operations on dead items: list them, group them by cause, and replay them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.batches.find import find_owned_item
from pipeline.batches.replays import dead_items, replay, replay_item
from pipeline.batches.replays.dead_items import CauseGroup, DeadFilter, cause_of
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.api_key import Scope
from pipeline.domain.bounds import shown
from pipeline.domain.ids import item_id, split_item_id
from pipeline.domain.item import ItemState
from pipeline.errors import InvalidInput, NotFound
from pipeline.http_api.authentication import check_scope
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.pages import PageQuery, encode_cursor, read_id_cursor
from pipeline.http_api.parameters import AnswerModel, BodyModel, Flag, Moment, Parameters, pointer
from pipeline.http_api.problems import Problem

_MAX_ITEMS = 10_000
_Stage = Literal["classify", "enrich"]


class DeadQuery(PageQuery):
    """Which dead items."""

    batch: str | None = Field(None, description="Only of this batch.")
    stage: _Stage | None = Field(None, description="Only items that failed at this stage.")
    type: str | None = Field(None, max_length=500, description="Only errors of this type, such as `HTTPError`.")
    cause: str | None = Field(None, max_length=12, description="Only items of this cause.")
    label: str | None = Field(None, max_length=2_000, description="Only items with this label.")
    definition: str | None = Field(None, max_length=500, description="Only of batches of this definition.")


class CausesQuery(Parameters):
    """Whose causes."""

    batch: str | None = Field(None, description="Only of this batch.")
    stage: _Stage | None = Field(None, description="Only items that failed at this stage.")
    finished_since: Moment | None = Field(
        None, description="Only items that died then or later: a time, or how long ago, such as `PT6H`."
    )
    by_definition: Flag = Field(False, description="Keep the items of different definitions apart.")


class DeadItem(AnswerModel):
    """An item that failed permanently."""

    batch_id: str
    item_id: str
    key: str | None
    label: str | None
    attempt: int = Field(description="Attempts at the stage that failed.")
    attempts: int = Field(description="Attempts at all stages.")
    answer: str | None = Field(description="What another service answered to the last attempt.")
    finished_at: datetime
    stage: str
    kind: str
    type: str
    message: str
    cause: str = Field(description="Id of the cause, which items with like messages share.")


class DeadItemPage(AnswerModel):
    """A page of dead items, the newest batches' first."""

    data: list[DeadItem]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool = Field(description="Also after a page that is short or empty: 10,000 items are looked at.")


class CauseAnswer(AnswerModel):
    """Dead items of one cause."""

    cause: str
    stage: str
    kind: str
    type: str
    message: str = Field(description="With what differs from item to item replaced.")
    definition: str | None = Field(description="With `by_definition`: the name of the definition.")
    count: int
    first_at: datetime
    last_at: datetime
    example: str = Field(description="Id of the newest of these items.")


class CauseList(AnswerModel):
    """Causes, the most frequent first."""

    data: list[CauseAnswer]
    is_partial: bool = Field(description="Whether only the newest 200,000 dead items are grouped.")


class WhereDead(BodyModel):
    """A filter: dead items that match every condition."""

    stage: _Stage | None = None
    kind: str | None = Field(None, max_length=100)
    type: str | None = Field(None, max_length=500)
    cause: str | None = Field(None, max_length=12)
    label: str | None = Field(None, max_length=10_000)
    finished_since: Moment | None = Field(None, description="A time, or how long ago, such as `PT6H`.")
    finished_before: Moment | None = Field(None, description="A time, or how long ago, such as `PT6H`.")
    items: list[str] | None = Field(None, max_length=_MAX_ITEMS, description="Ids of items.")


class ReplayDeadBody(BodyModel):
    """Which dead items of the batch to replay."""

    where: WhereDead = WhereDead()
    all: bool = Field(False, description="Replay every dead item; instead of `where`.")
    dry_run: bool = Field(False, description="Only count.")
    force: bool = Field(False, description="Also if a guard of the batch has fired.")
    limit: int | None = Field(None, ge=1, description="Items to replay at most.")


class ReplayCancelledBody(BodyModel):
    """Which cancelled items of the batch to replay."""

    items: list[str] | None = Field(None, max_length=_MAX_ITEMS, description="Ids of items; null: all of them.")


class ReplayAnswer(AnswerModel):
    """How many matched, and how many are pending again."""

    matched: int
    replayed: int


class ReplayItemBody(BodyModel):
    """How to replay an item."""

    payload: dict[str, Any] | None = Field(
        None, description="Another payload, with which it begins at the first stage; needs the scope `payloads`."
    )


class ReplayedItem(AnswerModel):
    """An item that is pending again."""

    batch_id: str
    item_id: str
    state: str


async def every(call: ApiCall) -> Response:
    """Return a page of dead items."""
    query = call.parameters(DeadQuery)
    batch_id = None if query.batch is None else (await call.batch_named(query.batch))["id"]
    found = await call.quick(
        dead_items.dead_page,
        call.context,
        DeadFilter(
            stage=query.stage, type=query.type, cause=query.cause, label=query.label, definition=query.definition
        ),
        batch_id=batch_id,
        tenant=call.caller.sees,
        before=read_id_cursor(query.after),
        limit=query.limit,
    )
    return answer(
        {
            "data": [_item(row) for row in found.rows],
            "next": None if found.position is None else encode_cursor(found.position),
            "has_more": found.position is not None,
        }
    )


async def causes(call: ApiCall) -> Response:
    """Return the causes of the newest dead items."""
    query = call.parameters(CausesQuery)
    batch_id = None if query.batch is None else (await call.batch_named(query.batch))["id"]
    groups, is_partial = await call.bulk(
        dead_items.causes,
        call.context,
        DeadFilter(stage=query.stage, finished_since=query.finished_since),
        batch_id=batch_id,
        tenant=call.caller.sees,
        by_definition=query.by_definition,
    )
    return answer({"data": [_cause(group) for group in groups], "is_partial": is_partial})


async def replay_matching(call: ApiCall) -> Response:
    """Replay the dead items of a batch that match a filter."""
    body = await call.json(ReplayDeadBody)
    wanted = DeadFilter(**{name: getattr(body.where, name) for name in WhereDead.model_fields})
    if (wanted == DeadFilter()) is not body.all:
        detail = "send a filter, or `all`: true without one for every dead item of the batch"
        raise Problem("invalid_request", detail, errors=[{"pointer": pointer("where"), "detail": detail}])
    if wanted.items is not None:
        wanted = replace(wanted, items=frozenset(wanted.items))
    if body.dry_run:
        call.unchanged()
    batch = await call.batch()
    found = await call.bulk(
        dead_items.replay_matching,
        call.context,
        batch,
        wanted,
        limit=body.limit,
        dry_run=body.dry_run,
        force=body.force,
    )
    call.gateway.work.wake()
    return answer({"matched": found.matched, "replayed": found.replayed})


async def replay_cancelled(call: ApiCall) -> Response:
    """Replay items that were cancelled with their batch."""
    body = await call.json(ReplayCancelledBody, is_optional=True)
    batch = await call.batch()
    positions = None if body.items is None else [_position(batch, name) for name in body.items]
    replayed = await call.bulk(
        replay.replay, call.context, batch["public_id"], ItemState.CANCELLED, positions=positions
    )
    call.gateway.work.wake()
    return answer({"matched": replayed, "replayed": replayed})


def _position(batch: Row, name: str) -> int:
    batch_id, position = split_item_id(name) or ("", 0)
    if batch_id != batch["public_id"]:
        detail = f"{shown(name)} is not the id of an item of batch {batch['public_id']}"
        raise Problem("invalid_request", detail, errors=[{"pointer": pointer("items"), "detail": detail}])
    return position


async def replay_one(call: ApiCall) -> Response:
    """Replay one dead item."""
    body = await call.json(ReplayItemBody, is_optional=True)
    if body.payload is not None:
        check_scope(call.caller, Scope.PAYLOADS)
    batch, item = await call.quick(_found_item, call.context, call.path("item"), call.caller.sees)
    name = item_id(batch["public_id"], item["position"])
    if body.payload is None:
        is_replayed = await call.quick(replay_item.replay_item, call.context, batch, item)
    else:
        is_replayed = await _replay_with(call, batch, item, body.payload)
    if not is_replayed:
        raise Problem("not_dead", f"item {name} is not dead, so it cannot be replayed")
    call.gateway.work.wake()
    return answer({"batch_id": batch["public_id"], "item_id": name, "state": "pending"})


async def _replay_with(call: ApiCall, batch: Row, item: Row, payload: dict[str, Any]) -> bool:
    try:
        return await call.quick(
            replay_item.replay_with_payload, call.context, batch, item, payload, key_id=call.caller.key_id
        )
    except NotFound:
        raise
    except InvalidInput as error:
        fields = await call.quick(replay_item.text_fields, call.context, batch)
        named = next((field for field in fields if repr(field) in str(error)), None)
        where = pointer("payload") if named is None else pointer("payload", named)
        errors = [{"pointer": where, "detail": str(error)}]
        raise Problem("invalid_request", f"the payload cannot be used: {error}", errors=errors) from None


def _found_item(context: Context, name: str, tenant: str | None) -> tuple[Row, Row]:
    with context.database.read() as connection:
        return find_owned_item(connection, name, tenant)


def _item(row: Row) -> dict[str, Any]:
    return {
        "batch_id": row["public_id"],
        "item_id": item_id(row["public_id"], row["position"]),
        **{name: row[name] for name in ("key", "label", "attempt", "attempts", "answer", "finished_at")},
        **{name: row[f"error_{name}"] for name in ("stage", "kind", "type", "message")},
        "cause": cause_of(row).id,
    }


def _cause(group: CauseGroup) -> dict[str, Any]:
    cause = group.cause
    return {
        "cause": cause.id,
        "stage": cause.stage,
        "kind": cause.kind,
        "type": cause.type,
        "message": cause.message,
        "definition": group.definition,
        "count": group.count,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "example": group.example,
    }


OPERATIONS = (
    Operation(
        "dead.list", "GET", "/v1/dead", Scope.READ, "List dead items.", every,
        query=DeadQuery, answer=DeadItemPage, problems=("bad_cursor", "not_found"),
    ),
    Operation(
        "dead.causes", "GET", "/v1/dead/causes", Scope.READ, "Group dead items by what they died of.", causes,
        query=CausesQuery, answer=CauseList, problems=("not_found",),
    ),
    Operation(
        "dead.replay", "POST", "/v1/batches/{batch}/dead/replay", Scope.OPERATE,
        "Replay the dead items of a batch that match a filter, at the stage where they failed.", replay_matching,
        body=ReplayDeadBody, answer=ReplayAnswer, problems=("conflict",),
        example={"where": {"stage": "enrich", "finished_before": "2026-11-21T08:00:00Z"}, "dry_run": True},
    ),
    Operation(
        "cancelled.replay", "POST", "/v1/batches/{batch}/cancelled/replay", Scope.OPERATE,
        "Replay the items that were cancelled with their batch; the batch runs again.", replay_cancelled,
        body=ReplayCancelledBody, answer=ReplayAnswer, problems=("conflict",),
        example={"items": ["2whekg34q0szey76-17"]},
    ),
    Operation(
        "items.replay", "POST", "/v1/items/{item}/replay", Scope.OPERATE,
        "Replay a dead item, as it is or with another payload.", replay_one,
        body=ReplayItemBody, answer=ReplayedItem, problems=("not_dead", "conflict"),
        example={"payload": {"text": "a corrected text"}},
    ),
)  # fmt: skip
