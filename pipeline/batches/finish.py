"""Finish items: their events, what is owed to receivers, the batch's counters and its completion, all at once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.batches.sql import batches, events
from pipeline.database.row import Row
from pipeline.domain import event
from pipeline.domain.event import EventType
from pipeline.domain.item import ItemState
from pipeline.hooks import Happening, Hooks


def finish(connection: Connection, finished: Sequence[Row], hooks: Hooks, now: datetime) -> None:
    """Write what follows from items having become final in this transaction.

    Batch rows are locked last, briefly and in id order, so that `seq` has no gaps, completion is decided once, and
    transactions that span batches cannot wait for each other in a circle.
    """
    of_batch: dict[int, list[Row]] = defaultdict(list)
    for row in finished:
        of_batch[row["batch_id"]].append(row)
    for batch_id in sorted(of_batch):
        _finish_in(connection, batch_id, of_batch[batch_id], hooks, now)


def complete(connection: Connection, batch_id: int, hooks: Hooks, now: datetime) -> bool:
    """Complete a batch if its last item is final; False where it is not, or was completed before."""
    batch = batches.complete(connection, batch_id, now)
    if batch is None:
        return False
    seq = batch["next_seq"] - 1
    data = event.batch_data(batch["public_id"], seq, batch)
    _happen(connection, [_happening(EventType.BATCH_COMPLETED, batch, seq, None, data, now)], hooks, now)
    return True


def _finish_in(connection: Connection, batch_id: int, rows: Sequence[Row], hooks: Hooks, now: datetime) -> None:
    states = Counter(row["state"] for row in rows)
    batch = batches.count(connection, batch_id, **{state: states[state] for state in _COUNTED})
    first = batch["next_seq"] - len(rows)
    happenings = [_item_happening(batch, seq, row, now) for seq, row in enumerate(rows, first)]
    _happen(connection, happenings, hooks, now)
    if sum(batch[state] for state in _COUNTED) >= batch["total"]:
        complete(connection, batch_id, hooks, now)


_COUNTED = (ItemState.SUCCEEDED.value, ItemState.DEAD.value, ItemState.CANCELLED.value)


def _item_happening(batch: Mapping[str, Any], seq: int, row: Row, now: datetime) -> Happening:
    data = event.item_data(batch["public_id"], seq, row)
    return _happening(event.item_event_type(ItemState(row["state"])), batch, seq, row, data, now)


def _happening(
    kind: EventType, batch: Mapping[str, Any], seq: int, row: Row | None, data: dict[str, Any], now: datetime
) -> Happening:
    if row is None:
        urls: Iterable[str | None] = (batch["batch_callback_url"],)
    else:
        urls = (row["callback_url"], batch["callback_url"])
    return Happening(
        batch_row=batch["id"],
        seq=seq,
        type=kind,
        item_row=None if row is None else row["id"],
        body=event.body(kind, now, data),
        callback_urls=tuple(dict.fromkeys(url for url in urls if url)),
    )


def _happen(connection: Connection, happenings: Sequence[Happening], hooks: Hooks, now: datetime) -> None:
    happened = [
        {"seq": each.seq, "type": each.type, "item_id": each.item_row, "body": each.body} for each in happenings
    ]
    events.add(connection, happenings[0].batch_row, happened, now)
    hooks.run(connection, happenings, now)
