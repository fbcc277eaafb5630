"""`pipeline dead replay`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from pipeline.batches.replays import replay as service
from pipeline.batches.replays.dead_items import DeadFilter
from pipeline.cli import options
from pipeline.cli.backends import Backend, open_backend
from pipeline.cli.show.output import Messages, pluralize, print_json
from pipeline.cli.time_arguments import parse_time
from pipeline.domain.bounds import shown
from pipeline.domain.ids import split_item_id
from pipeline.domain.item import ItemState, Stage
from pipeline.errors import InvalidInput, NotFound


@click.command()
@click.argument("batch", metavar="[BATCH]", required=False)
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
@click.option("--cause", metavar="CAUSE", help="Only dead items of this cause; `pipeline dead summary` lists causes.")
@click.option("--stage", type=click.Choice([each.value for each in Stage]), help="Only dead items that failed there.")
@click.option("--type", "error_type", metavar="TYPE", help="Only dead items with an error of this type.")
@click.option("--since", type=parse_time, metavar="WHEN", help="Only items that died then or later: a time, or 2h.")
@click.option("--force", is_flag=True, help="Also if a guard of the batch has fired and the batch was not resumed.")
@options.dry_run
@options.yes
@options.as_json
def replay(
    batch: str | None,
    items: Sequence[str],
    state: str,
    cause: str | None,
    stage: str | None,
    error_type: str | None,
    since: datetime | None,
    force: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Replay dead or cancelled items of BATCH.

    They become pending again, with fresh attempts, at the stage where they ended. A cancelled batch runs again. With
    --cause, --stage, --type or --since, only dead items that match all of them are replayed; BATCH may then be left
    out, which means all batches.

    \b
    Examples:
      pipeline dead replay last
      pipeline dead replay last --item 5k2v9qxw3n8m4tjd-17 --yes
      pipeline dead replay last --state cancelled
      pipeline dead replay --cause 4f2a91c07be3 --since 2h --dry-run
    """
    wanted = DeadFilter(stage=stage, type=error_type, cause=cause, finished_since=since)
    if wanted != DeadFilter() or dry_run:
        if items or state != ItemState.DEAD:
            raise click.UsageError("--cause, --stage, --type, --since and --dry-run choose among all dead items")
        _replay_matching(batch, wanted, force=force, dry_run=dry_run, yes=yes, as_json=as_json)
    elif batch is None:
        raise click.UsageError("name a BATCH, or choose among all batches by --cause, --stage, --type or --since")
    else:
        _replay(batch, items, state, force=force, yes=yes, as_json=as_json)


def _replay_matching(
    batch: str | None, wanted: DeadFilter, *, force: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    messages = Messages()
    with open_backend() as backend:
        # Counting takes as long as replaying; do it only if the number is needed.
        done: list[dict[str, Any]] = backend.replay_matching(batch, wanted, dry_run=True) if dry_run or not yes else []
        if not dry_run:
            matched = sum(each["matched"] or 0 for each in done)
            options.confirm(f"Replay {pluralize(matched, 'dead item')}?", yes or not matched)
            done = backend.replay_matching(batch, wanted, dry_run=False, force=force)
    if as_json:
        print_json({"batches": done, "dry_run": dry_run})
        return
    for each in done:
        if each["error"]:
            messages.warn(f"batch {each['batch_id']}: {each['error']}")
        elif dry_run:
            messages.info(f"would replay {pluralize(each['matched'], 'dead item')} of batch {each['batch_id']}")
        else:
            _report(backend, each["batch_id"], each["replayed"], "dead item", messages)
    if not any(each["matched"] or each["error"] for each in done):
        messages.info("no dead item matches")


def _replay(batch: str, items: Sequence[str], state: str, *, force: bool, yes: bool, as_json: bool) -> None:
    messages = Messages()
    noun = f"{state} item"
    with open_backend() as backend:
        progress = backend.progress(batch)
        named = [_item_id(backend, progress.batch_id, item, state) for item in items] or None
        count = getattr(progress, state) if named is None else len(named)
        options.confirm(f"Replay {pluralize(count, noun)} of batch {progress.batch_id}?", yes or not count)
        replayed = backend.replay_items(progress.batch_id, ItemState(state), named, messages, force=force)
    if as_json:
        print_json({"batch_id": progress.batch_id, "replayed": replayed})
        return
    _report(backend, progress.batch_id, replayed, noun, messages)


def _report(backend: Backend, batch_id: str, replayed: int, noun: str, messages: Messages) -> None:
    waits = backend.needs_command and replayed
    hint = f"; to process them, run `pipeline run --batch {batch_id}`" if waits else ""
    messages.info(f"{pluralize(replayed, noun)} of batch {batch_id} pending again{hint}")


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
