"""`pipeline deliveries list`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.argument_types import whole_number
from pipeline.cli.backends import open_backend
from pipeline.cli.show.delivery import print_deliveries
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.time_arguments import parse_time
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.domain import bounds


@click.command("list")
@click.option("--batch", metavar="BATCH", help="Only deliveries of this batch.")
@click.option(
    "--item", metavar="ITEM", help="Only deliveries of this item: an item id, or a key in --batch or the last batch."
)
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only in this state.")
@click.option("--endpoint", metavar="ORIGIN", help="Only to this endpoint: https://example.com, or any URL there.")
@click.option("--url", metavar="URL", help="Only to exactly this URL.")
@click.option("--webhook-id", metavar="ID", help="Only of the event or bundle with this webhook id (msg_…).")
@click.option(
    "--since", type=parse_time, metavar="WHEN", help="Only created since WHEN: a time, or an age such as 90m or 6h."
)
@click.option(
    "--before",
    type=whole_number(bounds.DELIVERY_ID),
    metavar="ID",
    help="Only with lower ids, for the next page.",
)
@options.limit(50)
@options.as_json
def list_(limit: int, as_json: bool, **filters: Any) -> None:
    """List deliveries, newest first.

    A delivery that waits for its endpoint shows the reason together with the last error.

    \b
    Examples:
      pipeline deliveries list
      pipeline deliveries list --batch last --state dead --json
      pipeline deliveries list --item T-0001
      pipeline deliveries list --endpoint https://example.com --state pending --since 6h
    """
    with open_backend() as backend:
        # One more than the limit shows whether there are more.
        found = backend.deliveries(filters, limit + 1)
    if as_json:
        print_json(found[:limit])
        return
    print_deliveries(found[:limit])
    if len(found) > limit:
        last_id = found[limit - 1]["id"]
        Messages().info(f"there are more; --limit {limit * 10} lists more, --before {last_id} the next page")
