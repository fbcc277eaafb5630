"""`pipeline submit`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.commands.run import CALLBACK_WAIT
from pipeline.cli.run.finish_batch import Wishes
from pipeline.cli.run.process_here import process, refuse_overwriting
from pipeline.cli.run.session import opened
from pipeline.cli.run.stop_signals import Stop
from pipeline.cli.run.submission import Request, Stored, request_options, store
from pipeline.cli.run.wake_workers import nudge
from pipeline.cli.show.output import Talk, print_json


@click.command()
@click.argument("source", metavar="INPUT")
@request_options
@click.option("--watch", is_flag=True, help="Follow the batch to its end; without a broker, do its work here.")
@options.quiet
@options.as_json
def submit(source: str, watch: bool, quiet: bool, as_json: bool, **given: Any) -> int:
    """Store INPUT as a batch and print its id on standard output, nothing else.

    Workers take it up if there are any; without a broker, nothing works on it until `pipeline run --batch BATCH`.

    \b
    Examples:
      pipeline submit tickets.jsonl -p definition.toml
      pipeline submit leads.csv --idempotency-key 2026-11-21 --weight 2
      batch=$(pipeline submit - --format jsonl < tickets.jsonl)
    """
    talk = Talk(quiet)
    request = Request(source=source, **given)
    if watch:
        wishes = Wishes(output=None, callback_wait=CALLBACK_WAIT, as_json=as_json, talk=talk)
        return process(request, wishes, on_stored=None if as_json else _print_id)
    refuse_overwriting(request, None)
    with opened(may_create=True) as context, Stop() as stop:
        stored = store(context, request, talk, stop)
        nudge(context, talk)
        is_embedded = context.settings.is_embedded
    if as_json:
        found = stored.submitted
        print_json(
            {"batch_id": found.batch_id, "total": found.total, "is_new": found.is_new, "rejected": stored.rejected}
        )
    else:
        _print_id(stored)
    if is_embedded:
        talk.say(f"stored; nothing works on it until `pipeline run --batch {stored.submitted.batch_id}`")
    return 0


def _print_id(stored: Stored) -> None:
    click.echo(stored.submitted.batch_id)
