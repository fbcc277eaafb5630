"""`pipeline dead replay`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pipeline.batches import progress as batch_progress
from pipeline.batches import replay as service
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.run.wake_workers import wake_workers
from pipeline.cli.show.output import Messages, pluralize, print_json
from pipeline.context import Context
from pipeline.domain.bounds import shown
from pipeline.domain.ids import split_item_id
from pipeline.errors import InvalidInput, NotFound


@click.command()
@options.batch
@click.option(
    "--item", "items", metavar="ITEM", multiple=True, help="Replay only this item id or key; can be repeated."
)
@options.yes
@options.as_json
def replay(batch: str, items: Sequence[str], yes: bool, as_json: bool) -> None:
    """Replay dead items of BATCH.

    They become pending again, with fresh attempts, at the stage that failed.

    \b
    Examples:
      pipeline dead replay last
      pipeline dead replay last --item 5k2v9qxw3n8m4tjd-17 --yes
    """
    messages = Messages()
    with open_context() as context:
        progress = batch_progress.progress(context, batch)
        positions = [_dead_position(context, progress.batch_id, item) for item in items] or None
        count = progress.dead if positions is None else len(positions)
        options.confirm(f"Replay {pluralize(count, 'dead item')} of batch {progress.batch_id}?", yes or not count)
        replayed = service.replay_dead(context, progress.batch_id, positions=positions)
        wake_workers(context, messages)
        is_embedded = context.settings.is_embedded
    if as_json:
        print_json({"batch_id": progress.batch_id, "replayed": replayed})
        return
    hint = f"; to process them, run `pipeline run --batch {progress.batch_id}`" if is_embedded and replayed else ""
    messages.info(f"{pluralize(replayed, 'dead item')} of batch {progress.batch_id} pending again{hint}")


def _dead_position(context: Context, batch_id: str, name: str) -> int:
    """Return the position of a dead item in the batch.

    Raises:
        NotFound: there is no such item.
        InvalidInput: the item belongs to another batch, or is not dead.
    """
    details = batch_progress.details(context, name, batch_id)
    if details is None:
        raise NotFound(f"batch {batch_id} has no item {shown(name)}; `pipeline dead list {batch_id}` lists dead items")
    if details.batch["public_id"] != batch_id:
        parts = split_item_id(name)
        raise InvalidInput(f"item {name!r} belongs to batch {parts[0] if parts else '?'}, not to {batch_id}")
    if details.item["state"] != "dead":
        raise InvalidInput(f"item {name!r} is {details.item['state']}; only dead items can be replayed")
    return int(details.item["position"])
