"""Leases on batches that are being submitted, held while items are written. A batch whose lease was lost is removed.

A batch that is uploaded in parts has a lease that no process holds, and each part that is being written has one that
its writer holds. So a range of positions with items has a row in `batch_parts`, or a lease.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from pipeline.batches.sql import batches
from pipeline.batches.sql.delete_unaccepted import delete_unaccepted
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
#: Holds the leases of batches that are uploaded in parts. It names no process, so no sweep takes it for a dead one.
PARTS = "parts"
#: Holds the leases of submissions that were interrupted and can be resumed.
INTERRUPTED = "interrupted"
#: Before all leases.
_NEVER = datetime.fromtimestamp(0, UTC)
#: How long a batch waits for its next part.
PARTS_LEASE = timedelta(hours=24)
#: How long what an interrupted submission has stored is kept, if it can be resumed.
RESUMABLE_FOR = timedelta(hours=24)
#: Items removed in one transaction, which bounds how long other writers wait.
CHUNK = 5_000


class SubmitLease(NamedTuple):
    """A lease on a batch that is being submitted, or on a part of one."""

    name: str
    holder: str


def of_submitter(batch_id: int) -> SubmitLease:
    """Return the lease of one submission of a whole batch. Another one, by this process too, has another holder."""
    return SubmitLease(_name(batch_id), new_holder())


def of_parts(batch_id: int) -> SubmitLease:
    """Return the lease of a batch that is uploaded in parts."""
    return SubmitLease(_name(batch_id), PARTS)


def of_part(batch_id: int, number: int) -> SubmitLease:
    """Return a lease of one upload of a part. Another upload of it, by this process too, has another holder."""
    return SubmitLease(f"{prefix_of_parts(batch_id)}{number}", new_holder())


def prefix_of_parts(batch_id: int) -> str:
    """Return what the names of the leases of a batch's parts begin with."""
    return f"{_name(batch_id)}:part:"


def ends_of_parts(connection: Connection, batch_ids: Sequence[int]) -> dict[int, datetime]:
    """Return when the leases of batches that are uploaded in parts end, by batch; others are left out."""
    names = {_name(batch_id): batch_id for batch_id in batch_ids}
    found = leases.find_by_names(connection, list(names))
    return {names[row["name"]]: row["until"] for row in found if row["holder"] == PARTS}


def take(context: Context, connection: Connection, lease: SubmitLease, *, dead: Sequence[str] = ()) -> bool:
    """Take a lease. Return False if somebody else holds it.

    Args:
        dead: holders that are known to be gone.
    """
    now = context.now()
    return leases.acquire(connection, lease.name, lease.holder, now=now, until=_end(lease, context), dead=dead)


def keep(context: Context, connection: Connection, lease: SubmitLease) -> None:
    """Extend a lease, in the transaction that relies on it.

    Raises:
        Conflict: another process has taken the lease and removes what was stored.
    """
    if not leases.extend(connection, lease.name, lease.holder, until=_end(lease, context)):
        raise Conflict(
            "another process took over or discarded this submission because it showed no sign of life for too long; "
            "nothing was accepted here; submit it again"
        )


def drop(connection: Connection, lease: SubmitLease) -> None:
    """Release a lease, in the transaction that accepts the batch or the part."""
    leases.release(connection, lease.name, lease.holder)


def forget(context: Context, batch_id: int, lease: SubmitLease) -> None:
    """Let nobody go on with a submission that is about to be removed.

    Raises:
        Conflict: another process has taken the lease.
    """
    with context.database.write() as connection:
        keep(context, connection, lease)
        # Whoever removes it may die before it has removed everything.
        batches.save_cursor(connection, batch_id, None)


def hand_back(context: Context, batch_id: int, holders: Sequence[str]) -> None:
    """Let another process go on with a submission that one of these holders has left."""
    now = context.now()
    with context.database.write() as connection:
        leases.take_over(connection, _name(batch_id), INTERRUPTED, now=_NEVER, until=now, dead=holders)


def take_interrupted(context: Context, connection: Connection, lease: SubmitLease) -> bool:
    """Take over the lease of a submission that was interrupted. Return False if its submitter is alive."""
    now = context.now()
    gone = [*certainly_dead(leases.find_holders(connection)), INTERRUPTED]
    return leases.take_over(connection, *lease, now=now, until=_end(lease, context), dead=gone)


@contextmanager
def kept_alive(context: Context, lease: SubmitLease) -> Iterator[None]:
    """Extend the lease in the background: slow input does not mean that the submitter is dead."""
    ended = threading.Event()

    def extend() -> None:
        while not ended.wait(context.lease.total_seconds() / 3):
            try:
                with context.database.write() as connection:
                    leases.extend(connection, lease.name, lease.holder, until=_end(lease, context))
            except Exception as error:
                # The next round tries again. `keep` checks the lease in the transactions that depend on it.
                log_failure(log, "submission_lease_not_extended", error, lease=lease.name)

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
            if not delete_unaccepted(connection, batch_id, CHUNK):
                leases.delete_lease(connection, _name(batch_id))
                for row in leases.find_by_prefix(connection, prefix_of_parts(batch_id)):
                    leases.delete_lease(connection, row["name"])
                return


def discard_abandoned(context: Context) -> int:
    """Remove batches whose submitter died before it had stored every item. Return the number of batches.

    One that can be resumed is removed once it has waited for `RESUMABLE_FOR`.
    """
    with context.database.read() as connection:
        accepting = batches.find_open(connection, BatchState.ACCEPTING)
        dead = certainly_dead(leases.find_holders(connection)) if accepting else []
        resumable = batches.find_resumable(connection) if accepting else set()
    abandoned = [each for each in accepting if each not in resumable and seize(context, each, dead)]
    for batch_id in resumable:
        if seize(context, batch_id, [], patience=RESUMABLE_FOR):
            abandoned.append(batch_id)
        elif dead:
            # Its time counts from here, and its holder, which is gone, is no longer found dead.
            hand_back(context, batch_id, dead)
    for batch_id in abandoned:
        discard(context, batch_id)
    return len(abandoned)


def seize(context: Context, batch_id: int, dead: Sequence[str], *, patience: timedelta = timedelta(0)) -> bool:
    """Take over the lease on a batch, if it expired or a dead process holds it, so that the submitter cannot continue.

    The lease is only replaced, never created: a submitter drops it in the transaction that accepts the batch.

    Args:
        patience: how long ago the lease must have expired.

    Returns:
        False if the submitter is alive or has finished.
    """
    now = context.now()
    # A new name: the submitter may be a thread of this process.
    sweeper = new_holder()
    with context.database.write() as connection:
        expired = leases.take_over(
            connection, _name(batch_id), sweeper, now=now - patience, until=now + context.lease, dead=dead
        )
        if expired:
            # Whoever removes it may die before it has removed everything: nobody may go on with what is left.
            batches.save_cursor(connection, batch_id, None)
        return expired


def _end(lease: SubmitLease, context: Context) -> datetime:
    return context.now() + (PARTS_LEASE if lease.holder == PARTS else context.lease)


def _name(batch_id: int) -> str:
    return f"{PREFIX}{batch_id}"
