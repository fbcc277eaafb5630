"""The submitter's lease on a batch: held while its items are written; a batch whose lease was lost is removed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.lease_holder import certainly_dead, new_holder
from pipeline.database.trouble import log_failure
from pipeline.domain.batch import BatchState
from pipeline.errors import Conflict
from pipeline.log import get_logger

log = get_logger(__name__)

#: Prefix of the names of submitters' leases.
PREFIX = "submit:"
#: Items removed in one transaction, which bounds how long other writers wait.
CHUNK = 5_000


def take(context: Context, connection: Connection, batch_id: int) -> None:
    """Take the lease, in the transaction that opens the batch."""
    now = context.now()
    leases.acquire(connection, _lease(batch_id), context.worker, now=now, until=now + context.lease)


def keep(context: Context, connection: Connection, batch_id: int) -> None:
    """Extend the submitter's lease, in the transaction that relies on it.

    Raises:
        Conflict: another process has taken the lease and removes what was stored.
    """
    if not leases.extend(connection, _lease(batch_id), context.worker, until=context.now() + context.lease):
        raise Conflict(
            "another process discarded this submission because it showed no sign of life for too long; nothing was "
            "accepted; submit it again"
        )


def drop(context: Context, connection: Connection, batch_id: int) -> None:
    """Release the lease, in the transaction that accepts the batch."""
    leases.release(connection, _lease(batch_id), context.worker)


@contextmanager
def kept_alive(context: Context, batch_id: int) -> Iterator[None]:
    """Extend the lease in the background: slow input does not mean that the submitter is dead."""
    ended = threading.Event()

    def extend() -> None:
        while not ended.wait(context.lease.total_seconds() / 3):
            try:
                with context.database.write() as connection:
                    leases.extend(connection, _lease(batch_id), context.worker, until=context.now() + context.lease)
            except Exception as error:
                # The next round tries again. `keep` checks the lease in the transactions that depend on it.
                log_failure(log, "submission_lease_not_extended", error, batch=batch_id)

    keeper = threading.Thread(target=extend, name="pipeline-submit", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def discard(context: Context, batch_id: int) -> None:
    """Remove a batch that was not accepted."""
    while True:
        with context.database.write() as connection:
            if not batches.discard(connection, batch_id, CHUNK):
                leases.delete_lease(connection, _lease(batch_id))
                return


def discard_abandoned(context: Context) -> int:
    """Remove batches whose submitter died before it had stored every item. Return the number of batches."""
    with context.database.read() as connection:
        accepting = batches.find_open(connection, BatchState.ACCEPTING)
        dead = certainly_dead(leases.find_holders(connection)) if accepting else []
    abandoned = [batch_id for batch_id in accepting if _seize(context, batch_id, dead)]
    for batch_id in abandoned:
        discard(context, batch_id)
    return len(abandoned)


def _seize(context: Context, batch_id: int, dead: Sequence[str]) -> bool:
    """Take over an expired submitter's lease so that the submitter cannot continue.

    The lease is only replaced, never created: a submitter drops it in the transaction that accepts the batch.

    Returns:
        False if the submitter is alive or has finished.
    """
    now = context.now()
    # A new name: the submitter may be a thread of this process.
    sweeper = new_holder()
    with context.database.write() as connection:
        return leases.take_over(connection, _lease(batch_id), sweeper, now=now, until=now + context.lease, dead=dead)


def _lease(batch_id: int) -> str:
    return f"{PREFIX}{batch_id}"
