"""`pipeline show`."""

from __future__ import annotations

import click

from pipeline.batches import progress as batch_progress
from pipeline.batches.find import LAST
from pipeline.cli import options
from pipeline.cli.commands.status import counts
from pipeline.cli.run.session import opened
from pipeline.cli.show.item import described, find, print_item
from pipeline.cli.show.output import print_facts, print_json
from pipeline.delivery import deliveries


@click.command()
@click.argument("name", metavar="ID")
@options.of_batch
@click.option("--payload", is_flag=True, help="Show the item's payload as well.")
@options.as_json
def show(name: str, batch: str, payload: bool, as_json: bool) -> None:
    """Show one item from all sides: state, answers, failed attempts, callbacks.

    ID is an item's id, the id of a Celery task, your own key of an item, or a batch.

    \b
    Examples:
      pipeline show T-0001
      pipeline show 5k2v9qxw3n8m4tjd-17 --payload
      pipeline show 5k2v9qxw3n8m4tjd-17-classify-1 --json
    """
    with opened() as context:
        details = None if name == LAST else find(context, name, batch)
        if details is not None:
            owed = deliveries.of_item(context, details.batch["id"], details.item["id"])
            found = described(details, owed, with_payload=payload)
            print_json(found) if as_json else print_item(found)
            return
        progress = counts(batch_progress.progress(context, name))
    print_json(progress) if as_json else print_facts({key.replace("_", " "): value for key, value in progress.items()})
