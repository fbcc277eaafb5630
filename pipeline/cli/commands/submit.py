"""`pipeline submit`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.commands.run import CALLBACK_WAIT
from pipeline.cli.error_report import INTERRUPTED
from pipeline.cli.reading_options import sources_argument
from pipeline.cli.run.finish_batch import RunOptions
from pipeline.cli.run.process_batch import check_files, process_batch
from pipeline.cli.run.session import open_context
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.run.submission import StoredBatch, SubmitRequest, store_batch, submission_options
from pipeline.cli.run.wake_workers import wake_workers
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.streams import print_data


@click.command()
@sources_argument("INPUT")
@submission_options
@click.option("--watch", is_flag=True, help="Follow the batch until it is finished; without a broker, process it here.")
@options.quiet
@options.as_json
def submit(sources: tuple[str, ...], watch: bool, quiet: bool, as_json: bool, **given: Any) -> int:
    """Store INPUT as a batch and print the batch id.

    Only the id goes to standard output. Workers process the batch if any are running; without a broker, it waits for
    `pipeline run --batch BATCH`.

    \b
    Examples:
      pipeline submit tickets.jsonl -p definition.toml
      pipeline submit leads.csv --idempotency-key 2026-11-21 --weight 2
      batch=$(pipeline submit - --format jsonl < tickets.jsonl)
    """
    messages = Messages(quiet)
    request = SubmitRequest.of(sources, given)
    if watch:
        run_options = RunOptions(output=None, callback_wait=CALLBACK_WAIT, as_json=as_json, messages=messages)
        return process_batch(request, run_options, on_stored=None if as_json else _print_id)
    check_files(request, None)
    with open_context(may_create=True) as context, StopSignals() as stop:
        try:
            stored = store_batch(context, request, messages, stop, as_json=as_json)
        except Stopped as stopped:
            messages.warn(str(stopped) or "stopped; nothing was stored")
            return INTERRUPTED
        wake_workers(context, messages)
        is_embedded = context.settings.is_embedded
    if as_json:
        submitted = stored.submitted
        print_json(
            {
                "batch_id": submitted.batch_id,
                "total": submitted.total,
                "is_new": submitted.is_new,
                "rejected": stored.rejected,
                "blank_rows": stored.blank_rows,
            }
        )
    else:
        _print_id(stored)
    if is_embedded:
        messages.info(f"stored; to process it, run `pipeline run --batch {stored.submitted.batch_id}`")
    return 0


def _print_id(stored: StoredBatch) -> None:
    print_data(stored.submitted.batch_id)
