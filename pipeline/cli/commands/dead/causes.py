"""`pipeline dead causes`."""

from __future__ import annotations

import click

from pipeline.batches.replays.dead_items import GROUPED, DeadFilter
from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.show.table import print_table
from pipeline.domain.item import Stage


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
@click.option("--stage", type=click.Choice([stage.value for stage in Stage]), help="Only items that failed there.")
@click.option("--top", type=click.IntRange(min=1), default=10, show_default=True, help="Show so many causes.")
@options.as_json
def causes(batch: str | None, stage: str | None, top: int, as_json: bool) -> None:
    """Show what dead items of BATCH, or of all, died of.

    The most frequent cause comes first. Items have the same cause if they failed at the same stage with the same error,
    apart from what differs from item to item, such as numbers and quoted text. `pipeline dead replay --cause CAUSE`
    runs those of one cause again.

    \b
    Examples:
      pipeline dead causes last
      pipeline dead causes --stage enrich --top 3 --json
    """
    with open_backend() as backend:
        found, has_older = backend.dead_causes(batch, DeadFilter(stage=stage), by_definition=False)
    total = sum(each["count"] for each in found)
    shown = [each | {"share": each["count"] / total} for each in found[:top]]
    for each in shown:
        del each["definition"]
    if as_json:
        print_json(shown)
    else:
        headers = ("cause", "items", "share", "stage", "kind", "type", "message", "first", "last", "example")
        names = ("stage", "kind", "type", "message", "first_at", "last_at", "example")
        rows = [
            (each["cause"], each["count"], f"{100 * each['share']:.1f} %", *(each[name] for name in names))
            for each in shown
        ]
        below = ("example", "kind", "type", "first", "last", "message")
        print_table(headers, rows, right={"items", "share"}, below=below, empty="no dead items")
    if len(found) > top:
        Messages().info(f"{len(found) - top} rarer causes; --top {len(found)} shows them")
    if has_older:
        Messages().info(f"of the newest {GROUPED:,} dead items")
