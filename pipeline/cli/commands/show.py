"""`pipeline show`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.batch import progress_json
from pipeline.cli.show.item import print_item
from pipeline.cli.show.output import print_fields, print_json
from pipeline.domain.batch import Progress


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
    with open_backend() as backend:
        found = backend.item_or_progress(name, batch, with_payload=payload)
    if isinstance(found, Progress):
        progress = progress_json(found)
        print_json(progress) if as_json else print_fields(progress)
        return
    print_json(found) if as_json else print_item(found)
