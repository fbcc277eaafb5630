"""`pipeline run`."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from pipeline.cli import options
from pipeline.cli.argument_types import OUTPUT_PATH, NumberType
from pipeline.cli.reading_options import sources_argument
from pipeline.cli.run.finish_batch import RunOptions
from pipeline.cli.run.process_batch import process_batch
from pipeline.cli.run.result_output import layout_options, make_output
from pipeline.cli.run.submission import SubmitRequest, submission_options
from pipeline.cli.show.output import Messages

#: Seconds to wait for callbacks: enough for a receiver that responds at all.
CALLBACK_WAIT = 30.0

#: The parameters that do not belong to the submission.
_RUN_PARAMETERS = {
    *("sources", "batch", "output", "output_format", "columns", "flat", "with_payload"),
    *("callback_wait", "quiet", "as_json"),
}


@click.command()
@sources_argument("INPUT", required=False)
@click.option("--batch", metavar="BATCH", help="Finish this batch instead of reading INPUT.")
@click.option(
    "-o",
    "--output",
    type=OUTPUT_PATH,
    metavar="FILE",
    help="Write each result to FILE as one line of JSON as soon as it is available; `-` is standard output. Files "
    "that end in .csv, .tsv, .parquet, .xlsx or .gz are written at the end.",
)
@click.option(
    "--output-format",
    metavar="FORMAT",
    help="Format of the results: jsonl, csv, tsv, parquet or xlsx. Default: from the suffix of FILE.",
)
@layout_options
@submission_options
@click.option(
    "--callback-wait",
    type=NumberType(0),
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
    """Process INPUT and wait until it is finished.

    INPUT is a file, a glob in quotes, a folder with a slash at its end, an https URL, objects in s3://, gs:// or
    az://, or `-` for standard input; several are one batch. With --query it is the URL of a database. Files are
    JSON Lines, a JSON array, CSV, TSV, Excel, Parquet or Arrow; text may be compressed, and files may be in a zip
    or tar archive. `pipeline peek INPUT` shows how it is read.

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
    target = None
    if output is not None:
        target = make_output(
            output, output_format, columns, flat=flat, with_payload=with_payload, format_option="--output-format"
        )
    elif output_format is not None or columns is not None or flat or with_payload:
        raise click.UsageError("--output-format, --columns, --flat and --with-payload have no effect without -o", ctx)
    run_options = RunOptions(output=target, callback_wait=callback_wait, as_json=as_json, messages=Messages(quiet))
    if sources and batch is None:
        return process_batch(SubmitRequest.of(sources, given), run_options)
    if sources or batch is None:
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
