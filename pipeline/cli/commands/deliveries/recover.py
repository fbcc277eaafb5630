"""`pipeline deliveries recover`."""

from __future__ import annotations

from datetime import datetime

import click

from pipeline.cli import options
from pipeline.cli.backends.backend import Backend, FinalDeliveries
from pipeline.cli.run.bulk_replay import bulk_replay
from pipeline.cli.time_arguments import parse_time
from pipeline.delivery import deliveries as service


@click.command()
@click.option("--batch", metavar="BATCH", help="Only callbacks of this batch.")
@click.option("--endpoint", metavar="ORIGIN", help="Only to this endpoint: https://example.com, or any URL there.")
@click.option("--since", type=parse_time, metavar="WHEN", help="Only callbacks that ended at or after WHEN.")
@click.option("--until", type=parse_time, metavar="WHEN", help="Only callbacks that ended before WHEN.")
@click.option(
    "--state",
    "states",
    type=click.Choice(service.FINAL),
    multiple=True,
    default=("dead",),
    show_default=True,
    help="Only callbacks in this state; can be repeated.",
)
@options.dry_run
@options.yes
@options.as_json
def recover(
    batch: str | None,
    endpoint: str | None,
    since: datetime | None,
    until: datetime | None,
    states: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Resend all dead callbacks that match the filters.

    The webhook ids and the bodies stay the same. Callbacks to disabled endpoints are skipped; enable the endpoints
    first.

    WHEN is a time, such as 2026-11-21T08:00 (local unless it has a time zone), or an age, such as 90m, 6h or 3d.
    --since and --until filter by the time a callback ended: for a dead one, when it was given up, which can be up to
    four days after its event.

    \b
    Examples:
      pipeline deliveries recover --dry-run
      pipeline deliveries recover --endpoint https://example.com --since 6h
      pipeline deliveries recover --batch last --since 2026-11-21T08:00 --until 2026-11-21T09:30 --yes
      pipeline deliveries recover --batch last --state delivered
    """

    chosen = FinalDeliveries(batch, endpoint, since, until, states)

    def resend(backend: Backend, dry_run: bool) -> tuple[int, dict[str, int]]:
        return backend.recover(chosen, dry_run=dry_run)

    bulk_replay(resend, "resend", dry_run=dry_run, yes=yes, as_json=as_json)
