"""`pipeline endpoints test`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, print_fields, print_json


@click.command()
@click.argument("url", metavar="URL")
@options.as_json
def test(url: str, as_json: bool) -> int:
    """Send a signed webhook.ping to URL and show the response.

    The ping is sent like a callback, with the endpoint's own secrets and headers, and only to addresses that callbacks
    may reach. It also goes to disabled endpoints. Nothing is stored, and the response has no effect on the endpoint.
    Exit code 1 unless the status is 2xx.

    \b
    Examples:
      pipeline endpoints test https://example.com/hook
      pipeline endpoints test https://example.com/hook --json
    """
    with open_backend(may_create=True) as backend:
        sent = backend.ping_endpoint(url)
    if as_json:
        print_json(sent.result)
    else:
        print_fields(sent.result)
        if sent.condition:
            hint = f"to send callbacks, run `pipeline endpoints enable {sent.origin}`"
            Messages().warn(f"{sent.origin} receives pings but no callbacks: it is {sent.condition}; {hint}")
    return 0 if sent.is_success else 1
