"""`pipeline dead list`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.batches import progress as batch_progress
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.item import shorten_answer
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.table import print_table
from pipeline.database.row import Row
from pipeline.domain.ids import item_id


@click.command("list")
@click.argument("batch", metavar="[BATCH]", required=False)
@options.limit(50)
@options.as_json
def list_(batch: str | None, limit: int, as_json: bool) -> None:
    """List dead items of BATCH, or of all batches.

    \b
    Examples:
      pipeline dead list
      pipeline dead list last --limit 500 --json
    """
    with open_context() as context:
        # One more than the limit shows whether there are more.
        items = [_item_json(row) for row in batch_progress.dead(context, batch, limit=limit + 1)]
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


def _item_json(row: Row) -> dict[str, Any]:
    return {
        "batch_id": row["public_id"],
        "item_id": item_id(row["public_id"], row["position"]),
        "key": row["key"],
        "attempt": row["attempt"],
        "attempts": row["attempts"],
        **{name: row[f"error_{name}"] for name in ("kind", "type", "message", "stage")},
        "answer": row["answer"],
        "finished_at": row["finished_at"],
    }
