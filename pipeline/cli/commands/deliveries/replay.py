"""`pipeline deliveries replay`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, print_json


@click.command()
@options.delivery
@options.as_json
def replay(name: str, as_json: bool) -> None:
    """Resend a delivery now.

    The webhook id and the body stay the same; the timestamp and the signature are new. ID is the id of the delivery, or
    the webhook id (msg_…) of its event or bundle.

    The attempt does not count towards the retry schedule. A dead delivery is tried once more. If the attempt fails for
    a delivery that was waiting for its next attempt, its schedule continues as before.

    \b
    Examples:
      pipeline deliveries replay 42
    """
    with open_backend() as backend:
        found = backend.replay_delivery(name)
    if as_json:
        print_json(found)
        return
    hint = "workers will send it"
    if backend.needs_command:
        hint = f"to send it, run `pipeline run --batch {found['batch_id']}`"
    Messages().info(f"delivery {found['id']} is pending and due now; {hint}")
