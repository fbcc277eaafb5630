"""`pipeline deliveries`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.commands.deliveries_recover import recover, replay_missing
from pipeline.cli.commands.deliveries_send import send
from pipeline.cli.run.session import opened
from pipeline.cli.show.delivery import described, print_delivery, print_list, with_attempts
from pipeline.cli.show.output import Talk, print_json
from pipeline.cli.time_arguments import instant
from pipeline.delivery import deliveries as service
from pipeline.delivery import delivery_search
from pipeline.delivery.delivery_search import MAX_ID, Wanted
from pipeline.delivery.rules.delivery import DeliveryState

_named = click.argument("name", metavar="ID")


@click.group()
def deliveries() -> None:
    """Callbacks: each is one event owed to one URL.

    \b
    Examples:
      pipeline deliveries list --batch last --state dead
      pipeline deliveries show 42
      pipeline deliveries recover --endpoint https://example.com --since 6h
    """


for _command in (recover, replay_missing, send):
    deliveries.add_command(_command)


@deliveries.command("list")
@click.option("--batch", metavar="BATCH", help="Only of this batch.")
@click.option("--item", metavar="ITEM", help="Only of this item: its id, or its key in --batch or the last batch.")
@click.option("--state", type=click.Choice([each.value for each in DeliveryState]), help="Only in this state.")
@click.option("--endpoint", metavar="ORIGIN", help="Only to this endpoint: https://host, or any URL there.")
@click.option("--url", metavar="URL", help="Only to exactly this URL.")
@click.option("--webhook-id", metavar="ID", help="Only of this event, or in this bundle: msg_….")
@click.option("--since", type=instant, metavar="WHEN", help="Only owed since then: a time, or how long ago: 90m, 6h.")
@click.option("--before", type=click.IntRange(1, MAX_ID), metavar="ID", help="Only with ids below.")
@options.limit(50)
@options.as_json
def list_(limit: int, as_json: bool, **wanted: Any) -> None:
    """List deliveries, newest first: for which item, how far, where to; for what one waits stands with its error.

    \b
    Examples:
      pipeline deliveries list
      pipeline deliveries list --batch last --state dead --json
      pipeline deliveries list --item T-0001
      pipeline deliveries list --endpoint https://example.com --state pending --since 6h
    """
    with opened() as context:
        # One more than is shown says whether there are more.
        rows = delivery_search.newest(context, Wanted(**wanted), limit=limit + 1)
        if as_json:
            print_json([described(context, row) for row in rows[:limit]])
            return
        print_list(context, rows[:limit])
    if len(rows) > limit:
        last = rows[limit - 1]["id"]
        Talk().say(f"there are more; --limit {limit * 10} shows them, --before {last} the next ones")


@deliveries.command("show")
@_named
@options.as_json
def show(name: str, as_json: bool) -> None:
    """Show a delivery and each of its attempts: status, duration, error, and how the answer began.

    ID is its number, or the webhook id (msg_…) of its event or bundle.

    \b
    Examples:
      pipeline deliveries show 42
      pipeline deliveries show msg_2whekg34q0szey76000000000001 --json
    """
    with opened() as context:
        shown = service.show(context, delivery_search.number(context, name))
        print_json(with_attempts(context, shown)) if as_json else print_delivery(context, shown)


@deliveries.command("replay")
@_named
@options.as_json
def replay(name: str, as_json: bool) -> None:
    """Send a delivery again, now: the same webhook id and body, with a new timestamp and signature.

    ID is its number, or the webhook id (msg_…) of its event or bundle. The attempt counts for nothing in the schedule:
    one that was given up is tried once more, one that waits for its next attempt is tried on as before should this one
    fail.

    \b
    Examples:
      pipeline deliveries replay 42
    """
    with opened() as context:
        row = service.replay(context, delivery_search.number(context, name))
        is_embedded = context.settings.is_embedded
        found = described(context, row)
    if as_json:
        print_json(found)
        return
    how = f"`pipeline run --batch {row['public_id']}` sends it" if is_embedded else "workers send it"
    Talk().say(f"delivery {row['id']} is pending, due now; {how}")
