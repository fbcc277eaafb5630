"""Read the event log of a batch as it is stored: bodies are passed on as bytes, never parsed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection

from pipeline.batches.find import pruned_meanwhile
from pipeline.batches.sql import batches, events
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.batch import BatchState
from pipeline.domain.portions import PORTION_BYTES


class StoredEvent(NamedTuple):
    """One event: its position in the log, its type, and the bytes that every receiver gets."""

    seq: int
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class BatchVersion:
    """What changes whenever something happens to a batch.

    Args:
        last_seq: `seq` of the newest event; 0: there is none yet.
        is_complete: whether every item is final.
    """

    last_seq: int
    state: BatchState
    is_complete: bool
    total: int
    succeeded: int
    dead: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class LogPage:
    """Consecutive events.

    Args:
        last_seq: `seq` to continue after.
        has_more: whether more events were there to be read.
        version: the batch, as the same snapshot has it.
    """

    events: Sequence[StoredEvent]
    last_seq: int
    has_more: bool
    version: BatchVersion


def read(context: Context, batch_id: int, after: int, *, limit: int, size_limit: int = PORTION_BYTES) -> LogPage:
    """Return the events of a batch that follow the `seq` `after`.

    Args:
        limit: events, at most.
        size_limit: bytes of their bodies, at most, unless the first one alone has more.

    Raises:
        NotFound: the batch was pruned in the meantime.
    """
    with context.database.read() as connection:
        found = batches.find_versions(connection, [batch_id])
        # Events of a batch that was pruned may still be there.
        if not found:
            raise pruned_meanwhile()
        stored, has_more = events.find_after(connection, batch_id, after, limit, size_limit)
    return LogPage(_events(stored), stored[-1]["seq"] if stored else after, has_more, _version(found[0]))


def version(context: Context, batch_id: int) -> BatchVersion:
    """Return the version of a batch.

    Raises:
        NotFound: it was pruned in the meantime.
    """
    with context.database.read() as connection:
        found = batches.find_versions(connection, [batch_id])
    if not found:
        raise pruned_meanwhile()
    return _version(found[0])


@dataclass(frozen=True, slots=True)
class News:
    """What a poll found out about a batch.

    Args:
        version: None: the batch was pruned.
        events: those that follow what was read before, without a gap.
        has_more: whether there are further ones.
    """

    version: BatchVersion | None
    events: Sequence[StoredEvent] = ()
    has_more: bool = False


def poll(context: Context, read_up_to: Mapping[int, int | None], *, limit: int, size_limit: int) -> dict[int, News]:
    """Return the version of many batches, and the events that were added to those whose log was read up to a `seq`.

    Args:
        read_up_to: batch → the `seq` up to which its log was read; None: its events are not wanted.
        limit, size_limit: of the events of each batch, as for `read`.
    """
    with context.database.read() as connection:
        found = {row["id"]: _version(row) for row in batches.find_versions(connection, list(read_up_to))}
        return {
            batch_id: _news(connection, batch_id, found.get(batch_id), seq, limit, size_limit)
            for batch_id, seq in read_up_to.items()
        }


def _news(
    connection: Connection, batch_id: int, now: BatchVersion | None, seq: int | None, limit: int, size_limit: int
) -> News:
    if now is None or seq is None or now.last_seq <= seq:
        return News(now)
    stored, has_more = events.find_after(connection, batch_id, seq, limit, size_limit)
    return News(now, _events(stored), has_more)


def _events(stored: Collection[Row]) -> list[StoredEvent]:
    return [StoredEvent(row["seq"], row["type"], bytes(row["body"])) for row in stored]


def _version(row: Row) -> BatchVersion:
    return BatchVersion(
        last_seq=row["next_seq"] - 1,
        state=BatchState(row["state"]),
        is_complete=row["completed_at"] is not None,
        total=row["total"],
        succeeded=row["succeeded"],
        dead=row["dead"],
        cancelled=row["cancelled"],
    )
