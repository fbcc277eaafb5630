"""`pipeline status`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.output import duration, print_facts, print_json
from pipeline.cli.session import opened
from pipeline.cli.table import print_table
from pipeline.domain.batch import BatchState, Progress
from pipeline.services import pace, report
from pipeline.services.context import Context

_COUNTS = ("total", "waiting", "in_flight", "succeeded", "dead", "cancelled")


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@options.limit(20)
@options.as_json
def status(batch: str | None, limit: int, as_json: bool) -> None:
    """List the batches submitted last, or show BATCH in detail.

    \b
    Examples:
      pipeline status
      pipeline status last
      pipeline status last --json
    """
    with opened() as context:
        if batch is None:
            found = report.recent(context, limit)
            print_json([counts(each) for each in found]) if as_json else _print_list(found)
            return
        details = _details(context, batch)
    print_json(details) if as_json else _print_details(details)


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


def _details(context: Context, batch: str) -> dict[str, Any]:
    progress = report.progress(context, batch)
    rate = pace.rate(context, progress.batch_id) if progress.state is BatchState.RUNNING else None
    left = (progress.total - progress.final) / rate if rate else None
    return counts(progress) | {
        "items_per_second": None if rate is None else round(rate, 1),
        "seconds_left": None if left is None else round(left, 1),
        "labels": report.labels(context, progress.batch_id),
        "callbacks": report.owed(context, progress.batch_id),
    }


def _print_list(found: list[Progress]) -> None:
    headers = ("batch", "definition", "state", "items", "waiting", "in flight", "succeeded", "dead", "created")
    rows = [
        (
            each.batch_id, each.definition, each.state.value,
            each.total, each.waiting, each.in_flight, each.succeeded, each.dead, each.created_at,
        )
        for each in found
    ]  # fmt: skip
    print_table(headers, rows, right=set(headers[3:8]))


def _print_details(details: dict[str, Any]) -> None:
    plain = {name.replace("_", " "): value for name, value in details.items() if not isinstance(value, dict)}
    left = plain.pop("seconds left")
    plain["time left"] = None if left is None else duration(left)
    print_facts(plain)
    if details["callbacks"]:
        print_facts({"callbacks": ", ".join(f"{count:,} {state}" for state, count in details["callbacks"].items())})
    if details["labels"]:
        print_table(("label", "items"), details["labels"].items(), right={"items"})
