"""`pipeline db upgrade`."""

from __future__ import annotations

import click

from pipeline.cli.run.session import open_database
from pipeline.cli.show.output import Messages
from pipeline.database.schema import upgrade_schema
from pipeline.settings import load as load_settings


@click.command()
def upgrade() -> None:
    """Upgrade the database to the schema version of this program.

    \b
    Examples:
      pipeline db upgrade
    """
    with open_database(load_settings()) as database:
        before = upgrade_schema(database)
    if before.is_current:
        Messages().info(f"the database is up to date, at version {before.program}")
    else:
        Messages().info(f"upgraded the database from version {before.database or 'empty'} to {before.program}")
