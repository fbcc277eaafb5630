"""Pages about batches: the list, one batch with its charts, and its live counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from pipeline.batches import control, dead_items, progress, results, throughput
from pipeline.batches.dead_items import CauseGroup
from pipeline.batches.history import SAMPLE, History, history_of
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import deliveries
from pipeline.domain.api_key import Scope
from pipeline.domain.batch import BatchState, Progress
from pipeline.errors import NotFound
from pipeline.http_api.call import encode
from pipeline.http_api.page import charts
from pipeline.http_api.page.visit import Visit
from pipeline.http_api.problems import Problem

#: Rows of a table; the rest is a page further.
ROWS = 100
#: Between two events of a page's stream, at least.
_PULSE_SECONDS = 0.5
#: Between two lines that keep a silent stream open.
_HEARTBEAT_SECONDS = 15.0
#: After which a browser connects anew.
_STREAM_SECONDS = 600.0
_LATEST = 20
#: Causes of dead items that are shown with a batch.
_CAUSES = 10


async def batches(visit: Visit) -> Response:
    """List batches, newest first."""
    visit.check(Scope.READ)
    state = visit.request.query_params.get("state", "")
    before = visit.request.query_params.get("before", "")
    found = await visit.quick(
        progress.page,
        visit.context,
        before=int(before) if before.isdecimal() else None,
        limit=ROWS + 1,
        tenant=visit.caller.sees,
        state=BatchState(state) if state in set(BatchState) else None,
    )
    more = len(found) > ROWS
    older = f"state={state}&before={found[ROWS - 1][0]}" if more else ""
    return visit.show(
        "batches.html",
        batches=[each for _, each in found[:ROWS]],
        states=["", *BatchState],
        state=state,
        older=older,
    )


async def batch(visit: Visit) -> Response:
    """Show one batch."""
    visit.check(Scope.READ)
    row = await visit.batch(visit.request.path_params["batch"])
    values = await visit.quick(_batch_values, visit.context, row)
    causes: list[CauseGroup] = []
    if values["batch"].dead:
        causes, _ = await visit.quick(dead_items.causes, visit.context, batch_id=row["id"], tenant=visit.caller.sees)
    values["causes"] = causes[:_CAUSES]
    return visit.show("batch.html", may_operate=visit.may(Scope.OPERATE), **values)


async def confirm_cancel(visit: Visit) -> Response:
    """Ask before a batch is cancelled."""
    visit.check(Scope.OPERATE)
    row = await visit.batch(visit.request.path_params["batch"])
    found = await visit.quick(progress.progress, visit.context, row["public_id"])
    left = found.waiting + found.in_flight - found.running
    path = f"/ui/batches/{found.batch_id}"
    return visit.show(
        "confirm.html",
        question=f"Cancel batch {found.batch_id}?",
        consequence=f"{left:,} items that no worker has claimed are cancelled. Claimed ones are finished.",
        path=f"{path}/cancel",
        fields=[],
        label=f"Cancel {left:,} items",
        back=path,
    )


async def change(visit: Visit) -> Response:
    """Pause, resume or cancel a batch."""
    visit.check(Scope.OPERATE)
    row = await visit.batch(visit.request.path_params["batch"])
    public_id, wanted = row["public_id"], visit.request.path_params["change"]
    if wanted == "pause":
        await visit.quick(control.pause, visit.context, public_id)
        message = "Paused. Items that workers have claimed are finished."
    elif wanted == "resume":
        await visit.quick(control.resume, visit.context, public_id)
        visit.gateway.work.wake()
        message = "Resumed."
    elif wanted == "cancel":
        number = await visit.quick(control.cancel, visit.context, public_id)
        message = f"Cancelled {number:,} items."
    else:
        raise Problem("not_found", "there is no such action")
    return visit.go(f"/ui/batches/{public_id}", message)


async def stream(visit: Visit) -> Response:
    """Send the counts of a batch as they change."""
    visit.check(Scope.READ)
    row = await visit.batch(visit.request.query_params.get("batch", ""))
    headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
    return StreamingResponse(_counts(visit, row["public_id"]), media_type="text/event-stream", headers=headers)


async def _counts(visit: Visit, public_id: str) -> AsyncIterator[bytes]:
    yield b"retry: 3000\n\n"
    last: bytes = b""
    ends_at, spoken_at = time.monotonic() + _STREAM_SECONDS, time.monotonic()
    while time.monotonic() < ends_at and not visit.gateway.is_draining:
        try:
            found = await visit.quick(progress.progress, visit.context, public_id)
        except NotFound:
            return
        body = encode(_count_values(found))
        if body != last:
            yield b"event: batch\ndata: " + body + b"\n\n"
            last, spoken_at = body, time.monotonic()
        elif time.monotonic() - spoken_at > _HEARTBEAT_SECONDS:
            yield b":\n\n"
            spoken_at = time.monotonic()
        if found.is_complete:
            yield b"event: end\ndata: {}\n\n"
            return
        await asyncio.sleep(_PULSE_SECONDS)


def _count_values(found: Progress) -> dict[str, Any]:
    names = ("total", "final", "succeeded", "dead", "cancelled", "waiting", "in_flight", "running")
    return {"state": found.state.value, **{name: getattr(found, name) for name in names}}


def _batch_values(context: Context, row: Row) -> dict[str, Any]:
    public_id = row["public_id"]
    found = progress.progress(context, public_id)
    went = history_of(context, row["id"])
    is_small = found.total <= SAMPLE
    # The page of results that ends with the newest event.
    latest = results.page(context, row["id"], max(0, found.last_seq - _LATEST)).results
    rate = throughput.measure(context, public_id).items_per_second if found.state is BatchState.RUNNING else None
    return {
        "batch": found,
        "rate": None if rate is None else f"{rate:,.1f}",
        "results": latest[::-1],
        "is_partial": went.is_partial,
        "sample": SAMPLE,
        **_charts(context, public_id, went, is_small=is_small),
    }


def _charts(context: Context, public_id: str, went: History, *, is_small: bool) -> dict[str, charts.Chart | None]:
    # Counting labels and callbacks of a million items takes seconds.
    labels = progress.labels(context, public_id) if is_small else {}
    callbacks = deliveries.counts(context, public_id) if is_small else {}
    return {
        "rates": charts.rate_chart(went.moments),
        "latencies": charts.latency_chart(went.latencies),
        "labels": charts.label_chart(labels),
        "callbacks": charts.delivery_chart(callbacks),
    }
