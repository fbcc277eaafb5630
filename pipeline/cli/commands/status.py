"""`pipeline status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from pipeline.batch_status import COUNTED_ITEMS
from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.checks.queues import warn_unserved
from pipeline.cli.show.batch import print_batch, print_batches
from pipeline.cli.show.export import warn_of_exports
from pipeline.cli.show.output import Messages, format_value, pluralize, print_json
from pipeline.cli.show.unhealthy_endpoints import LIMIT, warn_unhealthy
from pipeline.domain.item import ItemState

#: Alerts that are named.
_ALERTS = 5


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@options.limit(20)
@click.option(
    "--full", is_flag=True, help=f"Count labels and callbacks even if BATCH has more than {COUNTED_ITEMS:,} items."
)
@options.as_json
def status(batch: str | None, limit: int, full: bool, as_json: bool) -> None:
    """List recent batches, or show one in detail.

    Items are waiting in the database, in flight once released to the workers, and running once a worker has claimed
    them. A batch that has finished no item for PIPELINE_LEASE_SECONDS stands still. The most frequent errors of BATCH,
    queues that nobody serves although work waits for them, endpoints that are failing or disabled, and alerts that fire
    are reported on standard error, and so are submissions that were interrupted and can go on.

    \b
    Examples:
      pipeline status
      pipeline status last
      pipeline status last --full --json
    """
    messages = Messages()
    with open_backend() as backend:
        if batch is None:
            unserved = {} if as_json else backend.unserved()
            batches = backend.batches(limit)
            print_json(batches) if as_json else print_batches(batches)
            interrupted = [] if as_json else backend.interrupted()
        else:
            details = backend.status(batch, full=full)
            unserved, found = details["unserved"], details["submission"]
            interrupted = [] if found is None else [(details["batch_id"], found["text"])]
            print_json(details) if as_json else print_batch(details)
            if not as_json:
                _warn_of_errors(details, messages)
                _warn_of_guards(details, messages)
                warn_of_exports(details["exports"], messages)
            if not as_json and "labels" not in details:
                messages.info(f"more than {COUNTED_ITEMS:,} items; to count labels and callbacks, add --full")
        if not as_json:
            for batch_id, text in interrupted:
                messages.info(f"batch {batch_id}: {text}")
            for text in backend.waiting_steps() if batch is None else [e["text"] for e in details["waiting_steps"]]:
                messages.warn(format_value(text))
            warn_unserved(unserved, messages)
            warn_unhealthy(backend.troubled(LIMIT + 1), messages)
            _warn_of_alerts(backend.alerts(_ALERTS + 1), messages)


def _warn_of_alerts(firing: Sequence[Mapping[str, Any]], messages: Messages) -> None:
    for alert in firing[:_ALERTS]:
        command = f"pipeline alerts show {alert['alert_id']}"
        messages.warn(f"alert {alert['name']} ({alert['severity']}): {alert['summary']}; for details run `{command}`")
    if len(firing) > _ALERTS:
        messages.warn("more alerts fire; for all of them run `pipeline alerts list`")


def _warn_of_guards(details: Mapping[str, Any], messages: Messages) -> None:
    for guard in details["guards"]:
        if guard["state"] == "fired":
            hint = f"; mend the cause, then `pipeline resume {details['batch_id']}`" if details["paused_by"] else ""
            messages.warn(f"guard {guard['name']} has fired: {guard['summary']}{hint}")


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
