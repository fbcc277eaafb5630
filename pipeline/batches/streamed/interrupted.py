"""Which submissions were interrupted, and how far they had come."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pipeline.batches import submit_lease
from pipeline.batches.find import find_batch
from pipeline.batches.sql import batches
from pipeline.batches.streamed.checkpoint import Checkpoint
from pipeline.batches.streamed.resume import source_name
from pipeline.batches.submission import is_resumable
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.lease_holder import certainly_dead
from pipeline.database.row import Row


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A submission that was interrupted and can be resumed, or that is under way.

    Args:
        batch_id: its public id.
        stored: items that are stored.
        source: the name of what they are read from.
        is_running: whether its submitter is at work.
        kept_until: when what is stored is removed unless the submission goes on.
    """

    batch_id: str
    stored: int
    source: str
    is_running: bool
    kept_until: datetime

    @property
    def text(self) -> str:
        """What to tell a person."""
        if self.is_running:
            return f"{self.stored:,} items of {self.source} are stored so far"
        return f"interrupted at {self.stored:,} items of {self.source}; the same command again goes on"


def find_interrupted(context: Context, batch: str) -> Interrupted | None:
    """Return how far the submission of a batch has come, if it can be resumed; otherwise None.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        return _interrupted(context, connection, find_batch(connection, batch))


def list_interrupted(context: Context) -> list[Interrupted]:
    """Return the submissions that can be resumed, or are under way and could."""
    with context.database.read() as connection:
        found = batches.find_by_ids(connection, sorted(batches.find_resumable(connection)))
        return [each for row in found if (each := _interrupted(context, connection, row)) is not None]


def _interrupted(context: Context, connection: Connection, batch: Row) -> Interrupted | None:
    if not is_resumable(batch):
        return None
    lease = leases.find(connection, submit_lease.of_submitter(batch["id"]).name)
    if lease is None:
        return None
    return Interrupted(
        batch_id=batch["public_id"],
        stored=Checkpoint.from_json(batch["cursor"]).stored,
        source=source_name(batch),
        is_running=lease["until"] >= context.now() and not certainly_dead([lease["holder"]]),
        kept_until=lease["until"] + submit_lease.RESUMABLE_FOR,
    )
