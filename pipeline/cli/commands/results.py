"""`pipeline results`."""

from __future__ import annotations

from dataclasses import dataclass

import click

from pipeline.batches import progress
from pipeline.batches import results as service
from pipeline.batches.find import find_batch
from pipeline.cli import options
from pipeline.cli.error_report import STOPPED
from pipeline.cli.file_conflicts import refuse_shared
from pipeline.cli.run.session import opened, sqlite_file
from pipeline.cli.run.stop_signals import Stop, Stopped
from pipeline.cli.show.output import Talk, many
from pipeline.context import Context
from pipeline.files import ResultWriter, open_writer

_POLL_SECONDS = 0.1


@click.command()
@options.batch
@click.option("-o", "--output", metavar="FILE", default="-", help="Write to FILE; default: standard output.")
@click.option(
    "--format",
    "output_format",
    metavar="FORMAT",
    help="jsonl, csv or parquet; default: by FILE's suffix, else jsonl. CSV and Parquet replace FILE at the end.",
)
@click.option("--follow", is_flag=True, help="Go on until the batch is complete.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="Go on behind this `seq`.")
def results(batch: str, output: str, output_format: str | None, follow: bool, after: int) -> int:
    """Write the results of BATCH, in the order in which items finished.

    An item that was dead and replayed has a result for each end; the last one counts.

    \b
    Examples:
      pipeline results last
      pipeline results last -o results.csv
      pipeline results last --follow --after 1200
    """
    with opened() as context, Stop() as stop:
        refuse_shared(reads={"the database": sqlite_file(context.settings)}, writes={"-o": output})
        with context.database.read() as connection:
            row = find_batch(connection, batch)
        name, written = row["public_id"], _Written(after)
        try:
            with open_writer(output, output_format) as out:
                _write(context, row["id"], name if follow else None, written, out, stop)
        except Stopped:
            Talk().warn(_how_to_go_on(name, output, written, follow=follow))
            return STOPPED
    if output != "-":
        Talk().say(f"{many(written.count, 'result')} in {output}")
    return 0


@dataclass(slots=True)
class _Written:
    """How many results were written, and the `seq` of the last."""

    seq: int
    count: int = 0


def _how_to_go_on(batch: str, output: str, written: _Written, *, follow: bool) -> str:
    again = f"pipeline results {batch}{' --follow' if follow else ''}"
    if output != "-":
        return f"stopped; {output} is not complete. Write all of it again with: {again} -o {output}"
    return f"stopped after seq {written.seq}. Go on with: {again} --after {written.seq}"


def _write(
    context: Context, batch_id: int, follow: str | None, written: _Written, out: ResultWriter, stop: Stop
) -> None:
    """Write what there is, and, where `follow` names the batch, what is still to come."""
    while True:
        # Asked before the log is read: what finishes in between is in the next page.
        is_over = follow is None or progress.progress(context, follow).is_complete
        page = service.page(context, batch_id, written.seq)
        for result in page.results:
            out.write(result)
        out.flush()
        written.count += len(page.results)
        is_end = page.last_seq == written.seq
        written.seq = page.last_seq
        if is_end and is_over:
            return
        if is_end:
            stop.wait(_POLL_SECONDS)
        stop.check()
