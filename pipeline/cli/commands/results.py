"""`pipeline results`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import click

from pipeline.batches import progress
from pipeline.batches import results as service
from pipeline.batches.find import find_batch
from pipeline.cli import options
from pipeline.cli.argument_types import OUTPUT_PATH, whole_number
from pipeline.cli.error_report import INTERRUPTED
from pipeline.cli.file_conflicts import check_file_conflicts
from pipeline.cli.run.result_output import ResultOutput, layout_options, make_output
from pipeline.cli.run.session import open_context, sqlite_file
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.show.output import Messages, pluralize
from pipeline.domain import bounds
from pipeline.domain.item import ItemState
from pipeline.files import ResultWriter

_POLL_SECONDS = 0.1
_STATES = [state.value for state in (ItemState.SUCCEEDED, ItemState.DEAD, ItemState.CANCELLED)]


@click.command()
@options.batch
@click.option(
    "-o", "--output", type=OUTPUT_PATH, metavar="FILE", default="-", help="Write to FILE. Default: standard output."
)
@click.option(
    "--format",
    "--output-format",
    "output_format",
    metavar="FORMAT",
    help="Output format: jsonl, csv, tsv, parquet or xlsx. Default: from the suffix of FILE, otherwise jsonl. All but "
    "jsonl, and compressed files (.gz), replace FILE once they are complete.",
)
@layout_options
@click.option("--follow", is_flag=True, help="Continue until the batch is complete.")
@click.option("--after", type=whole_number(bounds.SEQ), default=0, metavar="SEQ", help="Start after this `seq`.")
@click.option("--state", type=click.Choice(_STATES), help="Write only the results in this state.")
def results(
    batch: str,
    output: str,
    output_format: str | None,
    columns: str | None,
    flat: bool,
    with_payload: bool,
    follow: bool,
    after: int,
    state: str | None,
) -> int:
    """Write the results of BATCH.

    Results are in the order in which items finished. A dead item that was replayed has one result for each time it
    finished; the last one counts.

    \b
    Examples:
      pipeline results last
      pipeline results last -o results.csv
      pipeline results last -o labels.xlsx --columns key,label,confidence,payload.text
      pipeline results last --state cancelled
      pipeline results last --follow --after 1200
    """
    target = make_output(output, output_format, columns, flat=flat, with_payload=with_payload, format_option="--format")
    with open_context() as context, StopSignals() as stop:
        check_file_conflicts(reads={"the database": sqlite_file(context.settings)}, writes={"-o": output})
        with context.database.read() as connection:
            row = find_batch(connection, batch)
        batch_id, written = row["public_id"], _Written(after, state)
        try:
            with target.open() as out:
                read = partial(service.page, context, row["id"], with_payload=target.layout.needs_payload)
                is_complete = partial(progress.is_complete, context, row["id"]) if follow else None
                _write(read, is_complete, written, out, stop)
        except Stopped:
            Messages().warn(_continue_hint(batch_id, target, written, follow=follow))
            return INTERRUPTED
    if not target.is_stdout:
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


def _continue_hint(batch_id: str, target: ResultOutput, written: _Written, *, follow: bool) -> str:
    words = ["pipeline", "results", batch_id, *(["--follow"] if follow else [])]
    words += ["--state", written.state] if written.state else []
    if not target.is_stdout:
        command = shlex.join([*words, *target.arguments])
        return f"stopped; {target.path} is incomplete. To write all of it again, run: {command}"
    # Standard output is the default.
    command = shlex.join([*words, *target.arguments[2:], "--after", str(written.seq)])
    return f"stopped after seq {written.seq}. To continue, run: {command}"


def _write(
    read: Callable[[int], service.Page],
    is_complete: Callable[[], bool] | None,
    written: _Written,
    out: ResultWriter,
    stop: StopSignals,
) -> None:
    """Write the results so far; with `is_complete`, also those to come until it returns True."""
    while True:
        # Queried before the log is read, so that the next page has what finishes in between.
        is_over = is_complete is None or is_complete()
        page = read(written.seq)
        written.write(page, out)
        if not page.has_more and is_over:
            return
        if not page.has_more:
            stop.wait(_POLL_SECONDS)
        stop.check()
