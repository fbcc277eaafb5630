"""Items: inserting, reading, cancelling and replaying them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, case, func, select, text, update

from pipeline.batches.sql import spans
from pipeline.database.dialect import dialect_of
from pipeline.database.json_rows import item_rows
from pipeline.database.locks import lock_in_id_order, skip_locked
from pipeline.database.row import Row, first, rows
from pipeline.database.state_literals import has_state
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, items
from pipeline.domain.filters import ItemFilter
from pipeline.domain.item import ItemState, Stage

IN_FLIGHT = (ItemState.QUEUED, ItemState.RUNNING)
NOT_STARTED = (ItemState.PENDING, ItemState.QUEUED)

RESULT_COLUMNS = ("label", "confidence", "classification", "classified_at", "enrichment")
ERROR_COLUMNS = ("error_kind", "error_type", "error_message", "error_stage")
#: The columns that say why an item is dead.
DEATH_COLUMNS = (*ERROR_COLUMNS, "cause")

#: The columns that an event about a finished item is made of.
FINISHED_COLUMNS = (
    "id", "batch_id", "position", "key", "callback_url", "state", "attempts", *RESULT_COLUMNS, *ERROR_COLUMNS,
    "created_at", "queued_at", "started_at", "finished_at",
)  # fmt: skip


def add(connection: Connection, accepted: Sequence[Mapping[str, Any]]) -> None:
    """Insert items.

    Args:
        accepted: one mapping each: `id`, `batch_id`, `position`, `key`, `payload`, `callback_url` and `created_at`.
    """
    start = {"stage": Stage.CLASSIFY.value, "state": ItemState.PENDING.value}
    dialect_of(connection).insert_rows(connection, items, _ACCEPTED, [{**row, **start} for row in accepted])


_ACCEPTED = ("id", "batch_id", "position", "key", "payload", "callback_url", "created_at", "stage", "state")


def positions_of_keys(connection: Connection, batch_id: int, keys: Sequence[str]) -> dict[str, int]:
    """Return the position in its batch of the item with each of these keys. Unknown keys are omitted."""
    dialect = dialect_of(connection)
    given = item_rows(dialect, "key")
    # A subquery for each key, not a join: of a batch that is new to its statistics, PostgreSQL expects one row, and
    # would compare each of its items with each key.
    position = select(items.c.position).where(items.c.batch_id == batch_id, items.c.key == given.c.key)
    query = select(given.c.key, position.scalar_subquery())
    found = connection.execute(query, {"rows": dialect.encode_rows({"key": key} for key in keys)})
    return {key: position for key, position in found if position is not None}


def get(connection: Connection, item_id: int) -> Row | None:
    """Return an item as users see it, or None if there is none with this id."""
    item = first(connection.execute(select(items).where(items.c.id == item_id)))
    return None if item is None else spans.shown(connection, [item])[0]


def payloads(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Return the payload of each of these items, as JSON."""
    query = select(items.c.id, items.c.payload).where(items.c.id.in_(ids))
    return {item_id: payload for item_id, payload in connection.execute(query)}


def count_errors(connection: Connection, batch_id: int, limit: int) -> Counter[tuple[str, str]]:
    """Return how many dead items, and how many that wait for their next attempt, have each error: (state, message).

    Args:
        limit: count at most this many items in each state, those that come first.
    """
    of_batch, has_error = items.c.batch_id == batch_id, items.c.error_message.is_not(None)
    dead = has_state(items.c.state, "dead")
    # The literals of the partial index.
    waiting = and_(has_state(items.c.state, "pending"), items.c.due_at.is_not(None), text("crashes = 0"))
    found: Counter[tuple[str, str]] = Counter()
    for kind in (dead, waiting):
        query = select(items.c.state, items.c.error_message).where(of_batch, kind, has_error).limit(limit)
        found.update((state, message) for state, message in connection.execute(query))
    return found


def count_labels(connection: Connection, batch_id: int) -> dict[str, int]:
    """Return how many items of a batch have each label, most frequent first."""
    number = func.count()
    query = (
        select(items.c.label, number)
        # By id: no other index contains all items of a batch.
        .where(items.c.id.between(*id_range(batch_id)), items.c.label.is_not(None))
        .group_by(items.c.label)
        .order_by(number.desc(), items.c.label)
    )
    return {label: count for label, count in connection.execute(query)}


def count_first_labels(connection: Connection, batch_id: int, limit: int) -> dict[str, int]:
    """Return how many of the first `limit` items of a batch have each label, most frequent first."""
    number = func.count()
    first_items = select(items.c.label).where(items.c.id.between(*id_range(batch_id)))
    looked_at = first_items.order_by(items.c.id).limit(limit).subquery()
    query = (
        select(looked_at.c.label, number)
        .where(looked_at.c.label.is_not(None))
        .group_by(looked_at.c.label)
        .order_by(number.desc(), looked_at.c.label)
    )
    return {label: count for label, count in connection.execute(query)}


def find_page(
    connection: Connection, batch_id: int, chosen: ItemFilter, *, after: int, limit: int, look_at: int
) -> tuple[list[Row], int | None]:
    """Return items of a batch that pass a filter, by position, and the id above which to go on; None: no more.

    Args:
        after: only items with higher ids; at least the lowest that the batch can have, less 1.
        limit: items returned, at most.
        look_at: items that are looked at, at most: not every filter has an index.
    """
    _, highest = id_range(batch_id)
    looked_at = select(*(items.c[name] for name in _JUDGED)).where(items.c.id > after, items.c.id <= highest)
    if chosen.key is not None:
        looked_at = looked_at.where(items.c.batch_id == batch_id, items.c.key == chosen.key)
    look_at = look_at if chosen.state or chosen.label is not None else limit
    light = rows(connection.execute(looked_at.order_by(items.c.id).limit(look_at)))
    # Judged here: that an item is queued is not always in its row.
    passed = [
        each["id"]
        for each in spans.shown(connection, light)
        if chosen.state in (None, each["state"]) and chosen.label in (None, each["label"])
    ]
    found = rows(connection.execute(select(items).where(items.c.id.in_(passed[:limit])).order_by(items.c.id)))
    if len(passed) > limit:
        return spans.shown(connection, found), passed[limit - 1]
    return spans.shown(connection, found), light[-1]["id"] if len(light) == look_at else None


_JUDGED = ("id", "batch_id", "position", "state", "epoch", "due_at", "label")


def id_range(batch_id: int) -> tuple[int, int]:
    """Return the lowest and the highest id that items of a batch can have."""
    return batch_id * POSITIONS_PER_BATCH, (batch_id + 1) * POSITIONS_PER_BATCH - 1


class ItemsInFlight(NamedTuple):
    """How many items of a batch are released or running, and how many of them are running."""

    batch_id: int
    released: int
    running: int


def count_in_flight(connection: Connection) -> dict[int, ItemsInFlight]:
    """Return how many items of each batch are in flight."""
    found = {each.batch_id: each for each in count_by_row(connection)}
    for span in spans.find_live(connection):
        known = found.get(span.batch_id, ItemsInFlight(span.batch_id, 0, 0))
        found[span.batch_id] = known._replace(released=known.released + span.unclaimed)
    return found


def count_by_row(connection: Connection) -> list[ItemsInFlight]:
    """Return how many items of each batch are released by row or running: all but the unclaimed ones of spans."""
    return [ItemsInFlight(*row) for row in connection.execute(_IN_FLIGHT)]


_IN_FLIGHT = (
    select(items.c.batch_id, func.count(), func.count(case((items.c.state == ItemState.RUNNING.value, 1))))
    .where(has_state(items.c.state, *IN_FLIGHT))
    .group_by(items.c.batch_id)
)


def cancel(connection: Connection, batch_id: int, *, after: int, now: datetime, limit: int) -> list[Row]:
    """Cancel up to `limit` pending or queued items of a cancelled batch, with ids above `after`.

    Return the finished rows. Running items finish. Nothing is cancelled if the batch runs again in the meantime.
    """
    cancelled = select(batches.c.id).where(batches.c.id == batch_id, batches.c.state == "cancelled")
    of_batch = and_(items.c.id.between(*id_range(batch_id)), cancelled.exists())
    not_started = has_state(items.c.state, *NOT_STARTED)
    statement = (
        update(items)
        .where(skip_locked(dialect_of(connection), items, of_batch, items.c.id > after, not_started, limit=limit))
        .values(state=ItemState.CANCELLED.value, finished_at=now, lease_until=None, worker=None)
        .returning(*(items.c[name] for name in FINISHED_COLUMNS))
    )
    return rows(connection.execute(statement))


def recall(connection: Connection, batch_id: int, now: datetime) -> int:
    """Make the queued items of a batch pending again, due now, so that their messages are stale. Return the count.

    Items that are being claimed are waited for.
    """
    queued = items.c.batch_id == batch_id, has_state(items.c.state, "queued"), has_state(items.c.state, *IN_FLIGHT)
    statement = (
        update(items)
        .where(lock_in_id_order(dialect_of(connection), items, *queued))
        .values(state=ItemState.PENDING.value, due_at=now, lease_until=None, worker=None)
    )
    return connection.execute(statement).rowcount


def replay(
    connection: Connection,
    batch_id: int,
    state: ItemState,
    *,
    ids: Sequence[int] | None,
    after: int,
    now: datetime,
    limit: int,
) -> list[int]:
    """Make up to `limit` items of a batch pending again: due now, at the stage where they ended, with fresh attempts.

    Return the ids of these items.

    Args:
        state: the state they ended in.
        ids: items to choose from; None for all of the batch.
        after: only items with higher ids.
    """
    conditions = [items.c.batch_id == batch_id, has_state(items.c.state, state), items.c.id > after]
    if state is not ItemState.DEAD:
        # By id: only dead items have an index.
        conditions[0] = items.c.id.between(*id_range(batch_id))
    if ids is not None:
        conditions.append(items.c.id.in_(ids))
    statement = (
        update(items)
        .where(skip_locked(dialect_of(connection), items, *conditions, limit=limit))
        .values(
            state=ItemState.PENDING.value,
            due_at=now,
            attempt=0,
            snoozes=0,
            crashes=0,
            worker=None,
            finished_at=None,
            replays=items.c.replays + 1,
            **dict.fromkeys(DEATH_COLUMNS),
        )
        .returning(items.c.id)
    )
    return list(connection.scalars(statement))


def attempt_before_crash() -> Any:
    """Return SQL for the attempt number without the attempt that a crash cut short: crashes have their own limit."""
    return case((has_state(items.c.state, "running"), items.c.attempt - 1), else_=items.c.attempt)
