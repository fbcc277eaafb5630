"""`pipeline guards`."""

from __future__ import annotations

import click

from pipeline.cli.commands.guards.change import remove, reset, set_
from pipeline.cli.commands.guards.list import list_, show


@click.group()
def guards() -> None:
    """Manage the guards of a batch against failures.

    A guard counts what fails in a batch. When too much does, it fires: it raises an alert, and pauses or cancels the
    batch. `pipeline resume` lets it count from nothing. A batch gets guards from its definition, and from
    `pipeline submit --guard rate=5%,in_flight=32`.

    \b
    Examples:
      pipeline guards list last
      pipeline guards set last failures rate=10%
    """


for _command in (list_, show, set_, remove, reset):
    guards.add_command(_command)
