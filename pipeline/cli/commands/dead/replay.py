"""`pipeline dead replay`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pipeline.batches import replay as service
from pipeline.cli import options
from pipeline.cli.backends import Backend, open_backend
from pipeline.cli.show.output import Messages, pluralize, print_json
from pipeline.domain.bounds import shown
from pipeline.domain.ids import split_item_id
from pipeline.domain.item import ItemState
from pipeline.errors import InvalidInput, NotFound


@click.command()
@options.batch
@click.option(
    "--item", "items", metavar="ITEM", multiple=True, help="Replay only this item id or key; can be repeated."
)
@click.option(
    "--state",
    type=click.Choice([state.value for state in service.REPLAYED_STATES]),
    default=ItemState.DEAD.value,
    show_default=True,
    help="Replay the items in this state: cancelled runs the rest of a cancelled batch.",
)
@options.yes
@options.as_json
def replay(batch: str, items: Sequence[str], state: str, yes: bool, as_json: bool) -> None:
    """Replay dead or cancelled items of BATCH.

    They become pending again, with fresh attempts, at the stage where they ended. A cancelled batch runs again.

    \b
    Examples:
      pipeline dead replay last
      pipeline dead replay last --item 5k2v9qxw3n8m4tjd-17 --yes
      pipeline dead replay last --state cancelled
    """
    messages = Messages()
    noun = f"{state} item"
    with open_backend() as backend:
        progress = backend.progress(batch)
        named = [_item_id(backend, progress.batch_id, item, state) for item in items] or None
        count = getattr(progress, state) if named is None else len(named)
        options.confirm(f"Replay {pluralize(count, noun)} of batch {progress.batch_id}?", yes or not count)
        replayed = backend.replay_items(progress.batch_id, ItemState(state), named, messages)
    if as_json:
        print_json({"batch_id": progress.batch_id, "replayed": replayed})
        return
    waits = backend.needs_command and replayed
    hint = f"; to process them, run `pipeline run --batch {progress.batch_id}`" if waits else ""
    messages.info(f"{pluralize(replayed, noun)} of batch {progress.batch_id} pending again{hint}")


def _item_id(backend: Backend, batch_id: str, name: str, state: str) -> str:
    """Return the id of an item of the batch.

    Raises:
        NotFound: there is no such item.
        InvalidInput: the item belongs to another batch, or is in another state.
    """
    found = backend.item(name, batch_id, with_payload=False)
    if found is None:
        raise NotFound(f"batch {batch_id} has no item {shown(name)}; `pipeline dead list {batch_id}` lists dead items")
    if found["batch_id"] != batch_id:
        parts = split_item_id(name)
        raise InvalidInput(f"item {name!r} belongs to batch {parts[0] if parts else '?'}, not to {batch_id}")
    if found["state"] != state:
        hint = f"; pass --state {found['state']}" if found["state"] in service.REPLAYED_STATES else ""
        raise InvalidInput(f"item {name!r} is {found['state']}, not {state}{hint}")
    return str(found["item_id"])
