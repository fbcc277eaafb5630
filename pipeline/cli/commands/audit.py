"""`pipeline audit`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages, format_counts, print_fields, print_json
from pipeline.cli.time_arguments import parse_time
from pipeline.delivery.audit import Audit
from pipeline.delivery.audit import audit as audit_batch


@click.command()
@options.batch
@click.option(
    "--since",
    type=parse_time,
    metavar="TIME",
    help="Compare only what finished since then, a time or an age such as 2h. Default: everything.",
)
@options.as_json
def audit(batch: str, since: datetime | None, as_json: bool) -> int:
    """Prove that nothing of BATCH was lost or counted twice.

    The items of BATCH are compared with what was submitted, with its counters, with its event log, which has no gaps
    and one end for each item, and with its deliveries: each event owes one to every callback URL. Deliveries that are
    still owed or were given up are counted; they are no violation. All of it is read in one snapshot, so BATCH may be
    running. Exit code 1 if anything does not hold.

    \b
    Examples:
      pipeline audit last
      pipeline audit 5k2v9qxw3n8m4tjd --since 2h --json
    """
    messages = Messages()
    with open_context() as context:
        found = audit_batch(context, batch, since=since)
    print_json(asdict(found)) if as_json else _print(found)
    for violation in found.violations:
        messages.warn(f"violation: {violation.message}")
    if not found.violations and not as_json:
        messages.info("nothing was lost, and nothing counted twice")
    return 1 if found.violations else 0


def _print(found: Audit) -> None:
    print_fields(
        {
            "batch_id": found.batch_id,
            "state": found.state.value,
            "total": found.total,
            "items": format_counts(found.items),
            "events": found.events,
            "callbacks": format_counts(found.callbacks),
            "violations": len(found.violations),
        }
    )
