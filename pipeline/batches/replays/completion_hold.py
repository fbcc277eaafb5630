"""Keep a batch from completing while one replay moves its items in several transactions.

The items of one chunk may finish before the next chunk is moved. Without a hold, `batch.completed` would be emitted for
each chunk instead of once for the replay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from pipeline.batches.finish import complete
from pipeline.batches.sql import batches, completion_holds
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.lease_holder import certainly_dead, new_holder


class CompletionHold:
    """The hold of one replay on its batch. Made by `completion_hold`."""

    def __init__(self, context: Context, batch_id: int) -> None:
        self._context, self._batch_id = context, batch_id
        self._holder = new_holder()
        self._name = completion_holds.name_of(batch_id, self._holder)
        self._is_taken = False

    def keep(self, connection: Connection) -> None:
        """Take the hold, or extend it, in the transaction that moves a chunk after which others may follow."""
        now = self._context.now()
        leases.acquire(connection, self._name, self._holder, now=now, until=now + self._context.lease)
        self._is_taken = True

    def release(self) -> None:
        """Release the hold, and complete the batch if every item is final by now."""
        if self._is_taken:
            _release(self._context, self._batch_id, self._name)


@contextmanager
def completion_hold(context: Context, batch_id: int) -> Iterator[CompletionHold]:
    """Return a hold that is released when the block ends. A replay of a single chunk never takes it."""
    hold = CompletionHold(context, batch_id)
    try:
        yield hold
    finally:
        hold.release()


def release_abandoned(context: Context) -> int:
    """Release the holds of replays whose process died, and complete their batches. Return the number of holds."""
    with context.database.read() as connection:
        # Most of the time there is none: then nothing else is asked.
        dead = certainly_dead(leases.find_holders(connection))
        abandoned = completion_holds.find_abandoned(connection, context.now(), dead)
    for name, batch_id in abandoned:
        _release(context, batch_id, name)
    return len(abandoned)


def _release(context: Context, batch_id: int, name: str) -> None:
    with context.database.write() as connection:
        # Locked first: whoever finishes the last item either comes before, and is seen here, or sees no hold.
        batches.lock(connection, batch_id)
        leases.delete_lease(connection, name)
        complete(connection, batch_id, context.hooks, context.now())
