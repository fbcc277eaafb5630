"""Operations on batches: list, show, pause, resume, cancel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response

from pipeline.batch_status import COUNTED_ITEMS, read_pace, read_status
from pipeline.batches import control, progress
from pipeline.batches.batch_view import BatchView, list_batches, view_batch, view_owned_batch
from pipeline.context import Context
from pipeline.domain.api_key import Scope
from pipeline.domain.batch import BatchState
from pipeline.domain.filters import BatchFilter
from pipeline.domain.intervention import Action
from pipeline.domain.redaction import redact_url
from pipeline.errors import Conflict
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.conditional import UNCHANGED, has_tag, weak_tag, with_tag
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations.guards import GuardAnswer
from pipeline.http_api.parameters import AnswerModel, Flag, Moment, Parameters
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.cursors import decode_position, encode_position
from pipeline.http_api.streaming.log_reading import wait_until

_URLS = ("callback_url", "batch_callback_url", "fallback_url")
_COUNTS = ("total", "waiting", "in_flight", "running", "succeeded", "dead", "cancelled")
#: Items whose labels are counted unless all are asked for.
COUNTED_LABELS = 50_000
MAX_WAIT = 25


class BatchAnswer(AnswerModel):
    """How far along a batch is, and what it was submitted with."""

    batch_id: str
    definition: str = Field(description="Name of the definition.")
    definition_version: str
    state: str
    is_complete: bool = Field(description="Whether every item is final.")
    total: int
    waiting: int
    in_flight: int
    running: int
    succeeded: int
    dead: int
    cancelled: int
    last_seq: int
    weight: int
    fair_key: str
    idempotency_key: str | None
    callback_url: str | None = Field(description="Without its query, which may be secret; so are the other URLs.")
    batch_callback_url: str | None
    fallback_url: str | None
    callback_schedule: str | None
    created_at: datetime
    started_at: datetime | None = Field(description="When its items could be started.")
    completed_at: datetime | None
    paused_by: str | None = Field(description="`manual`, or `guard:NAME`; null: it is not paused.")
    expires_at: datetime | None = Field(description="When it is given up unless a part comes before.")


class ListedBatch(BatchAnswer):
    """A batch of a list."""

    items_per_second: float | None = Field(None, description="Only with `throughput=true`; null: it is not running.")
    seconds_left: float | None = Field(None, description="At this rate.")
    stands_still_since: datetime | None = Field(None, description="Since when an item should have followed the last.")


class ErrorAnswer(AnswerModel):
    """An error, and how many items have it as their last one."""

    state: str = Field(description="`dead`, or `pending` for items that are tried again.")
    message: str
    items: int


class InterventionAnswer(AnswerModel):
    """Something that somebody did to a batch."""

    action: Action
    actor: str = Field(description="`key:NAME` over HTTP, `user@host` otherwise.")
    at: datetime
    affected: int | None = Field(description="Items that were replayed; null for any other action.")


class ExportAnswer(AnswerModel):
    """A place that the results of a batch are written to in bulk."""

    export_id: int
    batch_id: str
    target: str
    state: Literal["running", "complete", "failed"]
    parts: int = Field(description="Files that are stored.")
    rows: int = Field(description="Results in them, or in the table.")
    completions: int = Field(description="Times that it was complete: more than once after replays.")
    attempts: int = Field(description="Failed attempts since the last success.")
    last_error: str | None
    due_at: datetime | None = Field(description="When a failed attempt is repeated.")
    created_at: datetime
    finished_at: datetime | None


class WaitingStepAnswer(AnswerModel):
    """An enricher whose items wait, since the service behind it refuses everybody."""

    definition: str
    step: str
    since: datetime
    probe_at: datetime = Field(description="When the next call finds out whether the service works again.")
    failures: int = Field(description="Of the last `calls`, when it began to wait.")
    calls: int
    error: str
    text: str


class BatchStatusAnswer(ListedBatch):
    """How a batch is doing."""

    unserved: dict[str, int] = Field(description="How much waits in each queue that no worker serves.")
    errors: list[ErrorAnswer] = Field(description="The most frequent errors.")
    labels: dict[str, int] | None = Field(description="Items by label; null: not counted without `full=true`.")
    callbacks: dict[str, int] | None = Field(description="Deliveries by state; null: not counted without `full=true`.")
    history: list[InterventionAnswer] = Field(description="What people did to it, the newest first.")
    guards: list[GuardAnswer] = Field(description="Its guards against failures.")
    waiting_steps: list[WaitingStepAnswer] = Field(description="Enrichers whose items wait.")
    exports: list[ExportAnswer] = Field(description="Where the results are written to in bulk.")


class CancelledBatch(BatchAnswer):
    """A batch that was cancelled."""

    cancelled_now: int = Field(description="Items that this request cancelled.")


class BatchPage(AnswerModel):
    """A page of batches, newest first."""

    data: list[ListedBatch]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool


class LabelCount(AnswerModel):
    """A label and how many items have it."""

    label: str
    count: int


class LabelCounts(AnswerModel):
    """Labels of a batch, most frequent first."""

    data: list[LabelCount]
    is_partial: bool = Field(description="Whether only the first items of the batch were counted.")


class BatchQuery(Parameters):
    """Whether to wait."""

    wait: float = Field(
        0,
        ge=0,
        le=MAX_WAIT,
        description="Seconds to wait until something happens: beyond what `If-None-Match` names, or else from now on.",
    )


class BatchesQuery(Parameters):
    """Which batches."""

    state: Literal["accepting", "open", "running", "paused", "completed", "cancelled"] | None = Field(
        None, description="Only batches in this state."
    )
    definition: str | None = Field(None, max_length=500, description="Only batches of the definition of this name.")
    created_after: Moment | None = Field(
        None, description="Only batches that were submitted after this time: ISO 8601 with its offset, or how long ago."
    )
    prefix: str | None = Field(None, max_length=100, description="Only batches whose ids begin so.")
    before: str | None = Field(None, max_length=100, description="Only batches that were submitted before this one.")
    after: str | None = Field(None, max_length=100, description="`next` of the page before.")
    limit: int = Field(100, ge=1, le=1_000, description="Batches on a page.")
    throughput: Flag = Field(False, description="Add how fast running batches finish items.")


class StatusQuery(Parameters):
    """How much is counted."""

    full: Flag = Field(
        False, description=f"Count labels and callbacks even if the batch has more than {COUNTED_ITEMS:,} items."
    )


class LabelsQuery(Parameters):
    """How many items are looked at."""

    full: Flag = Field(False, description=f"Count all items, not only the first {COUNTED_LABELS:,}.")


def batch_json(found: BatchView) -> dict[str, Any]:
    """Return a batch as the API shows it everywhere."""
    progress = found.progress
    return {
        "batch_id": progress.batch_id,
        "definition": progress.definition,
        "definition_version": found.definition_version,
        "state": progress.state.value,
        "is_complete": progress.is_complete,
        **{name: getattr(progress, name) for name in _COUNTS},
        "last_seq": progress.last_seq,
        **{name: getattr(found, name) for name in ("weight", "fair_key", "idempotency_key")},
        **{name: None if (url := getattr(found, name)) is None else redact_url(url) for name in _URLS},
        "callback_schedule": found.callback_schedule,
        "created_at": progress.created_at,
        "started_at": found.started_at,
        "completed_at": progress.completed_at,
        "paused_by": progress.paused_by,
        "expires_at": found.expires_at,
    }


async def every(call: ApiCall) -> Response:
    """Return a page of batches, newest first."""
    query = call.parameters(BatchesQuery)
    before = decode_position(query.after)
    if before is None and query.before is not None:
        before = (await call.batch_named(query.before))["id"]
    chosen = BatchFilter(
        tenant=call.caller.sees,
        state=None if query.state is None else BatchState(query.state),
        definition=query.definition,
        created_after=query.created_after,
        prefix=query.prefix,
    )
    found, next_id = await call.quick(list_batches, call.context, chosen, before=before, limit=query.limit)
    paces = await call.quick(_paces, call.context, found) if query.throughput else [{} for _ in found]
    return answer(
        {
            "data": [batch_json(each) | pace for each, pace in zip(found, paces, strict=True)],
            "next": None if next_id is None else encode_position(next_id),
            "has_more": next_id is not None,
        }
    )


def _paces(context: Context, found: list[BatchView]) -> list[dict[str, Any]]:
    return [asdict(read_pace(context, each.progress)) for each in found]


async def status(call: ApiCall) -> Response:
    """Return how a batch is doing."""
    is_full = call.parameters(StatusQuery).full
    row = await call.batch()
    found = await call.bulk(read_status, call.context, row["public_id"], full=is_full)
    view = await call.quick(view_batch, call.context, row["public_id"])
    return answer(
        {
            **batch_json(replace(view, progress=found.progress)),
            **asdict(found.pace),
            "unserved": found.unserved,
            "errors": [asdict(error) for error in found.errors],
            "labels": found.labels,
            "callbacks": found.callbacks,
            "history": [asdict(each) for each in found.history],
            "guards": [each.to_json() for each in found.guards],
            "waiting_steps": [asdict(each) | {"text": each.text} for each in found.waiting_steps],
            "exports": found.exports,
        }
    )


async def get(call: ApiCall) -> Response:
    """Return one batch; after a change, if that is asked for."""
    wait = call.parameters(BatchQuery).wait
    # One way to a thread and one connection: programs ask this often.
    row_id, found = await call.quick(view_owned_batch, call.context, call.path("batch"), call.caller.sees)
    seen = call.request.headers.get("if-none-match")
    if wait and (seen is None or has_tag(call.request, batch_tag(found))):
        found = await _changed(call, row_id, found, wait)
    return with_tag(call.request, answer(batch_json(found)), batch_tag(found))


def batch_tag(found: BatchView) -> str:
    """Return the entity tag of a batch: another one whenever an item finishes or the state changes."""
    seen = found.progress
    expires = [] if found.expires_at is None else [int(found.expires_at.timestamp())]
    return weak_tag(
        seen.state.value, seen.last_seq + 1, seen.total, seen.succeeded, seen.dead, seen.cancelled, *expires
    )


async def _changed(call: ApiCall, batch_id: int, seen: BatchView, seconds: float) -> BatchView:
    """Return a batch once it differs from what was seen, or when the time is up."""
    end, wake, gateway = time.monotonic() + seconds, asyncio.Event(), call.gateway
    with gateway.streams.waking(wake), gateway.hub.following(batch_id, wake, events=False):
        # Once more after joining: what came in between wakes nobody.
        while True:
            wake.clear()
            found = await call.quick(view_batch, call.context, seen.progress.batch_id)
            if batch_tag(found) != batch_tag(seen) or gateway.is_draining or not await wait_until(wake, end):
                return found


async def labels(call: ApiCall) -> Response:
    """Return how many items have each label."""
    is_full = call.parameters(LabelsQuery).full
    row = await call.batch()
    if is_full:
        counts = await call.bulk(progress.labels, call.context, row["public_id"])
    else:
        counts = await call.quick(progress.first_labels, call.context, row["id"], COUNTED_LABELS)
    data = [{"label": label, "count": count} for label, count in counts.items()]
    return answer({"data": data, "is_partial": not is_full and row["total"] > COUNTED_LABELS})


async def pause(call: ApiCall) -> Response:
    """Pause a batch."""
    return answer((await _controlled(call, control.pause))[0])


async def resume(call: ApiCall) -> Response:
    """Resume a batch."""
    found, _ = await _controlled(call, control.resume)
    call.gateway.work.wake()
    return answer(found)


async def cancel(call: ApiCall) -> Response:
    """Cancel a batch."""
    found, cancelled_now = await _controlled(call, control.cancel)
    return answer({**found, "cancelled_now": cancelled_now})


async def _controlled(call: ApiCall, change: Callable[..., Any]) -> tuple[dict[str, Any], Any]:
    row = await call.batch()
    try:
        outcome = await call.quick(change, call.context, row["public_id"])
    except Conflict as error:
        raise Problem("wrong_state", str(error)) from None
    call.gateway.hub.hurry()
    return batch_json(await call.quick(view_batch, call.context, row["public_id"])), outcome


OPERATIONS = (
    Operation(
        "batches.list", "GET", "/v1/batches", Scope.READ, "List batches, newest first.", every,
        query=BatchesQuery, answer=BatchPage, problems=("bad_cursor", "not_found"),
    ),
    Operation(
        "batches.get", "GET", "/v1/batches/{batch}", Scope.READ, "Return how far along a batch is.", get,
        query=BatchQuery, answer=BatchAnswer, problems=("not_found",), other_statuses=UNCHANGED,
    ),
    Operation(
        "batches.status", "GET", "/v1/batches/{batch}/status", Scope.READ,
        "Return how a batch is doing: throughput, errors, labels, callbacks.", status,
        query=StatusQuery, answer=BatchStatusAnswer,
    ),
    Operation(
        "batches.labels", "GET", "/v1/batches/{batch}/labels", Scope.READ, "Count the labels of a batch's items.",
        labels, query=LabelsQuery, answer=LabelCounts,
    ),
    Operation(
        "batches.pause", "POST", "/v1/batches/{batch}/pause", Scope.OPERATE, "Start no more items of a batch.", pause,
        answer=BatchAnswer, problems=("wrong_state",),
    ),
    Operation(
        "batches.resume", "POST", "/v1/batches/{batch}/resume", Scope.OPERATE, "Start items of a paused batch again.",
        resume, answer=BatchAnswer, problems=("wrong_state",),
    ),
    Operation(
        "batches.cancel", "POST", "/v1/batches/{batch}/cancel", Scope.OPERATE,
        "Cancel the items of a batch that no worker has claimed.", cancel,
        answer=CancelledBatch, problems=("wrong_state",),
    ),
)  # fmt: skip
