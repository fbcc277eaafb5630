"""`pipeline exports`."""

from __future__ import annotations

import click

from pipeline.cli.commands.exports.ddl import ddl
from pipeline.cli.commands.exports.list import list_
from pipeline.cli.commands.exports.retry import retry
from pipeline.cli.commands.exports.show import show
from pipeline.cli.commands.exports.verify import verify


@click.group()
def exports() -> None:
    """Manage exports of results.

    An export writes all results of a batch to a folder, an object store or a table, in parts, and then a manifest. Add
    one with --export to `pipeline run` or `pipeline submit`.

    \b
    Examples:
      pipeline exports list
      pipeline exports verify last
      pipeline exports ddl conn://warehouse/public.results
    """


for _command in (list_, show, retry, verify, ddl):
    exports.add_command(_command)
