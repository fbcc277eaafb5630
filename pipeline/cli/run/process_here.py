"""Take a batch in or find it, and process it in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.cli.error_report import STOPPED
from pipeline.cli.file_conflicts import refuse_shared
from pipeline.cli.run import log_output
from pipeline.cli.run.finish_batch import Wishes, finish
from pipeline.cli.run.session import sqlite_file
from pipeline.cli.run.stop_signals import Stop, Stopped
from pipeline.cli.run.submission import Request, Stored, store
from pipeline.cli.run.wake_workers import nudge
from pipeline.cli.show.output import Talk, many
from pipeline.client.batch import Batch
from pipeline.client.client import Client
from pipeline.client.connect import session_on
from pipeline.context import Context
from pipeline.errors import InvalidInput
from pipeline.files.output_file import check_target
from workers.garbage_collector import calm


def process(source: Request | str, wishes: Wishes, *, on_stored: Callable[[Stored], None] | None = None) -> int:
    """Process what a request takes in, or the batch of that name, to the end; return the exit code.

    Args:
        on_stored: told of the batch before work on it begins.

    Raises:
        InvalidInput: results cannot be written where they are to go; nothing is stored then.
    """
    log_output.show()
    if wishes.output not in (None, "-"):
        check_target(str(wishes.output))
    refuse_overwriting(source, wishes.output)
    begun: list[str] = []
    with Stop() as stop:
        try:
            context = make_context(settings.load())
            with Client(session_on(context)) as client, _announced(wishes.talk):
                batch, rejected = _begin(context, client, source, wishes.talk, stop, on_stored)
                begun.append(batch.id)
                # This process is ours, as a worker's is: what the caller's program would not want.
                calm()
                return finish(context, client, batch, wishes, stop, rejected=rejected)
        except Stopped:
            wishes.talk.warn(how_to_go_on(begun, wishes.output))
            return STOPPED
        except (OSError, InvalidInput):
            # A full disk, a reader of standard output that has gone, a file that another process has just taken.
            if not begun:
                raise
            wishes.talk.warn(how_to_go_on(begun, wishes.output))
            raise


def refuse_overwriting(source: Request | str, output: str | None) -> None:
    """Raise InvalidInput where what a run writes is a file that it reads, or is written twice."""
    reads: dict[str, str | Path | None] = {"the database": sqlite_file(settings.load())}
    writes: dict[str, str | Path | None] = {"-o": output}
    if isinstance(source, Request):
        reads |= {"INPUT": source.source, "the definition": source.definition}
        writes["--rejects"] = source.rejects
    refuse_shared(reads=reads, writes=writes)


def how_to_go_on(begun: list[str], output: str | None) -> str:
    """Return what to say after a stop."""
    if not begun:
        return "stopped; nothing was stored"
    target = "" if output is None else f" -o {output}"
    return f"stopped; nothing is lost. Go on with: pipeline run --batch {begun[0]}{target}"


def _begin(
    context: Context,
    client: Client,
    source: Request | str,
    talk: Talk,
    stop: Stop,
    on_stored: Callable[[Stored], None] | None,
) -> tuple[Batch, int]:
    rejected = 0
    if isinstance(source, Request):
        stored = store(context, source, talk, stop)
        nudge(context, talk)
        if on_stored:
            on_stored(stored)
        source, rejected = stored.submitted.batch_id, stored.rejected
    batch = client.batch(source)
    talk.say(f"batch {batch.id}: {many(batch.progress().total, 'item')}")
    return batch, rejected


@contextmanager
def _announced(talk: Talk) -> Iterator[None]:
    try:
        yield
    except Stopped:
        talk.say("stopping: what is in flight is finished or handed back; once more ends at once")
        raise
