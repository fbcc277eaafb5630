"""`pipeline keys`."""

from __future__ import annotations

import click

from pipeline.cli.commands.keys.create import create
from pipeline.cli.commands.keys.list import list_
from pipeline.cli.commands.keys.revoke import revoke
from pipeline.cli.commands.keys.rotate import rotate


@click.group()
def keys() -> None:
    """Manage the API keys of `pipeline serve`.

    As soon as one key exists, every request needs one. ID is the part of a key between its underscores.

    \b
    Examples:
      pipeline keys create ops --scope read,operate,admin
      pipeline keys list
      pipeline keys revoke 4hG7kLmN2p
    """


for _command in (create, list_, revoke, rotate):
    keys.add_command(_command)
