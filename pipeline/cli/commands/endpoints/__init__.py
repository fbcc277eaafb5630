"""`pipeline endpoints`."""

from __future__ import annotations

import click

from pipeline.cli.commands.endpoints.disable import disable
from pipeline.cli.commands.endpoints.enable import enable
from pipeline.cli.commands.endpoints.forget_secret import forget_secret
from pipeline.cli.commands.endpoints.list import list_
from pipeline.cli.commands.endpoints.rotate_secret import rotate_secret
from pipeline.cli.commands.endpoints.set import set_
from pipeline.cli.commands.endpoints.show import show
from pipeline.cli.commands.endpoints.test import test


@click.group()
def endpoints() -> None:
    """Manage callback endpoints.

    An endpoint is the scheme, host and port of callback URLs. ORIGIN is `https://example.com`, or any URL there.

    \b
    Examples:
      pipeline endpoints list
      pipeline endpoints test https://example.com/hook
      pipeline endpoints enable https://example.com
    """


for _command in (list_, show, set_, test, enable, disable, rotate_secret, forget_secret):
    endpoints.add_command(_command)
