"""`pipeline endpoints forget-secret`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, print_json
from pipeline.domain.callback_url import parse_callback_url


@click.command("forget-secret")
@options.origin
@options.yes
@options.as_json
def forget_secret(origin: str, yes: bool, as_json: bool) -> None:
    """Delete an endpoint's own secrets and headers.

    PIPELINE_WEBHOOK_SECRET signs again. This works even if the secrets and headers cannot be decrypted.

    \b
    Examples:
      pipeline endpoints forget-secret https://example.com
      pipeline endpoints forget-secret https://example.com --yes
    """
    name = parse_callback_url(origin, name="the endpoint").origin
    with open_backend() as backend:
        known = backend.known_endpoint(origin)
        is_empty = known is None or (known["locked"] is None and not known["secrets"] and not known["headers"])
        options.confirm(f"Delete the secrets and headers of {name}?", yes or is_empty)
        backend.forget_secret(origin)
    if as_json:
        print_json({"origin": name})
        return
    Messages().info(f"deleted the secrets and headers of {name}; PIPELINE_WEBHOOK_SECRET signs its callbacks")
