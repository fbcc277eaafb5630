"""`pipeline run`."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from pipeline.cli import options
from pipeline.cli.run.finish_batch import Wishes
from pipeline.cli.run.process_here import process
from pipeline.cli.run.submission import Request, request_options
from pipeline.cli.show.output import Talk

#: Seconds; a receiver that answers at all has answered by then.
CALLBACK_WAIT = 30.0

_OF_A_RUN = {"source", "batch", "output", "callback_wait", "quiet", "as_json"}


@click.command()
@click.argument("source", metavar="[INPUT]", required=False)
@click.option("--batch", metavar="BATCH", help="Finish this batch instead of reading INPUT.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write each result as one JSON line as it finishes, to .csv and .parquet all at the end; `-`: to stdout.",
)
@request_options
@click.option(
    "--callback-wait",
    type=click.FloatRange(0),
    default=CALLBACK_WAIT,
    show_default=True,
    metavar="SECONDS",
    help="Wait at most so long for callbacks once the items are done.",
)
@options.quiet
@options.as_json
@click.pass_context
def run(
    ctx: click.Context,
    /,
    source: str | None,
    batch: str | None,
    output: str | None,
    callback_wait: float,
    quiet: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Process INPUT here, to the end.

    INPUT is JSON Lines, a JSON array, CSV, TSV or Parquet, compressed with gzip or not; `-` is standard input. All of
    its items are accepted or none, unless --on-error skip. Workers run in this process unless PIPELINE_BROKER_URL is
    set. Ctrl-C stops cleanly, and `pipeline run --batch BATCH` goes on; with -o it writes all of the batch's results
    again, so that the file is complete. The same INPUT with the same --idempotency-key goes on as well.

    \b
    Examples:
      pipeline run tickets.jsonl -p definition.toml -o results.jsonl
      pipeline run leads.csv --encoding cp1252 --key lead_id --on-error skip --rejects refused.jsonl
      pipeline run tickets.jsonl --callback-url https://example.com/hook --idempotency-key 2026-11-21
      pipeline run --batch last -o results.jsonl
    """
    wishes = Wishes(output=output, callback_wait=callback_wait, as_json=as_json, talk=Talk(quiet))
    if source is not None and batch is None:
        return process(Request(source=source, **given), wishes)
    if source is not None or batch is None:
        raise click.UsageError("give INPUT to process it, or --batch BATCH to finish a batch; not both", ctx)
    _refuse_options_of_input(ctx)
    return process(batch, wishes)


def _refuse_options_of_input(ctx: click.Context) -> None:
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in _OF_A_RUN and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[-1]} is about INPUT; the batch keeps what it was submitted with", ctx
            )
