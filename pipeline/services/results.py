"""Results in the order in which items finished, from any point of the batch's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.domain import event
from pipeline.domain.event import EventType
from pipeline.services.context import Context
from pipeline.storage import events

#: Events read at once.
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Page:
    """Results that follow a `seq`; `last_seq` is where to go on; `is_end`: the batch completed here."""

    results: list[dict[str, Any]]
    last_seq: int
    is_end: bool


def page(context: Context, batch_id: int, after: int, limit: int = PAGE) -> Page:
    """Return the next results of a batch after `seq` `after`."""
    with context.database.read() as connection:
        found = events.after(connection, batch_id, after, limit)
    of_items = [row for row in found if row["type"] != EventType.BATCH_COMPLETED]
    return Page(
        results=[event.data(row["body"]) for row in of_items],
        last_seq=found[-1]["seq"] if found else after,
        is_end=bool(found) and found[-1]["type"] == EventType.BATCH_COMPLETED,
    )
