"""`pipeline dead`."""

from __future__ import annotations

import click

from pipeline.cli.commands.dead.causes import causes
from pipeline.cli.commands.dead.list import list_
from pipeline.cli.commands.dead.replay import replay
from pipeline.cli.commands.dead.show import show
from pipeline.cli.commands.dead.summary import summary


@click.group()
def dead() -> None:
    """Manage dead items.

    An item is dead when its attempts are used up, its failure is permanent, or it has crashed too many workers. It is
    kept with its error until you replay it.

    \b
    Examples:
      pipeline dead summary --since 2h
      pipeline dead causes last
      pipeline dead list last
      pipeline dead replay last
    """


for _command in (summary, causes, list_, show, replay):
    dead.add_command(_command)
