"""`pipeline db prune`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click

from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.show.item import shown_url
from pipeline.cli.show.output import Talk, many, print_json
from pipeline.cli.time_arguments import instant
from pipeline.retention import prune as service
from pipeline.retention.prune import Pruned


def _past(_context: click.Context, _option: click.Parameter, value: datetime) -> datetime:
    if value > datetime.now(UTC):
        raise click.BadParameter(f"{value:%Y-%m-%d %H:%M} UTC is in the future; only what is past can be pruned")
    return value


#: Endpoints that are named where they hold batches back.
SHOWN = 5


@click.command()
@click.option(
    "--older-than",
    "before",
    type=instant,
    callback=_past,
    metavar="WHEN",
    required=True,
    help="What completed before: so long ago, such as 30d, or a time.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@options.yes
@options.as_json
def prune(before: datetime, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete batches that completed long ago, with their items, results and callbacks.

    WHEN is how long ago, such as 90m, 6h or 30d, or a time, such as 2026-11-21T08:00 (local unless it names a zone). A
    batch is deleted as a whole; it is kept as long as one of its callbacks is to be sent still, which is so for those
    that a disabled endpoint pauses. Dead items and callbacks that were given up do not keep it. Its idempotency key may
    be used again: a submission with it makes a new batch.

    It may be stopped at any time, and goes on when given again. PIPELINE_RETENTION_DAYS has workers do the same.

    \b
    Examples:
      pipeline db prune --older-than 30d --dry-run
      pipeline db prune --older-than 30d
      pipeline db prune --older-than 2026-11-01T00:00Z --yes --json
    """
    with opened() as context:
        if dry_run:
            done = service.prunable(context, before)
        else:
            # Counting takes its time: only where a person is asked.
            if not yes and sys.stdin.isatty():
                options.confirm(f"Delete {_counted(service.prunable(context, before))}?", yes)
            done = service.prune(context, before)
    if as_json:
        print_json({**asdict(done), "dry_run": dry_run})
        return
    Talk().say(f"{_counted(done)} to delete; without --dry-run it is done" if dry_run else f"deleted {_counted(done)}")
    if done.kept:
        Talk().say(_kept(done))


def _counted(done: Pruned) -> str:
    return f"{many(done.batches, 'batch')} with {many(done.items, 'item')} and {many(done.deliveries, 'callback')}"


def _kept(done: Pruned) -> str:
    first = sorted(done.waits_for.items(), key=lambda each: -each[1])[:SHOWN]
    named = ", ".join(f"{shown_url(origin)} ({many(number, 'batch')})" for origin, number in first)
    more = f" and {many(len(done.waits_for) - SHOWN, 'more endpoint')}" if len(done.waits_for) > SHOWN else ""
    return (
        f"kept {many(done.kept, 'batch')} as old, with callbacks that are to be sent still, to {named}{more}; "
        "`pipeline endpoints show` says what is the matter there"
    )
