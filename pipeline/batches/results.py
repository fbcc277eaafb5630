"""Read results in the order in which items finished, from any point of the batch's event log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.batches.find import pruned_meanwhile
from pipeline.batches.sql import batches, events, items
from pipeline.context import Context
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain import event
from pipeline.domain.event import RESULT_TYPES, EventType
from pipeline.domain.ids import item_id
from pipeline.domain.portions import PORTION_BYTES

#: Events read at a time, at most. Large ones are fewer.
PAGE = 1_000
#: With their payloads, whose sizes are not known before they are read.
_PAGE_WITH_PAYLOAD = 100


@dataclass(frozen=True, slots=True)
class Page:
    """A page of results.

    Args:
        results: as receivers get them under `data`.
        last_seq: `seq` to continue after.
        has_more: whether more results were there to be read.
        is_end: whether the batch completed on this page.
    """

    results: list[dict[str, Any]]
    last_seq: int
    has_more: bool
    is_end: bool


def page(context: Context, batch_id: int, after: int, limit: int = PAGE, *, with_payload: bool = False) -> Page:
    """Return the results of a batch that follow the `seq` `after`.

    Args:
        with_payload: add each item's payload to its result, as `payload`.

    Raises:
        NotFound: the batch was pruned in the meantime. A snapshot holds all results of a batch or none.
    """
    with context.database.read() as connection:
        # Events of a batch that was pruned may still be there.
        if not batches.exists(connection, batch_id):
            raise pruned_meanwhile()
        rows = min(limit, _PAGE_WITH_PAYLOAD) if with_payload else limit
        found, has_more = events.find_after(connection, batch_id, after, rows, PORTION_BYTES)
        of_items = [row for row in found if row["type"] in RESULT_TYPES]
        ids = [row["item_id"] for row in of_items] if with_payload else []
        payloads = items.payloads(connection, ids) if ids else {}
    decoded = [event.decode_data(row["body"]) for row in of_items]
    if with_payload:
        for row, result in zip(of_items, decoded, strict=True):
            result["payload"] = orjson.loads(payloads[row["item_id"]])
    return Page(
        results=decoded,
        last_seq=found[-1]["seq"] if found else after,
        has_more=has_more,
        # Events after the end are about deliveries.
        is_end=any(row["type"] == EventType.BATCH_COMPLETED for row in found),
    )


def last_of_replayed(context: Context, batch_id: int) -> dict[str, int]:
    """Return the `seq` of the last result of each item that has several, by the item's id: it was replayed."""
    with context.database.read() as connection:
        found = events.find_repeated(connection, batch_id, RESULT_TYPES)
        if not found:
            return {}
        (batch,) = batches.find_by_ids(connection, [batch_id])
    return {item_id(batch["public_id"], each % POSITIONS_PER_BATCH): seq for each, seq in found.items()}
