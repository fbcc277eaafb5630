"""`pipeline status`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.batches import progress as batch_progress
from pipeline.batches import throughput
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.batch import print_batch, print_batches, progress_json
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.unhealthy_endpoints import warn_unhealthy
from pipeline.context import Context
from pipeline.delivery import deliveries
from pipeline.domain.batch import BatchState, Progress

#: Number of items up to which labels and callbacks are counted without --full: counting a million takes seconds.
_FULL_ITEMS = 50_000


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@options.limit(20)
@click.option(
    "--full", is_flag=True, help=f"Count labels and callbacks even if BATCH has more than {_FULL_ITEMS:,} items."
)
@options.as_json
def status(batch: str | None, limit: int, full: bool, as_json: bool) -> None:
    """List recent batches, or show one in detail.

    Items are waiting in the database, in flight once released to the workers, and running once a worker has claimed
    them. Endpoints that are failing or disabled are reported on standard error.

    \b
    Examples:
      pipeline status
      pipeline status last
      pipeline status last --full --json
    """
    messages = Messages()
    with open_context() as context:
        if batch is None:
            batches = [
                progress_json(progress) | _throughput(context, progress)
                for progress in batch_progress.recent(context, limit)
            ]
            print_json(batches) if as_json else print_batches(batches)
        else:
            details = _details(context, batch, full=full)
            print_json(details) if as_json else print_batch(details)
            if not as_json and "labels" not in details:
                messages.info(f"more than {_FULL_ITEMS:,} items; to count labels and callbacks, add --full")
        if not as_json:
            warn_unhealthy(context, messages)


def _throughput(context: Context, progress: Progress) -> dict[str, float | None]:
    rate = throughput.rate(context, progress.batch_id) if progress.state is BatchState.RUNNING else None
    seconds_left = (progress.total - progress.final) / rate if rate else None
    return {
        "items_per_second": None if rate is None else round(rate, 1),
        "seconds_left": None if seconds_left is None else round(seconds_left, 1),
    }


def _details(context: Context, batch: str, *, full: bool) -> dict[str, Any]:
    progress = batch_progress.progress(context, batch)
    details = progress_json(progress) | _throughput(context, progress)
    if full or progress.total <= _FULL_ITEMS:
        details["labels"] = batch_progress.labels(context, progress.batch_id)
        details["callbacks"] = deliveries.counts(context, progress.batch_id)
    return details
