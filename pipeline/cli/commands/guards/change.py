"""`pipeline guards set`, `remove` and `reset`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.guard import print_guard
from pipeline.cli.show.output import Messages, print_json
from pipeline.domain.alerts.guard import parse_fields


@click.command("set")
@click.argument("batch", metavar="BATCH")
@click.argument("name", metavar="NAME")
@click.argument("fields", metavar="FIELD=VALUE...", nargs=-1, required=True)
@options.as_json
def set_(batch: str, name: str, fields: tuple[str, ...], as_json: bool) -> None:
    """Change fields of a guard of BATCH, or add a guard.

    What it has counted stays, unless rate, of, stage or errors change. FIELD= without a value sets the default.

    \b
    Examples:
      pipeline guards set last failures rate=10%
      pipeline guards set last quota of=attempts count=1 errors=QuotaExceeded
    """
    with open_backend() as backend:
        found = backend.set_guard(batch, name, parse_fields(fields))
    print_json(found) if as_json else print_guard(found)


@click.command()
@click.argument("batch", metavar="BATCH")
@click.argument("name", metavar="NAME")
def remove(batch: str, name: str) -> None:
    """Remove a guard of BATCH.

    Its alert is resolved; a batch that it has paused stays paused.

    \b
    Examples:
      pipeline guards remove last failures
    """
    with open_backend() as backend:
        backend.remove_guard(batch, name)
    Messages().info(f"guard {name} removed")


@click.command()
@click.argument("batch", metavar="BATCH")
@click.argument("name", metavar="NAME")
def reset(batch: str, name: str) -> None:
    """Let a guard of BATCH count from nothing.

    A batch that it has paused stays paused; `pipeline resume` resets its guards as well.

    \b
    Examples:
      pipeline guards reset last failures
    """
    with open_backend() as backend:
        backend.reset_guard(batch, name)
    Messages().info(f"guard {name} counts from nothing")
