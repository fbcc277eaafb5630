"""`pipeline show`."""

from __future__ import annotations

import click

from pipeline.batches.progress import Details, details_or_progress
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.batch import progress_json
from pipeline.cli.show.item import item_json, print_item
from pipeline.cli.show.output import print_fields, print_json


@click.command()
@click.argument("name", metavar="ID")
@options.batch_of_key
@options.payload
@options.as_json
def show(name: str, batch: str | None, payload: bool, as_json: bool) -> None:
    """Show everything about one item.

    That is its state, answers, failed attempts and callbacks. ID is your own key of an item, an item id, the id of a
    Celery task, or a batch. A key of the last batch that is also another of these is refused; with --batch, ID is a key
    of that batch first.

    \b
    Examples:
      pipeline show T-0001
      pipeline show last-1 --batch last
      pipeline show 5k2v9qxw3n8m4tjd-17 --payload
      pipeline show 5k2v9qxw3n8m4tjd-17-classify-1 --json
    """
    with open_context() as context:
        found = details_or_progress(context, name, batch)
        if isinstance(found, Details):
            item = item_json(context, found, with_payload=payload)
            print_json(item) if as_json else print_item(item)
            return
    progress = progress_json(found)
    print_json(progress) if as_json else print_fields(progress)
