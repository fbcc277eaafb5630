"""Results in the order in which items finished, from any point of the batch's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.batches.find import gone
from pipeline.batches.sql import batches, events
from pipeline.context import Context
from pipeline.domain import event
from pipeline.domain.event import RESULTS, EventType

#: Events read at once.
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """Results that follow a `seq`; `last_seq` is where to go on; `is_end`: the batch completed here."""

    results: list[dict[str, Any]]
    last_seq: int
    is_end: bool


def page(context: Context, batch_id: int, after: int, limit: int = PAGE) -> Page:
    """Return the next results of a batch after `seq` `after`.

    Raises:
        NotFound: the batch was pruned meanwhile. In one view, all results of a batch are there or none.
    """
    with context.database.read() as connection:
        if not batches.exists(connection, batch_id):
            raise gone()
        found = events.after(connection, batch_id, after, limit)
    of_items = [row for row in found if row["type"] in RESULTS]
    return Page(
        results=[event.data(row["body"]) for row in of_items],
        last_seq=found[-1]["seq"] if found else after,
        # What follows the end is about deliveries.
        is_end=any(row["type"] == EventType.BATCH_COMPLETED for row in found),
    )
