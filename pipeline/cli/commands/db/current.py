"""`pipeline db current`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_database, require_database
from pipeline.cli.show.output import print_fields, print_json
from pipeline.database.schema import read_version
from pipeline.settings import load as load_settings


@click.command()
@options.as_json
def current(as_json: bool) -> int:
    """Show the schema version of the database and of this program.

    Exit code 1 if they differ.

    \b
    Examples:
      pipeline db current
      pipeline db current --json
    """
    settings = load_settings()
    require_database(settings)
    with open_database(settings) as database:
        schema = read_version(database)
    fields = {"database": schema.database, "program": schema.program, "is_current": schema.is_current}
    print_json(fields) if as_json else print_fields({**fields, "database": schema.database or "empty"})
    return 0 if schema.is_current else 1
