"""Finish items: write their events, run hooks, count them, and complete the batch, in one transaction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.batches.sql import batches, events, spans
from pipeline.database.row import Row
from pipeline.domain import event
from pipeline.domain.event import EventType
from pipeline.domain.item import ItemState
from pipeline.hooks import Happening, Hooks


def finish(connection: Connection, finished: Sequence[Row], hooks: Hooks, now: datetime) -> None:
    """Write everything that follows from items that became final in this transaction.

    Batch rows are locked last, briefly and in id order, so that `seq` has no gaps, completion is decided once, and
    transactions that span batches cannot deadlock.
    """
    by_batch: dict[int, list[Row]] = defaultdict(list)
    for row in finished:
        by_batch[row["batch_id"]].append(row)
    for batch_id in sorted(by_batch):
        _finish_in(connection, batch_id, by_batch[batch_id], hooks, now)


def complete(connection: Connection, batch_id: int, hooks: Hooks, now: datetime) -> bool:
    """Complete a batch if its last item is final. Return False if it is not, or if the batch was already complete."""
    batch = batches.complete(connection, batch_id, now)
    if batch is None:
        return False
    # Of a batch that was open, when its last range was released.
    spans.forget_unreleased(connection, batch_id)
    seq = batch["next_seq"] - 1
    data = event.batch_data(batch["public_id"], seq, batch)
    _write_events(connection, [_new_event(EventType.BATCH_COMPLETED, batch, seq, None, data, now)], hooks, now)
    return True


def _finish_in(connection: Connection, batch_id: int, rows: Sequence[Row], hooks: Hooks, now: datetime) -> None:
    states = Counter(row["state"] for row in rows)
    batch = batches.add_to_counters(connection, batch_id, **{state: states[state] for state in _COUNTED})
    first = batch["next_seq"] - len(rows)
    happenings = [_item_event(batch, seq, row, now) for seq, row in enumerate(rows, first)]
    _write_events(connection, happenings, hooks, now)
    if sum(batch[state] for state in _COUNTED) >= batch["total"]:
        complete(connection, batch_id, hooks, now)


_COUNTED = (ItemState.SUCCEEDED.value, ItemState.DEAD.value, ItemState.CANCELLED.value)


def _item_event(batch: Mapping[str, Any], seq: int, row: Row, now: datetime) -> Happening:
    data = event.item_data(batch["public_id"], seq, row)
    return _new_event(event.item_event_type(ItemState(row["state"])), batch, seq, row, data, now)


def _new_event(
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
        body=event.encode_body(kind, now, data),
        callback_urls=tuple(dict.fromkeys(url for url in urls if url)),
        public_id=batch["public_id"],
        schedule=batch["schedule"],
    )


def _write_events(connection: Connection, happenings: Sequence[Happening], hooks: Hooks, now: datetime) -> None:
    happened = [
        {"seq": each.seq, "type": each.type, "item_id": each.item_row, "body": each.body} for each in happenings
    ]
    events.add(connection, happenings[0].batch_row, happened, now)
    hooks.run(connection, happenings, now)
