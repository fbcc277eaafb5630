"""Store the items of a submission in chunks, each small enough for one transaction and for memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pipeline.batches.sql import endpoint_owners, items
from pipeline.batches.validate import ItemValidator
from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.payload import Rejection
from pipeline.domain.portions import text_bytes
from pipeline.errors import EndpointOwned

#: Items written in one transaction, at most: this bounds how long other writers wait. Large ones are fewer: a chunk
#: ends with the item that fills its bytes.
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
        self._rows = iter(rows)

    def __next__(self) -> list[Row]:
        chunk: list[Row] = []
        size = 0
        # No row is read ahead of the chunk: how far the reader has come is stored with it.
        while len(chunk) < CHUNK and size < CHUNK_BYTES:
            row = next(self._rows, None)
            if row is None:
                self.is_over = True
                break
            chunk.append(row)
            size += text_bytes(row["payload"])
        if not chunk:
            raise StopIteration
        return chunk


class ItemStore:
    """Writes the items of one open batch, or of a part of one, a transaction for each chunk.

    Attributes:
        total: How many items are written.

    Args:
        validator: told of items whose keys other items have.
        may_write: called in each transaction; raises an error if the submitter may not go on.
        tenant: whose batch it is.
        stored: how many of the batch's items were written before.
        save: called in each transaction with the number of items that are written when it commits.
    """

    def __init__(
        self,
        context: Context,
        batch_id: int,
        validator: ItemValidator,
        may_write: Callable[[Connection], object],
        tenant: str,
        *,
        stored: int = 0,
        save: Callable[[Connection, int], object] | None = None,
    ) -> None:
        self._context, self._batch_id, self._validator = context, batch_id, validator
        self._may_write, self._tenant, self._save = may_write, tenant, save
        self.total = stored
        self._allowed_urls: set[str] = set()

    def write(self, chunks: Iterable[list[Row]], on_progress: OnProgress | None = None) -> int:
        """Write rows of items: those whose keys are new to the batch. Return how many are written.

        Raises:
            EndpointOwned: an item's callback URL is at an endpoint of another tenant.
        """
        for chunk in chunks:
            self._refuse_foreign_urls(chunk)
            self.total += self._add(numbered(chunk, self._batch_id))
            if on_progress:
                on_progress(self.total)
        return self.total

    def _add(self, chunk: list[Row]) -> int:
        while True:
            kept = refuse_duplicates(self._stored(chunk), chunk, self._validator)
            try:
                retrying(partial(self._insert, kept), patience=self._context.lease)
                return len(kept)
            except IntegrityError:
                # Another part that is written at the same time has just stored one of the keys.
                chunk = kept
                if len(refuse_duplicates(self._stored(kept), kept, None)) == len(kept):
                    raise

    def _stored(self, chunk: list[Row]) -> dict[str, int]:
        return stored_positions(self._context, self._batch_id, chunk)

    def _insert(self, rows: list[Row]) -> None:
        with self._context.database.write() as connection:
            self._may_write(connection)
            # They may be stored already: the connection was lost during the commit of the attempt before.
            if rows and items.get(connection, rows[0]["id"]) is None:
                items.add(connection, rows)
            if self._save:
                self._save(connection, self.total + len(rows))

    def _refuse_foreign_urls(self, chunk: list[Row]) -> None:
        given = {row["callback_url"] for row in chunk} - self._allowed_urls - {None}
        if given:
            with self._context.database.read() as connection:
                refuse_foreign(connection, given, self._tenant)
            # One for each item, perhaps: only the latest are remembered.
            self._allowed_urls = given


def numbered(rows: list[Row], batch_id: int) -> list[Row]:
    """Give rows the ids that items of a batch have at their positions. Return them."""
    for row in rows:
        row["batch_id"] = batch_id
        row["id"] = batch_id * POSITIONS_PER_BATCH + row["position"]
    return rows


def stored_positions(context: Context, batch_id: int, chunk: list[Row]) -> dict[str, int]:
    """Return the position of the stored item with each key of a chunk, where there is one."""
    keys = [row["key"] for row in chunk if row["key"] is not None]

    def known() -> dict[str, int]:
        with context.database.read() as connection:
            return items.positions_of_keys(connection, batch_id, keys)

    return retrying(known, patience=context.lease) if keys else {}


def refuse_duplicates(first: dict[str, int], chunk: list[Row], validator: ItemValidator | None) -> list[Row]:
    """Return the items of a chunk without those whose key an earlier item has. The validator refuses these.

    Args:
        first: positions of the items that are stored, by key.
        validator: None: nobody is told of them.
    """
    kept = []
    for row in chunk:
        key = row["key"]
        if key is None or first.setdefault(key, row["position"]) == row["position"]:
            kept.append(row)
        elif validator is not None:
            reason = f"its key {key!r} is also the key of {validator.name_item(first[key])}"
            validator.refuse(Rejection(row["line"], reason, row["payload"], row["file"]))
    return kept


def refuse_foreign(connection: Connection, urls: Iterable[str | None], tenant: str) -> None:
    """Refuse callback URLs at endpoints of other tenants, whose secrets and headers they would get.

    Raises:
        EndpointOwned: one of them is.
    """
    origins = {parse_callback_url(url).origin for url in urls if url is not None}
    foreign = endpoint_owners.find_foreign(connection, origins, tenant) if origins else []
    if foreign:
        raise EndpointOwned(
            f"the endpoint {foreign[0]} has secrets or headers that another tenant configured; send callbacks elsewhere"
        )
