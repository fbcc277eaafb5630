"""`pipeline endpoints forget-secret`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages, print_json
from pipeline.delivery import endpoint_secrets as service
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
    with open_context() as context:
        own = service.describe(context, origin)
        is_empty = own.locked is None and not own.secrets and not own.headers
        options.confirm(f"Delete the secrets and headers of {name}?", yes or is_empty)
        service.forget(context, origin)
    if as_json:
        print_json({"origin": name})
        return
    Messages().info(f"deleted the secrets and headers of {name}; PIPELINE_WEBHOOK_SECRET signs its callbacks")
