"""Store the items of a submission in chunks, each small enough for one transaction and for memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pipeline.batches import submit_lease
from pipeline.batches.sql import items
from pipeline.batches.validate import ItemValidator
from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.portions import portions, text_bytes

#: Items written in one transaction, at most: this bounds how long other writers wait. Large ones are fewer.
CHUNK = 5_000
CHUNK_BYTES = 8 * 1024 * 1024

#: Called with the number of items stored so far.
OnProgress = Callable[[int], object]


class ItemChunks(Iterator[list[Row]]):
    """Rows of items in lists that fit into one transaction and into memory.

    Attributes:
        is_over: Whether the list that came last is known to be the last one.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self.is_over = False
        self._chunks = portions(
            self._until_over(rows), lambda row: text_bytes(row["payload"]), count=CHUNK, size_limit=CHUNK_BYTES
        )

    def __next__(self) -> list[Row]:
        return next(self._chunks)

    def _until_over(self, rows: Iterable[Row]) -> Iterator[Row]:
        yield from rows
        self.is_over = True


def store_chunks(
    context: Context,
    batch_id: int,
    validator: ItemValidator,
    chunks: Iterable[list[Row]],
    on_progress: OnProgress | None,
) -> int:
    """Store the items of an open batch, a transaction for each chunk. Return their number."""
    total = 0
    for chunk in chunks:
        kept = refuse_duplicates(stored_positions(context, batch_id, chunk), chunk, validator)
        retrying(partial(_add, context, batch_id, numbered(kept, batch_id)), patience=context.lease)
        total += len(kept)
        if on_progress:
            on_progress(total)
    return total


def numbered(rows: list[Row], batch_id: int) -> list[Row]:
    """Give rows the ids that items of a batch have at their positions. Return them."""
    for row in rows:
        row["batch_id"] = batch_id
        row["id"] = batch_id * POSITIONS_PER_BATCH + row["position"]
    return rows


def _add(context: Context, batch_id: int, rows: list[Row]) -> None:
    with context.database.write() as connection:
        submit_lease.keep(context, connection, batch_id)
        # They may be stored already: the connection was lost during the commit of the attempt before.
        if rows and items.get(connection, rows[0]["id"]) is None:
            items.add(connection, rows)


def stored_positions(context: Context, batch_id: int, chunk: list[Row]) -> dict[str, int]:
    """Return the position of the stored item with each key of a chunk, where there is one."""
    keys = [row["key"] for row in chunk if row["key"] is not None]

    def known() -> dict[str, int]:
        with context.database.read() as connection:
            return items.positions_of_keys(connection, batch_id, keys)

    return retrying(known, patience=context.lease) if keys else {}


def refuse_duplicates(first: dict[str, int], chunk: list[Row], validator: ItemValidator) -> list[Row]:
    """Refuse items whose key an earlier item already has; return the others.

    Args:
        first: positions of the items that are stored, by key.
    """
    kept = []
    for row in chunk:
        key = row["key"]
        if key is not None and first.setdefault(key, row["position"]) != row["position"]:
            validator.refuse(row["line"], f"its key {key!r} is also the key of item {first[key]}", row["payload"])
        else:
            kept.append(row)
    return kept
