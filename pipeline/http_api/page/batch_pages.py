"""One batch: its counts, its charts and its latest results; pause, resume, cancel and download it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from pipeline.batches import batch_view, control, event_log, guards, progress, results, throughput
from pipeline.batches.batch_view import BatchView
from pipeline.batches.history import SAMPLE, history_of
from pipeline.batches.replays import dead_items
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import deliveries
from pipeline.delivery.alerts.views import firing_of_batch
from pipeline.domain.api_key import Scope
from pipeline.domain.batch import Progress
from pipeline.domain.redaction import redact_url
from pipeline.execution.waiting_steps import find_waiting_steps
from pipeline.http_api.page import charts
from pipeline.http_api.page.text import counted, duration
from pipeline.http_api.page.visit import Visit
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.download import Download, send_download
from pipeline.http_api.streaming.media_types import ResultFormat

_LATEST = 20
#: Causes of dead items that are shown with a batch.
_CAUSES = 10
_FORMATS = (ResultFormat.CSV, ResultFormat.NDJSON, ResultFormat.PARQUET, ResultFormat.XLSX)


async def batch(visit: Visit) -> Response:
    """Show one batch."""
    visit.check(Scope.READ)
    row = await visit.batch(visit.path("batch"))
    values = await visit.bulk(_batch_values, visit.context, row)
    return visit.show(
        "batch.html",
        may_operate=visit.may(Scope.OPERATE),
        formats=[each.value for each in _FORMATS],
        **values,
    )


async def results_file(visit: Visit) -> Response:
    """Send the results as a file to save."""
    visit.check(Scope.READ)
    name = visit.path("format")
    if name not in {each.value for each in _FORMATS}:
        raise Problem("not_found", "results are not written in such a format")
    row = await visit.batch(visit.path("batch"))
    version = await visit.quick(event_log.version, visit.context, row["id"])
    wanted = Download(row, version, ResultFormat(name))
    response = await send_download(visit.gateway, visit.caller, visit.request, wanted)
    response.headers["Content-Disposition"] = f'attachment; filename="{wanted.file_name}"'
    return response


async def confirm_cancel(visit: Visit) -> Response:
    """Ask before a batch is cancelled."""
    visit.check(Scope.OPERATE)
    row = await visit.batch(visit.path("batch"))
    found = await visit.quick(progress.progress, visit.context, row["public_id"])
    left = found.waiting + found.in_flight - found.running
    path = f"/ui/batches/{found.batch_id}"
    return visit.show(
        "confirm.html",
        question=f"Cancel batch {found.batch_id}?",
        consequence=f"{counted(left, 'item')} that no worker has claimed will be cancelled. Claimed items finish.",
        path=f"{path}/cancel",
        fields=[],
        label=f"Cancel {counted(left, 'item')}",
        back=path,
    )


async def cancel(visit: Visit) -> Response:
    """Cancel a batch."""
    return await _change(visit, control.cancel, lambda number: f"Cancelled {counted(number, 'item')}.")


async def pause(visit: Visit) -> Response:
    """Pause a batch."""
    return await _change(visit, control.pause, lambda _: "Paused. Items that workers have claimed finish.")


async def resume(visit: Visit) -> Response:
    """Resume a batch."""
    return await _change(visit, control.resume, lambda _: "Resumed.")


async def _change(visit: Visit, change: Callable[[Context, str], Any], describe: Callable[[Any], str]) -> Response:
    visit.check(Scope.OPERATE)
    public_id = (await visit.batch(visit.path("batch")))["public_id"]
    outcome = await visit.quick(change, visit.context, public_id)
    visit.gateway.work.wake()
    return visit.go(f"/ui/batches/{public_id}", describe(outcome))


def _batch_values(context: Context, row: Row) -> dict[str, Any]:
    public_id = row["public_id"]
    view = batch_view.view_batch(context, public_id)
    found = view.progress
    # The page of results that ends with the newest event.
    latest = results.page(context, row["id"], max(0, found.last_seq - _LATEST)).results
    groups = dead_items.causes(context, batch_id=row["id"], tenant=None)[0] if found.dead else []
    return {
        "batch": found,
        "now": context.now(),
        "version": view.definition_version[:8],
        "submission": _submission(view),
        "pace": _pace(context, found),
        "results": latest[::-1],
        "causes": groups[:_CAUSES],
        "guards": guards.list_guards(context, public_id),
        "waiting_steps": [] if found.is_complete else find_waiting_steps(context, public_id),
        "alerts": firing_of_batch(context, row["id"]),
        "sample": SAMPLE,
        **_charts(context, row, found),
    }


def _submission(view: BatchView) -> list[tuple[str, str]]:
    """Return what a batch was submitted with, as far as that is not the default."""
    pairs = (
        ("idempotency key", view.idempotency_key),
        ("callbacks to", view.callback_url and redact_url(view.callback_url)),
        ("its own event to", view.batch_callback_url and redact_url(view.batch_callback_url)),
        ("otherwise to", view.fallback_url and redact_url(view.fallback_url)),
        ("retries", view.callback_schedule),
        ("weight", None if view.weight == 1 else str(view.weight)),
        ("fair key", view.fair_key),
    )
    return [(name, value) for name, value in pairs if value]


def _pace(context: Context, found: Progress) -> str:
    """Return how fast a batch is, and how long it will take or has taken."""
    if found.completed_at is not None:
        seconds = (found.completed_at - found.created_at).total_seconds()
        # Of a batch that was fast: one that waited, was paused or repaired tells nothing by this.
        pace = f", {found.total / seconds:,.0f} items per second" if found.total >= seconds >= 1 else ""
        return f"took {duration(seconds)}{pace}"
    if not found.state.releases_items:
        return ""
    rate = throughput.measure(context, found.batch_id).items_per_second
    if rate <= 0:
        return ""
    return f"{rate:,.1f} items per second, about {duration((found.total - found.final) / rate)} left"


def _charts(context: Context, row: Row, found: Progress) -> dict[str, Any]:
    public_id = row["public_id"]
    went = history_of(context, row["id"])
    # Counting the callbacks of a million items takes seconds.
    owed = deliveries.counts(context, public_id) if found.total <= SAMPLE else {}
    labels = progress.first_labels(context, row["id"], SAMPLE)
    items, sent = f"/ui/batches/{public_id}/items?", f"/ui/deliveries?batch={public_id}&"
    return {
        "is_partial": found.total > SAMPLE,
        "rates": charts.rate_chart(went.moments),
        "bars": [
            chart
            for chart in (
                charts.latency_chart(went.latencies),
                charts.label_chart(labels, lambda name: items + urlencode({"label": name})),
                charts.delivery_chart(owed, lambda name: sent + urlencode({"state": name})),
            )
            if chart is not None
        ],
    }
