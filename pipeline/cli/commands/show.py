"""`pipeline show`."""

from __future__ import annotations

import click

from pipeline.batches import progress as batch_progress
from pipeline.batches.find import LAST
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.batch import progress_json
from pipeline.cli.show.item import find_item, item_json, print_item
from pipeline.cli.show.output import print_fields, print_json
from pipeline.context import Context
from pipeline.domain.batch import Progress
from pipeline.errors import NotFound


@click.command()
@click.argument("name", metavar="ID")
@options.batch_of_key
@options.payload
@options.as_json
def show(name: str, batch: str, payload: bool, as_json: bool) -> None:
    """Show everything about one item.

    That is its state, answers, failed attempts and callbacks. ID is an item id, the id of a Celery task, your own key
    of an item, or a batch.

    \b
    Examples:
      pipeline show T-0001
      pipeline show 5k2v9qxw3n8m4tjd-17 --payload
      pipeline show 5k2v9qxw3n8m4tjd-17-classify-1 --json
    """
    with open_context() as context:
        details = None if name == LAST else find_item(context, name, batch)
        if details is not None:
            item = item_json(context, details, with_payload=payload)
            print_json(item) if as_json else print_item(item)
            return
        progress = progress_json(_find_batch(context, name, batch))
    print_json(progress) if as_json else print_fields(progress)


def _find_batch(context: Context, name: str, batch: str) -> Progress:
    try:
        return batch_progress.progress(context, name)
    except NotFound:
        raise NotFound(
            f"{name!r} is neither an item, nor a key in batch {batch!r}, nor a batch; --batch looks up keys in another"
        ) from None
