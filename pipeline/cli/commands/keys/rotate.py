"""`pipeline keys rotate`."""

from __future__ import annotations

from datetime import timedelta

import click

from pipeline.access import keys as service
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.key import print_new_key
from pipeline.cli.show.output import format_duration
from pipeline.cli.time_arguments import parse_lifetime

_DEFAULT_GRACE = "24h"


@click.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace",
    type=parse_lifetime,
    default=_DEFAULT_GRACE,
    show_default=True,
    metavar="DURATION",
    help="How long the old key still works: seconds, or 90m, 6h, 3d, 1w.",
)
@options.as_json
def rotate(key_id: str, grace: float, as_json: bool) -> None:
    """Create a key like another one, which then expires.

    The new key has the same name, tenant, scopes and rate, and is printed once.

    \b
    Examples:
      pipeline keys rotate 4hG7kLmN2p
      pipeline keys rotate 4hG7kLmN2p --grace 7d
    """
    with open_context() as context:
        key = service.rotate(context, key_id, grace=timedelta(seconds=grace))
    message = f"new key, not shown again; key {key_id} works for another {format_duration(grace)}"
    print_new_key(key, as_json=as_json, message=message)
