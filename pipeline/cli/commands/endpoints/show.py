"""`pipeline endpoints show`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.endpoint import print_endpoint
from pipeline.cli.show.output import print_json


@click.command()
@options.origin
@options.as_json
def show(origin: str, as_json: bool) -> None:
    """Show the health, settings, backlog and notices of an endpoint.

    The values of secrets and headers are not shown.

    \b
    Examples:
      pipeline endpoints show https://example.com
      pipeline endpoints show https://example.com/hook --json
    """
    with open_backend() as backend:
        endpoint = backend.endpoint(origin)
    print_json(endpoint) if as_json else print_endpoint(endpoint)
