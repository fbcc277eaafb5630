"""Read the progress of batches, their dead items, and the details of one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from pipeline.batches.find import find_batch, find_item, find_item_or_batch, pruned_meanwhile
from pipeline.batches.sql import attempts, batches, items
from pipeline.batches.sql.items import ItemsInFlight
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.batch import BatchState, Progress
from pipeline.domain.item import ItemState

#: Items in each state whose errors are counted: reading those of a million takes seconds.
COUNTED_ERRORS = 10_000


@dataclass(frozen=True, slots=True)
class Details:
    """One item with its batch and its failed attempts."""

    batch: Row
    item: Row
    attempts: list[Row]


def progress(context: Context, batch: str) -> Progress:
    """Return the progress of one batch.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        row = find_batch(connection, batch)
        return _progress(row, items.count_in_flight(connection))


def is_complete(context: Context, batch_id: int) -> bool:
    """Return whether every item of a batch is final. Cheap enough to poll.

    Raises:
        NotFound: the batch has been pruned in the meantime.
    """
    with context.database.read() as connection:
        found = batches.is_complete(connection, batch_id)
    if found is None:
        raise pruned_meanwhile()
    return found


def recent(context: Context, limit: int = 20) -> list[Progress]:
    """Return the progress of the latest batches, newest first."""
    return [each for _, each in page(context, before=None, limit=limit)]


def page(
    context: Context,
    *,
    before: int | None,
    limit: int,
    tenant: str | None = None,
    state: BatchState | None = None,
) -> list[tuple[int, Progress]]:
    """Return the progress of batches, newest first, each with its row id.

    Args:
        before: only those with row ids below.
        tenant: only its batches; None: everybody's.
        state: only those in this state; None: in any.
    """
    with context.database.read() as connection:
        in_flight = items.count_in_flight(connection)
        found = batches.find_newest(connection, limit, before=before, tenant=tenant, state=state)
        return [(row["id"], _progress(row, in_flight)) for row in found]


def labels(context: Context, batch: str) -> dict[str, int]:
    """Return the number of items per label, most frequent first."""
    with context.database.read() as connection:
        return items.count_labels(connection, find_batch(connection, batch)["id"])


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """An error, and how many dead or waiting items have it as their last one; counted up to `COUNTED_ERRORS`."""

    state: ItemState
    message: str
    items: int


def errors(context: Context, batch: str, *, limit: int) -> list[ErrorCount]:
    """Return the most frequent errors of a batch's dead items, and of those that wait for their next attempt."""
    with context.database.read() as connection:
        found = items.count_errors(connection, find_batch(connection, batch)["id"], COUNTED_ERRORS)
    return [ErrorCount(ItemState(state), message, number) for (state, message), number in found.most_common(limit)]


def dead(context: Context, batch: str | None, *, limit: int, after: int = 0) -> list[Row]:
    """Return dead items in order of their ids, those after the id `after`, of one batch or of all.

    Each has the `answer` of another service that its last attempt got, if any.
    """
    with context.database.read() as connection:
        batch_row = None if batch is None else find_batch(connection, batch)["id"]
        found = items.find_dead(connection, batch_row, after=after, limit=limit)
        answers = attempts.find_last_answers(connection, [row["id"] for row in found])
    return [{**row, "answer": answers.get(row["id"])} for row in found]


def details(context: Context, name: str, batch: str | None = None) -> Details | None:
    """Return the item with this item id, task id or key; None if `name` is none of them.

    Args:
        batch: the batch in which to look up keys first; None: the last one.

    Raises:
        NotFound: the name has the form of an id, but there is no such item; or there is no such batch.
        InvalidInput: the name is ambiguous.
    """
    with context.database.read() as connection:
        found = find_item(connection, name, batch)
        return None if found is None else _details(connection, *found)


def details_or_progress(context: Context, name: str, batch: str | None = None) -> Details | Progress:
    """Return the item with this name as `details` does, or else the progress of the batch with this name.

    Raises:
        NotFound: there is neither such an item nor such a batch.
        InvalidInput: the name is ambiguous.
    """
    with context.database.read() as connection:
        row, item = find_item_or_batch(connection, name, batch)
        if item is not None:
            return _details(connection, row, item)
        return _progress(row, items.count_in_flight(connection))


def _details(connection: Connection, batch: Row, item: Row) -> Details:
    return Details(
        batch=batch,
        item=item,
        attempts=attempts.find_by_item(connection, item["id"]),
    )


def _progress(row: Row, in_flight: Mapping[int, ItemsInFlight]) -> Progress:
    mine = in_flight.get(row["id"])
    return Progress(
        batch_id=row["public_id"],
        definition=row["definition"],
        state=BatchState(row["state"]),
        total=row["total"],
        succeeded=row["succeeded"],
        dead=row["dead"],
        cancelled=row["cancelled"],
        in_flight=0 if mine is None else mine.released,
        running=0 if mine is None else mine.running,
        last_seq=row["next_seq"] - 1,
        created_at=row["created_at"],
        completed_at=row["completed_at"],
    )
