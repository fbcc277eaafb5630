"""`pipeline keys revoke`."""

from __future__ import annotations

import click

from pipeline.access import keys as service
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.key import key_json
from pipeline.cli.show.output import Messages, print_json


@click.command()
@click.argument("key_id", metavar="ID")
@options.as_json
def revoke(key_id: str, as_json: bool) -> None:
    """Revoke an API key.

    A running server refuses it within 10 seconds.

    \b
    Examples:
      pipeline keys revoke 4hG7kLmN2p
      pipeline keys revoke 4hG7kLmN2p --json
    """
    with open_context() as context:
        key, now = service.revoke(context, key_id), context.now()
    if as_json:
        print_json(key_json(key, now))
        return
    Messages().info(f"key {key.id} ({key.name}) is revoked; a running server refuses it within 10 seconds")
