"""`pipeline definitions`."""

from __future__ import annotations

import click

from pipeline.cli.commands.definitions.delete import delete
from pipeline.cli.commands.definitions.list import list_
from pipeline.cli.commands.definitions.show import show
from pipeline.cli.commands.definitions.store import store


@click.group()
def definitions() -> None:
    """Manage the definitions that `pipeline serve` runs by name.

    A name means a file in PIPELINE_DEFINITIONS, or else what was stored under it. Running batches keep the definition
    that they were submitted with.

    \b
    Examples:
      pipeline definitions list
      pipeline definitions store tickets.toml
      pipeline definitions show tickets
    """


for _command in (delete, list_, show, store):
    definitions.add_command(_command)
