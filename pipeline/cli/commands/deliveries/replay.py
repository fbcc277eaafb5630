"""`pipeline deliveries replay`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.delivery import delivery_json
from pipeline.cli.show.output import Messages, print_json
from pipeline.delivery import deliveries as service
from pipeline.delivery import delivery_search


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
    with open_context() as context:
        row = service.replay(context, delivery_search.number(context, name))
        is_embedded = context.settings.is_embedded
        delivery = delivery_json(context, row)
    if as_json:
        print_json(delivery)
        return
    hint = f"to send it, run `pipeline run --batch {row['public_id']}`" if is_embedded else "workers will send it"
    Messages().info(f"delivery {row['id']} is pending and due now; {hint}")
