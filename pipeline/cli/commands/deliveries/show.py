"""`pipeline deliveries show`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.delivery import print_delivery
from pipeline.cli.show.output import print_json


@click.command()
@options.delivery
@options.as_json
def show(name: str, as_json: bool) -> None:
    """Show a delivery and its attempts.

    Each attempt has its status, duration, error and the start of the response. ID is the id of the delivery, or the
    webhook id (msg_…) of its event or bundle.

    \b
    Examples:
      pipeline deliveries show 42
      pipeline deliveries show msg_2whekg34q0szey76000000000001 --json
    """
    with open_backend() as backend:
        found = backend.delivery(name)
    print_json(found) if as_json else print_delivery(found)
