"""`pipeline dead`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from pipeline.batches import progress as batch_progress
from pipeline.batches import replay as service
from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.run.wake_workers import nudge
from pipeline.cli.show.item import described, find, print_item
from pipeline.cli.show.output import Talk, many, print_json
from pipeline.cli.show.table import print_table
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import deliveries
from pipeline.domain.ids import item_id, split_item_id
from pipeline.errors import InvalidInput, NotFound


@click.group()
def dead() -> None:
    """Items that were given up, with the reason; they are kept until somebody replays them.

    \b
    Examples:
      pipeline dead list last
      pipeline dead replay last
    """


@dead.command("list")
@click.argument("batch", metavar="[BATCH]", required=False)
@options.limit(50)
@options.as_json
def list_(batch: str | None, limit: int, as_json: bool) -> None:
    """List dead items, of BATCH or of all batches.

    \b
    Examples:
      pipeline dead list
      pipeline dead list last --limit 500 --json
    """
    with opened() as context:
        # One more than is shown says whether there are more.
        found = [_dead(row) for row in batch_progress.dead(context, batch, limit=limit + 1)]
    if as_json:
        print_json(found[:limit])
        return
    headers = ("item", "key", "stage", "attempts", "kind", "type", "message", "finished")
    fields = ("item_id", "key", "stage", "attempts", "kind", "type", "message", "finished_at")
    print_table(headers, [[row[name] for name in fields] for row in found[:limit]], right={"attempts"})
    if len(found) > limit:
        Talk().say(f"there are more; --limit {limit * 10} shows them")


@dead.command("show")
@click.argument("item", metavar="ITEM")
@options.of_batch
@click.option("--payload", is_flag=True, help="Show the item's payload as well.")
@options.as_json
def show(item: str, batch: str, payload: bool, as_json: bool) -> None:
    """Show why ITEM was given up: every failed attempt.

    \b
    Examples:
      pipeline dead show 5k2v9qxw3n8m4tjd-17
      pipeline dead show T-0001 --payload --json
    """
    with opened() as context:
        details = find(context, item, batch)
        owed = [] if details is None else deliveries.of_item(context, details.batch["id"], details.item["id"])
    if details is None or details.item["state"] != "dead":
        state = "unknown" if details is None else f"{details.item['state']}, not dead"
        raise NotFound(f"item {item!r} is {state}; `pipeline dead list` lists the dead, `pipeline show` shows any")
    found = described(details, owed, with_payload=payload)
    print_json(found) if as_json else print_item(found)


@dead.command("replay")
@options.batch
@click.option("--item", "items", metavar="ITEM", multiple=True, help="Only this, by id or key; may be repeated.")
@options.yes
@options.as_json
def replay(batch: str, items: Sequence[str], yes: bool, as_json: bool) -> None:
    """Make dead items of BATCH pending again, with fresh attempts, at the stage that failed.

    \b
    Examples:
      pipeline dead replay last
      pipeline dead replay last --item 5k2v9qxw3n8m4tjd-17 --yes
    """
    talk = Talk()
    with opened() as context:
        progress = batch_progress.progress(context, batch)
        positions = [_position(context, progress.batch_id, item) for item in items] or None
        count = progress.dead if positions is None else len(positions)
        options.confirm(f"Replay {many(count, 'dead item')} of batch {progress.batch_id}?", yes or not count)
        replayed = service.replay_dead(context, progress.batch_id, positions=positions)
        nudge(context, talk)
        is_embedded = context.settings.is_embedded
    if as_json:
        print_json({"batch_id": progress.batch_id, "replayed": replayed})
        return
    todo = f"; `pipeline run --batch {progress.batch_id}` works on them" if is_embedded and replayed else ""
    talk.say(f"{many(replayed, 'dead item')} of batch {progress.batch_id} pending again{todo}")


def _dead(row: Row) -> dict[str, Any]:
    return {
        "batch_id": row["public_id"],
        "item_id": item_id(row["public_id"], row["position"]),
        "key": row["key"],
        "attempts": row["attempts"],
        **{name: row[f"error_{name}"] for name in ("kind", "type", "message", "stage")},
        "finished_at": row["finished_at"],
    }


def _position(context: Context, batch_id: str, name: str) -> int:
    details = find(context, name, batch_id)
    if details is None:
        raise NotFound(f"batch {batch_id} has no item {name!r}; `pipeline dead list {batch_id}` lists the dead")
    if details.batch["public_id"] != batch_id:
        named = split_item_id(name)
        raise InvalidInput(f"item {name!r} is of batch {named[0] if named else '?'}, not of {batch_id}")
    if details.item["state"] != "dead":
        raise InvalidInput(f"item {name!r} is {details.item['state']}; only dead items are replayed")
    return int(details.item["position"])
