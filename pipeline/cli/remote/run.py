"""`pipeline run` against a server: submit, follow the results, and say how it went."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import click

from pipeline.cli.error_report import INTERRUPTED
from pipeline.cli.remote.session import open_server, refuse_option
from pipeline.cli.remote.submit import send_batch
from pipeline.cli.run.result_output import ResultOutput, make_output
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.run.submission import SubmitRequest
from pipeline.cli.show.batch import progress_json
from pipeline.cli.show.output import Messages, pluralize, print_fields, print_json
from pipeline.cli.show.progress_view import progress_view
from pipeline.client.remote.remote_batch import RemoteBatch
from pipeline.client.remote.result_pages import result_pages
from pipeline.client.remote.server import Server
from pipeline.domain.batch import Progress


def run(
    sources: tuple[str, ...],
    batch: str | None,
    output: str | None,
    output_format: str | None,
    columns: str | None,
    flat: bool,
    with_payload: bool,
    callback_wait: float,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Submit INPUT to the server, or take a batch that is there, and follow it to its end."""
    if bool(sources) == (batch is not None):
        raise click.UsageError("give either INPUT or --batch BATCH")
    target = None
    if output is not None:
        target = make_output(
            output, output_format, columns, flat=flat, with_payload=with_payload, format_option="--output-format"
        )
        if target.layout.needs_payload:
            raise refuse_option("--with-payload")
    messages = Messages(quiet)
    with open_server() as (server, client), StopSignals() as stop:
        if batch is not None:
            found = client.batch(batch)
        else:
            found, _ = send_batch(client, SubmitRequest.of(sources, given), messages, stop, as_json=as_json)
        messages.info(f"batch {found.id}: {pluralize(found.progress().total, 'item')}")
        try:
            progress = _follow(server, found, target, messages, stop)
        except Stopped:
            messages.warn(f"stopped following; the server goes on. To continue: pipeline run --batch {found.id}")
            return INTERRUPTED
    if as_json and not (target is not None and target.is_stdout):
        print_json(progress_json(progress))
    elif not quiet:
        print_fields(progress_json(progress), err=True)
    return 1 if progress.dead or progress.cancelled else 0


def _follow(
    server: Server, batch: RemoteBatch, target: ResultOutput | None, messages: Messages, stop: StopSignals
) -> Progress:
    prints_results = target is not None and target.is_stdout
    opened = nullcontext() if target is None else target.open()
    with opened as out, progress_view(messages, prints_results=prints_results) as view:
        for page in result_pages(server, batch.id, follow=True, after=0, wait=1):
            if out is not None:
                for result in page.data:
                    out.write(result)
                out.flush()
            view.show(batch.progress(), "")
            stop.check()
    return batch.progress()
