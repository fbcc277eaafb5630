"""`pipeline dead summary`."""

from __future__ import annotations

from datetime import datetime

import click

from pipeline.batches.replays.dead_items import GROUPED, DeadFilter
from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.table import print_table
from pipeline.cli.time_arguments import parse_time
from pipeline.domain.item import Stage


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@click.option("--stage", type=click.Choice([stage.value for stage in Stage]), help="Only items that failed there.")
@click.option("--since", type=parse_time, metavar="WHEN", help="Only items that died then or later: a time, or 2h.")
@options.as_json
def summary(batch: str | None, stage: str | None, since: datetime | None, as_json: bool) -> None:
    """Group dead items of BATCH, or of all batches, by cause.

    Items have the same cause if they failed at the same stage with the same error, apart from what differs from item to
    item, such as numbers and quoted text. Causes of different definitions are listed apart, the most frequent first.

    \b
    Examples:
      pipeline dead summary
      pipeline dead summary last --stage enrich
      pipeline dead summary --since 2h --json
    """
    with open_backend() as backend:
        causes, has_older = backend.dead_causes(
            batch, DeadFilter(stage=stage, finished_since=since), by_definition=True
        )
    if as_json:
        print_json(causes)
    else:
        headers = ("cause", "items", "definition", "stage", "kind", "type", "message", "first", "last", "example")
        names = (
            "cause", "count", "definition", "stage", "kind", "type", "message", "first_at", "last_at", "example",
        )  # fmt: skip
        rows = [tuple(cause[name] for name in names) for cause in causes]
        below = ("example", "kind", "type", "first", "last", "message")
        print_table(headers, rows, right={"items"}, below=below, empty="no dead items")
    if has_older:
        Messages().info(f"of the newest {GROUPED:,} dead items; name a BATCH to look at older ones")
