"""`pipeline dead list`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.item import shorten_answer
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.table import print_table


@click.command("list")
@click.argument("batch", metavar="[BATCH]", required=False)
@options.limit(50)
@options.as_json
def list_(batch: str | None, limit: int, as_json: bool) -> None:
    """List dead items of BATCH, or of all batches, newest first.

    \b
    Examples:
      pipeline dead list
      pipeline dead list last --limit 500 --json
    """
    with open_backend() as backend:
        # One more than the limit shows whether there are more.
        items = backend.dead(batch, limit + 1)
    if as_json:
        print_json(items[:limit])
        return
    headers = ("item", "key", "stage", "attempts", "kind", "type", "message", "answer", "finished")
    # Attempts at the stage that failed.
    names = ("item_id", "key", "stage", "attempt", "kind", "type", "message")
    rows = [
        (*(item[name] for name in names), shorten_answer(item["answer"]), item["finished_at"]) for item in items[:limit]
    ]
    below = ("answer", "message", "finished", "type", "kind")
    print_table(headers, rows, right={"attempts"}, below=below, empty="no dead items")
    if len(items) > limit:
        Messages().info(f"there are more; --limit {limit * 10} lists more")
