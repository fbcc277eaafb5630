"""`pipeline keys list`."""

from __future__ import annotations

import click

from pipeline.access import keys as service
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.key import key_json
from pipeline.cli.show.output import print_json
from pipeline.cli.show.table import print_table

_HEADERS = ("id", "name", "tenant", "scopes", "rate", "state", "created", "expires", "last used")


@click.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """List API keys, the oldest first, without their secrets.

    \b
    Examples:
      pipeline keys list
      pipeline keys list --json
    """
    with open_context() as context:
        found, now = service.every(context), context.now()
    if as_json:
        print_json([key_json(key, now) for key in found])
        return
    rows = [
        (
            key.id,
            key.name,
            key.tenant,
            " ".join(key.scopes),
            f"{key.rate:g}/s",
            key_json(key, now)["state"],
            key.created_at,
            key.expires_at,
            key.last_used_at,
        )
        for key in found
    ]
    print_table(_HEADERS, rows, below=("scopes", "last used", "expires"), empty="no keys")
