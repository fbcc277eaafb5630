"""`pipeline db`."""

from __future__ import annotations

import click

from pipeline.cli.commands.db.current import current
from pipeline.cli.commands.db.prune import prune
from pipeline.cli.commands.db.upgrade import upgrade


@click.group()
def db() -> None:
    """Manage the database.

    An embedded database is upgraded automatically. A database that several programs share must be upgraded with
    `pipeline db upgrade`.

    \b
    Examples:
      pipeline db current
      pipeline db upgrade
      pipeline db prune --older-than 30d
    """


for _command in (current, upgrade, prune):
    db.add_command(_command)
