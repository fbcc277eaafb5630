"""`pipeline db prune`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click

from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages, pluralize, print_json
from pipeline.cli.time_arguments import parse_time
from pipeline.domain.redaction import redact_url
from pipeline.retention import prune as service
from pipeline.retention.prune import Pruned

#: Number of endpoints that are named if they keep batches from being deleted.
_NAMED_ENDPOINTS = 5


def _check_past(_context: click.Context, _option: click.Parameter, value: datetime) -> datetime:
    if value > datetime.now(UTC):
        raise click.BadParameter(f"{value:%Y-%m-%d %H:%M} UTC is in the future; give a time in the past")
    return value


@click.command()
@click.option(
    "--older-than",
    "before",
    type=parse_time,
    callback=_check_past,
    metavar="WHEN",
    required=True,
    help="Delete batches that completed before WHEN: an age such as 30d, or a time.",
)
@options.dry_run
@options.yes
@options.as_json
def prune(before: datetime, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Delete batches that completed long ago.

    Their items, results and callbacks are deleted as well. WHEN is an age, such as 90m, 6h or 30d, or a time, such as
    2026-11-21T08:00 (local unless it has a time zone).

    A batch is deleted as a whole. It is kept while any of its callbacks still has to be sent, which includes callbacks
    that are paused because their endpoint is disabled. Dead items and dead callbacks do not keep it. Its idempotency
    key becomes free: submitting with the key again creates a new batch.

    You can stop the command at any time and run it again to continue. To have the workers prune, set
    PIPELINE_RETENTION_DAYS.

    \b
    Examples:
      pipeline db prune --older-than 30d --dry-run
      pipeline db prune --older-than 30d
      pipeline db prune --older-than 2026-11-01T00:00Z --yes --json
    """
    with open_context() as context:
        if dry_run:
            pruned = service.prunable(context, before)
        else:
            # Counting is slow; do it only if there is somebody to ask.
            if not yes and sys.stdin.isatty():
                options.confirm(f"Delete {_counts(service.prunable(context, before))}?", yes)
            pruned = service.prune(context, before)
    if as_json:
        print_json({**asdict(pruned), "dry_run": dry_run})
        return
    Messages().info(f"would delete {_counts(pruned)}" if dry_run else f"deleted {_counts(pruned)}")
    if pruned.kept:
        Messages().info(_kept(pruned))


def _counts(pruned: Pruned) -> str:
    batches, items = pluralize(pruned.batches, "batch"), pluralize(pruned.items, "item")
    return f"{batches} with {items} and {pluralize(pruned.deliveries, 'callback')}"


def _kept(pruned: Pruned) -> str:
    endpoints = sorted(pruned.waits_for.items(), key=lambda pair: -pair[1])
    named = ", ".join(
        f"{redact_url(origin)} ({pluralize(count, 'batch')})" for origin, count in endpoints[:_NAMED_ENDPOINTS]
    )
    others = len(endpoints) - _NAMED_ENDPOINTS
    more = f" and {pluralize(others, 'more endpoint')}" if others > 0 else ""
    return (
        f"kept {pluralize(pruned.kept, 'batch')} of that age: callbacks still have to be sent to {named}{more}; "
        "`pipeline endpoints show` shows why"
    )
