"""`pipeline results`."""

from __future__ import annotations

from dataclasses import dataclass

import click

from pipeline.batches import progress
from pipeline.batches import results as service
from pipeline.batches.find import find_batch
from pipeline.cli import options
from pipeline.cli.error_report import INTERRUPTED
from pipeline.cli.file_conflicts import check_file_conflicts
from pipeline.cli.run.session import open_context, sqlite_file
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.show.output import Messages, pluralize
from pipeline.context import Context
from pipeline.domain.item import ItemState
from pipeline.files import ResultWriter, open_writer

_POLL_SECONDS = 0.1
_STATES = [state.value for state in (ItemState.SUCCEEDED, ItemState.DEAD, ItemState.CANCELLED)]


@click.command()
@options.batch
@click.option("-o", "--output", metavar="FILE", default="-", help="Write to FILE. Default: standard output.")
@click.option(
    "--format",
    "output_format",
    metavar="FORMAT",
    help="Output format: jsonl, csv or parquet. Default: from the suffix of FILE, otherwise jsonl. CSV and Parquet "
    "replace FILE once they are complete.",
)
@click.option("--follow", is_flag=True, help="Continue until the batch is complete.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="SEQ", help="Start after this `seq`.")
@click.option("--state", type=click.Choice(_STATES), help="Write only the results in this state.")
def results(batch: str, output: str, output_format: str | None, follow: bool, after: int, state: str | None) -> int:
    """Write the results of BATCH.

    Results are in the order in which items finished. A dead item that was replayed has one result for each time it
    finished; the last one counts.

    \b
    Examples:
      pipeline results last
      pipeline results last -o results.csv
      pipeline results last --state cancelled
      pipeline results last --follow --after 1200
    """
    with open_context() as context, StopSignals() as stop:
        check_file_conflicts(reads={"the database": sqlite_file(context.settings)}, writes={"-o": output})
        with context.database.read() as connection:
            row = find_batch(connection, batch)
        batch_id, written = row["public_id"], _Written(after, state)
        try:
            with open_writer(output, output_format) as out:
                _write(context, row["id"], batch_id if follow else None, written, out, stop)
        except Stopped:
            Messages().warn(_continue_hint(batch_id, output, written, follow=follow))
            return INTERRUPTED
    if output != "-":
        Messages().info(f"wrote {pluralize(written.count, 'result')} to {output}")
    return 0


@dataclass(slots=True)
class _Written:
    """The `seq` of the last result that was read, the state of those to write, and how many were written."""

    seq: int
    state: str | None
    count: int = 0

    def write(self, page: service.Page, out: ResultWriter) -> None:
        """Write the results of a page that are in the state."""
        for result in page.results:
            if self.state in (None, result["state"]):
                out.write(result)
                self.count += 1
        out.flush()
        self.seq = page.last_seq


def _continue_hint(batch_id: str, output: str, written: _Written, *, follow: bool) -> str:
    state = f" --state {written.state}" if written.state else ""
    command = f"pipeline results {batch_id}{' --follow' if follow else ''}{state}"
    if output != "-":
        return f"stopped; {output} is incomplete. To write all of it again, run: {command} -o {output}"
    return f"stopped after seq {written.seq}. To continue, run: {command} --after {written.seq}"


def _write(
    context: Context, row_id: int, followed: str | None, written: _Written, out: ResultWriter, stop: StopSignals
) -> None:
    """Write the results so far; if `followed` is the id of the batch, also those still to come."""
    while True:
        # Queried before the log is read, so that the next page has what finishes in between.
        is_over = followed is None or progress.progress(context, followed).is_complete
        page = service.page(context, row_id, written.seq)
        is_end = page.last_seq == written.seq
        written.write(page, out)
        if is_end and is_over:
            return
        if is_end:
            stop.wait(_POLL_SECONDS)
        stop.check()
