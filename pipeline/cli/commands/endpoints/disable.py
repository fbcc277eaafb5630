"""`pipeline endpoints disable`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, pluralize, print_json
from pipeline.domain.callback_url import parse_callback_url


@click.command()
@options.origin
@click.option("--reason", metavar="TEXT", help="Why the endpoint is disabled, in one line.")
@options.as_json
def disable(origin: str, reason: str | None, as_json: bool) -> None:
    """Stop calling an endpoint, and pause its callbacks.

    Callbacks are paused, not dropped: they are kept until the endpoint is enabled.

    \b
    Examples:
      pipeline endpoints disable https://example.com --reason "moves to a new host on Monday"
    """
    messages = Messages()
    with open_backend() as backend:
        was_known = backend.known_endpoint(origin) is not None
        paused = backend.disable_endpoint(origin, reason)
    name = parse_callback_url(origin, name="the endpoint").origin
    if as_json:
        print_json({"origin": name, "paused": paused})
        return
    if not was_known:
        messages.warn(f"endpoint {name} was unknown; check that it is the one you mean")
    hint = f"to enable it again, run `pipeline endpoints enable {name}`"
    messages.info(f"endpoint {name} is disabled; {pluralize(paused, 'callback')} paused; {hint}")
