"""`pipeline status`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from pipeline.batches import progress as batch_progress
from pipeline.batches import throughput
from pipeline.cli import options
from pipeline.cli.checks.queues import unserved_queues, warn_unserved
from pipeline.cli.run.session import open_context
from pipeline.cli.show.batch import print_batch, print_batches, progress_json
from pipeline.cli.show.export import export_json, warn_of_exports
from pipeline.cli.show.output import Messages, format_value, pluralize, print_json
from pipeline.cli.show.unhealthy_endpoints import warn_unhealthy
from pipeline.context import Context
from pipeline.delivery import deliveries
from pipeline.domain.batch import BatchState, Progress
from pipeline.domain.item import ItemState
from pipeline.exports import exports

#: Number of errors that are shown.
_ERRORS = 3
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
    them. A batch that has finished no item for PIPELINE_LEASE_SECONDS stands still. The most frequent errors of BATCH,
    queues that nobody serves although work waits for them, and endpoints that are failing or disabled are reported on
    standard error.

    \b
    Examples:
      pipeline status
      pipeline status last
      pipeline status last --full --json
    """
    messages = Messages()
    with open_context() as context:
        if batch is None:
            unserved = {} if as_json else unserved_queues(context)
            batches = [
                progress_json(progress) | _throughput(context, progress)
                for progress in batch_progress.recent(context, limit)
            ]
            print_json(batches) if as_json else print_batches(batches)
        else:
            details = _details(context, batch, full=full)
            unserved = details["unserved"]
            print_json(details) if as_json else print_batch(details)
            if not as_json:
                _warn_of_errors(details, messages)
                warn_of_exports(details["exports"], messages)
            if not as_json and "labels" not in details:
                messages.info(f"more than {_FULL_ITEMS:,} items; to count labels and callbacks, add --full")
        if not as_json:
            warn_unserved(unserved, messages)
            warn_unhealthy(context, messages)


def _warn_of_errors(details: Mapping[str, Any], messages: Messages) -> None:
    for error in details["errors"]:
        count = pluralize(error["items"], "item")
        if error["state"] == ItemState.DEAD:
            batch = details["batch_id"]
            hint = (
                f"`pipeline dead list {batch}` shows more; once the cause is gone, run `pipeline dead replay {batch}`"
            )
            messages.warn(f"{count} dead: {format_value(error['message'])}; {hint}")
        else:
            messages.warn(f"{count} to be retried: {format_value(error['message'])}")


def _throughput(context: Context, progress: Progress) -> dict[str, Any]:
    if progress.state is not BatchState.RUNNING:
        return {"items_per_second": None, "seconds_left": None, "stands_still_since": None}
    measured = throughput.measure(context, progress.batch_id)
    rate = measured.items_per_second
    return {
        "items_per_second": round(rate, 1),
        "seconds_left": round((progress.total - progress.final) / rate, 1) if rate else None,
        "stands_still_since": measured.stands_still_since,
    }


def _details(context: Context, batch: str, *, full: bool) -> dict[str, Any]:
    progress = batch_progress.progress(context, batch)
    details = progress_json(progress) | _throughput(context, progress)
    details["exports"] = [export_json(row) for row in exports.of_batch(context, progress.batch_id)]
    details["unserved"] = unserved_queues(context, progress.batch_id)
    details["errors"] = [asdict(error) for error in batch_progress.errors(context, progress.batch_id, limit=_ERRORS)]
    if full or progress.total <= _FULL_ITEMS:
        details["labels"] = batch_progress.labels(context, progress.batch_id)
        details["callbacks"] = deliveries.counts(context, progress.batch_id)
    return details
