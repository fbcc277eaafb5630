"""`pipeline status`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.batches import progress as batch_progress
from pipeline.batches import throughput
from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.show.endpoint_trouble import warn_of_trouble
from pipeline.cli.show.output import Talk, duration, print_facts, print_json
from pipeline.cli.show.table import print_table
from pipeline.context import Context
from pipeline.delivery import deliveries
from pipeline.domain.batch import BatchState, Progress

_COUNTS = ("total", "waiting", "in_flight", "running", "succeeded", "dead", "cancelled")
#: Up to how many items labels and callbacks are counted unasked: counting a million takes seconds.
_COUNTED = 50_000


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@options.limit(20)
@click.option("--full", is_flag=True, help=f"Count labels and callbacks of more than {_COUNTED:,} items, too.")
@options.as_json
def status(batch: str | None, limit: int, full: bool, as_json: bool) -> None:
    """List the batches submitted last, or show BATCH in detail.

    Items wait in the database, are in flight once released to the workers, and run once a worker has claimed them.
    Endpoints of callbacks that fail or are disabled are named below.

    \b
    Examples:
      pipeline status
      pipeline status last
      pipeline status last --full --json
    """
    with opened() as context:
        if batch is None:
            found = [counts(each) | _speed(context, each) for each in batch_progress.recent(context, limit)]
            print_json(found) if as_json else _print_list(found)
        else:
            details = _details(context, batch, full=full)
            print_json(details) if as_json else _print_details(details)
        if not as_json:
            warn_of_trouble(context, Talk())


def counts(progress: Progress) -> dict[str, Any]:
    """Return a batch's progress as `--json` prints it."""
    return {
        "batch_id": progress.batch_id,
        "definition": progress.definition,
        "state": progress.state.value,
        **{name: getattr(progress, name) for name in _COUNTS},
        "created_at": progress.created_at,
        "completed_at": progress.completed_at,
    }


def _speed(context: Context, progress: Progress) -> dict[str, float | None]:
    rate = throughput.rate(context, progress.batch_id) if progress.state is BatchState.RUNNING else None
    left = (progress.total - progress.final) / rate if rate else None
    return {
        "items_per_second": None if rate is None else round(rate, 1),
        "seconds_left": None if left is None else round(left, 1),
    }


def _details(context: Context, batch: str, *, full: bool) -> dict[str, Any]:
    progress = batch_progress.progress(context, batch)
    details = counts(progress) | _speed(context, progress)
    if full or progress.total <= _COUNTED:
        details["labels"] = batch_progress.labels(context, progress.batch_id)
        details["callbacks"] = deliveries.counts(context, progress.batch_id)
    return details


def _print_list(found: list[dict[str, Any]]) -> None:
    headers = (
        "batch", "definition", "state", "items", "waiting", "in flight", "running", "succeeded", "dead", "items/s",
        "left", "created",
    )  # fmt: skip
    names = ("batch_id", "definition", "state", "total", "waiting", "in_flight", "running", "succeeded", "dead")
    # Nothing is said of what there is none of: a column of noughts is left out.
    rows = [
        (
            *(each[name] or None for name in names),
            each["items_per_second"],
            _left(each["seconds_left"]),
            each["created_at"],
        )
        for each in found
    ]
    below = ("created", "definition", "items/s", "left", "running", "in flight", "waiting")
    print_table(headers, rows, right=set(headers[3:11]), below=below)


def _pace(found: dict[str, Any]) -> tuple[object, object]:
    return found["items_per_second"], _left(found["seconds_left"])


def _left(seconds: float | None) -> str | None:
    return None if seconds is None else duration(seconds)


def _print_details(details: dict[str, Any]) -> None:
    plain = {name.replace("_", " "): value for name, value in details.items() if not isinstance(value, dict)}
    plain["time left"] = _left(plain.pop("seconds left"))
    print_facts(plain)
    if "labels" not in details:
        Talk().say(f"labels and callbacks of more than {_COUNTED:,} items: add --full")
        return
    if details["callbacks"]:
        print_facts({"callbacks": ", ".join(f"{count:,} {state}" for state, count in details["callbacks"].items())})
    if details["labels"]:
        print_table(("label", "items"), details["labels"].items(), right={"items"})
