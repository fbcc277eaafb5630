"""`pipeline exports ddl`."""

from __future__ import annotations

import click

from pipeline.bootstrap import load_connections
from pipeline.cli.streams import print_data
from pipeline.domain.bounds import shown
from pipeline.domain.urls.export_target import TargetKind, parse_export_target
from pipeline.errors import InvalidInput
from pipeline.exports.open_target import locate
from pipeline.settings import load as load_settings


@click.command()
@click.argument("target", metavar="TARGET")
def ddl(target: str) -> None:
    """Print the statements that create the tables of TARGET.

    TARGET is a table: postgresql://HOST/DATABASE/SCHEMA.TABLE or conn://NAME/SCHEMA.TABLE. The second table notes how
    far each export is.

    \b
    Examples:
      pipeline exports ddl 'postgresql://db.internal/reports/public.results?mode=upsert'
    """
    found = locate(load_connections(load_settings().connections), parse_export_target(target))
    if found.kind is not TargetKind.TABLE:
        advice = "give postgresql://HOST/DATABASE/SCHEMA.TABLE or a connection to one"
        raise InvalidInput(f"{shown(target)} is no table; {advice}")
    # Imported here: its driver takes long to import.
    from pipeline.exports.targets.result_table import make_ddl

    print_data(make_ddl(found).rstrip())
