"""`pipeline run`."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from pipeline.cli import options
from pipeline.cli.argument_types import OUTPUT_PATH, PATH
from pipeline.cli.run.finish_batch import RunOptions
from pipeline.cli.run.process_batch import process_batch
from pipeline.cli.run.submission import SubmitRequest, submission_options
from pipeline.cli.show.output import Messages

#: Seconds to wait for callbacks: enough for a receiver that responds at all.
CALLBACK_WAIT = 30.0

#: The parameters that do not belong to the submission.
_RUN_PARAMETERS = {"source", "batch", "output", "callback_wait", "quiet", "as_json"}


@click.command()
@click.argument("source", type=PATH, metavar="[INPUT]", required=False)
@click.option("--batch", metavar="BATCH", help="Finish this batch instead of reading INPUT.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT_PATH,
    metavar="FILE",
    help="Write each result to FILE as one line of JSON as soon as it is available; `-` is standard output. Files "
    "that end in .csv or .parquet are written at the end.",
)
@submission_options
@click.option(
    "--callback-wait",
    type=click.FloatRange(0),
    default=CALLBACK_WAIT,
    show_default=True,
    metavar="SECONDS",
    help="Once all items are final, wait for callbacks for at most this long.",
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
    """Process INPUT and wait until it is finished.

    INPUT is JSON Lines, a JSON array, CSV, TSV or Parquet, optionally compressed with gzip; `-` is standard input.
    Either all items are accepted or none, unless you pass --on-error skip. Items are processed in this process, or by
    the workers if PIPELINE_BROKER_URL is set.

    Ctrl-C stops cleanly, and `pipeline run --batch BATCH` continues. With -o it writes all results of the batch again,
    so that the file is complete. With --idempotency-key, running the same command again continues as well.

    \b
    Examples:
      pipeline run tickets.jsonl -p definition.toml -o results.jsonl
      pipeline run leads.csv --encoding cp1252 --key lead_id --on-error skip --rejects rejected.jsonl
      pipeline run tickets.jsonl --callback-url https://example.com/hook --idempotency-key 2026-11-21
      pipeline run --batch last -o results.jsonl
    """
    run_options = RunOptions(output=output, callback_wait=callback_wait, as_json=as_json, messages=Messages(quiet))
    if source is not None and batch is None:
        return process_batch(SubmitRequest(source=source, **given), run_options)
    if source is not None or batch is None:
        raise click.UsageError("give either INPUT or --batch BATCH", ctx)
    _reject_submission_options(ctx)
    return process_batch(batch, run_options)


def _reject_submission_options(ctx: click.Context) -> None:
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in _RUN_PARAMETERS and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[-1]} cannot be combined with --batch: it applies to INPUT only", ctx
            )
