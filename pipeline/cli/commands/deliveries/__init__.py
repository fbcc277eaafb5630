"""`pipeline deliveries`."""

from __future__ import annotations

import click

from pipeline.cli.commands.deliveries.list import list_
from pipeline.cli.commands.deliveries.recover import recover
from pipeline.cli.commands.deliveries.replay import replay
from pipeline.cli.commands.deliveries.replay_missing import replay_missing
from pipeline.cli.commands.deliveries.send import send
from pipeline.cli.commands.deliveries.show import show


@click.group()
def deliveries() -> None:
    """Manage callback deliveries.

    A delivery is one event to be sent to one URL.

    \b
    Examples:
      pipeline deliveries list --batch last --state dead
      pipeline deliveries show 42
      pipeline deliveries recover --endpoint https://example.com --since 6h
    """


for _command in (list_, show, replay, recover, replay_missing, send):
    deliveries.add_command(_command)
