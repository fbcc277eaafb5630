"""`pipeline endpoints enable`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, pluralize, print_json


@click.command()
@options.origin
@options.as_json
def enable(origin: str, as_json: bool) -> None:
    """Call an endpoint again, and send its paused callbacks.

    An endpoint in state `open` or `throttled` is called at once.

    \b
    Examples:
      pipeline endpoints enable https://example.com
    """
    messages = Messages()
    with open_backend() as backend:
        resumed = backend.enable_endpoint(origin)
        endpoint = backend.endpoint(origin)
    name, dead = endpoint["origin"], endpoint["backlog"].get("dead", 0)
    if as_json:
        print_json({"origin": name, "resumed": resumed})
        return
    hint = "; to send them, run `pipeline deliveries send`" if backend.needs_command and resumed else ""
    messages.info(f"endpoint {name} is enabled; {pluralize(resumed, 'paused callback')} pending again{hint}")
    if dead:
        command = f"pipeline deliveries recover --endpoint {name}"
        messages.info(f"{pluralize(dead, 'callback')} dead; to resend, run `{command}`")
