"""Process a batch from submission, or from where it stopped, to the end."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.bootstrap import make_context
from pipeline.cli.error_report import INTERRUPTED
from pipeline.cli.file_conflicts import check_file_conflicts
from pipeline.cli.run.finish_batch import RunOptions, finish_batch
from pipeline.cli.run.log_output import configure_logging
from pipeline.cli.run.result_output import ResultOutput
from pipeline.cli.run.session import sqlite_file
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.run.submission import StoredBatch, SubmitRequest, store_batch
from pipeline.cli.run.wake_workers import wake_workers
from pipeline.cli.show.output import Messages, pluralize
from pipeline.client.batch import Batch
from pipeline.client.client import Client
from pipeline.client.connect import session_on
from pipeline.context import Context
from pipeline.errors import InvalidInput, Unreachable
from pipeline.settings import load as load_settings
from pipeline.sources.locations import local_paths
from workers.garbage_collector import calm


def process_batch(
    source: SubmitRequest | str, options: RunOptions, *, on_stored: Callable[[StoredBatch], None] | None = None
) -> int:
    """Process a new or an existing batch until it is finished, and return the exit code.

    Args:
        source: what to submit, or the name of an existing batch.
        options: the options of the run.
        on_stored: called with a new batch before its processing starts.

    Raises:
        InvalidInput: the output file cannot be written; nothing is stored in that case.
    """
    configure_logging()
    output = None if options.output is None else options.output.path
    check_files(source, output)
    batch_id: str | None = None
    with StopSignals() as stop:
        try:
            context = make_context(load_settings())
            with Client(session_on(context)) as client, _announce_stop(options.messages):
                batch, stored = _open_batch(context, client, source, options, stop, on_stored)
                batch_id = batch.id
                # The process is ours, as in a worker. The Python API does not do this to the caller's process.
                calm()
                return finish_batch(context, client, batch, options, stop, stored)
        except Stopped as stopped:
            options.messages.warn(str(stopped) or _continue_hint(batch_id, options.output))
            return INTERRUPTED
        except (OSError, InvalidInput, Unreachable):
            # A disk is full, the reader of standard output is gone, another process has just opened the file, or the
            # database cannot be used.
            if batch_id is not None:
                options.messages.warn(_continue_hint(batch_id, options.output))
            raise


def check_files(source: SubmitRequest | str, output: str | None) -> None:
    """Raise InvalidInput if a run would overwrite one of its inputs, or write one file twice."""
    reads: dict[str, str | Path | None] = {"the database": sqlite_file(load_settings())}
    writes: dict[str, str | Path | None] = {"-o": output}
    if isinstance(source, SubmitRequest):
        reads |= {f"INPUT {path}": path for each in source.sources for path in local_paths(each)}
        reads |= {"INPUT": "-" if "-" in source.sources else None, "the definition": source.definition}
        writes["--rejects"] = source.rejects
    check_file_conflicts(reads=reads, writes=writes)


def _continue_hint(batch_id: str | None, output: ResultOutput | None) -> str:
    if batch_id is None:
        return "stopped; nothing was stored"
    target = [] if output is None else output.arguments
    command = shlex.join(["pipeline", "run", "--batch", batch_id, *target])
    return f"stopped; nothing is lost. To continue, run: {command}"


def _open_batch(
    context: Context,
    client: Client,
    source: SubmitRequest | str,
    options: RunOptions,
    stop: StopSignals,
    on_stored: Callable[[StoredBatch], None] | None,
) -> tuple[Batch, StoredBatch | None]:
    """Return the batch, and what was stored if it is new."""
    stored = None
    if isinstance(source, SubmitRequest):
        stored = store_batch(context, source, options.messages, stop, as_json=options.as_json)
        wake_workers(context, options.messages)
        if on_stored:
            on_stored(stored)
        source = stored.submitted.batch_id
    batch = client.batch(source)
    options.messages.info(f"batch {batch.id}: {pluralize(batch.progress().total, 'item')}")
    return batch, stored


@contextmanager
def _announce_stop(messages: Messages) -> Iterator[None]:
    try:
        yield
    except Stopped:
        messages.info("stopping: finishing or returning items in flight; press Ctrl-C again to exit at once")
        raise
