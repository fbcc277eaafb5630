"""`pipeline results`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.output import Talk, many
from pipeline.cli.session import opened
from pipeline.cli.stop import Stop, Stopped
from pipeline.export import Format, Writer, writer
from pipeline.services import report
from pipeline.services import results as service
from pipeline.services.context import Context
from pipeline.services.find import find_batch

_POLL_SECONDS = 0.1


@click.command()
@options.batch
@click.option("-o", "--output", metavar="FILE", default="-", help="Write to FILE; default: standard output.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice([each.value for each in Format]),
    default=Format.JSONL.value,
    show_default=True,
    help="CSV and Parquet replace FILE at the end; JSON Lines grow.",
)
@click.option("--follow", is_flag=True, help="Go on until the batch is complete.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="Go on behind this `seq`.")
def results(batch: str, output: str, output_format: str, follow: bool, after: int) -> int:
    """Write the results of BATCH, in the order in which items finished.

    An item that was dead and replayed has a result for each end; the last one counts.

    \b
    Examples:
      pipeline results last
      pipeline results last --format csv -o results.csv
      pipeline results last --follow --after 1200
    """
    with opened() as context, Stop() as stop:
        with context.database.read() as connection:
            row = find_batch(connection, batch)
        try:
            with writer(output, output_format) as out:
                count = _write(context, row["id"], row["public_id"] if follow else None, after, out, stop)
        except Stopped:
            return 0
    if output != "-":
        Talk().say(f"{many(count, 'result')} in {output}")
    return 0


def _write(context: Context, batch_id: int, follow: str | None, after: int, out: Writer, stop: Stop) -> int:
    """Write what there is, and, where `follow` names the batch, what is still to come; return how many."""
    count = 0
    while True:
        # Asked before the log is read: what finishes in between is in the next page.
        is_over = follow is None or report.progress(context, follow).is_complete
        page = service.page(context, batch_id, after)
        for result in page.results:
            out.write(result)
        out.flush()
        count += len(page.results)
        if page.last_seq == after:
            if is_over:
                return count
            stop.wait(_POLL_SECONDS)
        after = page.last_seq
        stop.check()
