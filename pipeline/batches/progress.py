"""Read the progress of batches, their dead items, and the details of one item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection

from pipeline.batches.find import find_batch, find_item, find_item_or_batch, find_owned_batch, pruned_meanwhile
from pipeline.batches.sql import attempts, batches, items
from pipeline.batches.sql import interventions as interventions_sql
from pipeline.batches.sql.items import ItemsInFlight
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain import bounds
from pipeline.domain.batch import BatchState, Progress
from pipeline.domain.filters import ItemFilter
from pipeline.domain.ids import split_item_id
from pipeline.domain.intervention import Intervention
from pipeline.domain.item import ItemState, Stage
from pipeline.errors import NotFound

#: Items in each state whose errors are counted: reading those of a million takes seconds.
COUNTED_ERRORS = 10_000
#: Rows that a page of a list looks at for those that pass a filter.
LOOKED_AT = 10_000


@dataclass(frozen=True, slots=True)
class Details:
    """One item with its batch and its failed attempts."""

    batch: Row
    item: Row
    attempts: list[Row]

    @property
    def attempts_by_stage(self) -> dict[str, int]:
        """How many attempts the item has had at each stage, successful ones and one under way included.

        Attempts that did not count are left out: those that were asked to wait, and those whose worker died.
        """
        item = self.item
        counts = Counter(attempt["stage"] for attempt in self.attempts if attempt["outcome"] != "snoozed")
        counts[Stage.CLASSIFY] += item["classified_at"] is not None
        is_enriched = item["state"] == ItemState.SUCCEEDED and item["stage"] == Stage.ENRICH
        counts[item["stage"]] += is_enriched or item["state"] == ItemState.RUNNING
        return {stage.value: counts[stage] for stage in Stage if counts[stage]}


def progress(context: Context, batch: str) -> Progress:
    """Return the progress of one batch.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        row = find_batch(connection, batch)
        return progress_of(row, items.count_in_flight(connection))


def interventions(context: Context, batch: str, *, limit: int) -> list[Intervention]:
    """Return what people did to a batch, the newest first.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        return interventions_sql.find_newest(connection, find_batch(connection, batch)["id"], limit)


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


def page(context: Context, *, before: int | None, limit: int) -> list[tuple[int, Progress]]:
    """Return the progress of batches, newest first, each with its row id.

    Args:
        before: only those with row ids below.
    """
    with context.database.read() as connection:
        in_flight = items.count_in_flight(connection)
        found = batches.find_newest(connection, limit, before=before)
        return [(row["id"], progress_of(row, in_flight)) for row in found]


def listed_items(
    context: Context, batch_id: int, chosen: ItemFilter, *, after: int, limit: int
) -> tuple[list[Row], int | None]:
    """Return items of a batch that pass a filter, by position, and the position after which to go on.

    Args:
        after: a position; 0: from the beginning.
    """
    lowest = batch_id * POSITIONS_PER_BATCH
    with context.database.read() as connection:
        found, last = items.find_page(
            connection, batch_id, chosen, after=lowest + after, limit=limit, look_at=LOOKED_AT
        )
    return found, None if last is None else last - lowest


def owned_details(context: Context, item: str, tenant: str | None) -> Details:
    """Return the item with exactly this id, if its batch belongs to a tenant.

    Args:
        tenant: None: any.

    Raises:
        NotFound: there is none. An item of another tenant is answered in the same words.
    """
    split = split_item_id(item)
    with context.database.read() as connection:
        found = None
        if split is not None:
            with suppress(NotFound):
                batch = find_owned_batch(connection, split[0], tenant)
                found = items.get(connection, batch["id"] * POSITIONS_PER_BATCH + split[1])
        if found is None:
            raise NotFound(f"there is no item {bounds.shown(item)}")
        return _details(connection, batch, found)


def first_labels(context: Context, batch_id: int, limit: int) -> dict[str, int]:
    """Return how many of the first `limit` items of a batch have each label, most frequent first."""
    with context.database.read() as connection:
        return items.count_first_labels(connection, batch_id, limit)


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
        return progress_of(row, items.count_in_flight(connection))


def _details(connection: Connection, batch: Row, item: Row) -> Details:
    return Details(
        batch=batch,
        item=item,
        attempts=attempts.find_by_item(connection, item["id"]),
    )


def progress_of(row: Row, in_flight: Mapping[int, ItemsInFlight]) -> Progress:
    """Return the progress of the batch with this row."""
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
        paused_by=row["paused_by"],
    )
