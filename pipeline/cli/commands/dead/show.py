"""`pipeline dead show`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.item import print_item
from pipeline.cli.show.output import print_json
from pipeline.domain.bounds import shown
from pipeline.errors import NotFound


@click.command()
@click.argument("item", metavar="ITEM")
@options.batch_of_key
@options.payload
@options.as_json
def show(item: str, batch: str | None, payload: bool, as_json: bool) -> None:
    """Show a dead item and its failed attempts.

    ITEM is an item id, the id of a Celery task, or your own key of an item.

    \b
    Examples:
      pipeline dead show 5k2v9qxw3n8m4tjd-17
      pipeline dead show T-0001 --payload --json
    """
    with open_backend() as backend:
        found = backend.item(item, batch, with_payload=payload)
    if found is None or found["state"] != "dead":
        state = "unknown" if found is None else f"{found['state']}, not dead"
        raise NotFound(
            f"item {shown(item)} is {state}; `pipeline dead list` lists dead items, `pipeline show` shows any"
        )
    print_json(found) if as_json else print_item(found)
