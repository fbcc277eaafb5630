"""Give up deliveries: notify the batch's fallback URL, and expire deliveries that have become too old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection

from pipeline.batches.sql import batches, events
from pipeline.database.engine import Database
from pipeline.database.row import Row
from pipeline.delivery.rules.delivery import EXPIRED
from pipeline.delivery.sql import give_up, owe
from pipeline.domain import event
from pipeline.domain.callback_url import parse_origin
from pipeline.domain.event import EventType
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.domain.urls.target_url import fill_placeholders, has_placeholders
from pipeline.log import get_logger

log = get_logger(__name__)

#: Deliveries expired in one transaction. The next probe finds the rest.
MAX_EXPIRED = 500


def tell_fallback(connection: Connection, dead: Sequence[int], now: datetime) -> None:
    """Write a `delivery.exhausted` event for each delivery that just became dead, if its batch has a fallback URL.

    Batch rows are locked in id order, after rows of deliveries and before rows of endpoints.
    """
    found = give_up.find_with_fallback(connection, dead)
    for batch_id, of_batch in groupby(found, key=lambda row: row["batch_id"]):
        _tell_of_batch(connection, batch_id, list(of_batch), now)


def expire(database: Database, origin_: str, schedule: str | None, now: datetime) -> list[int]:
    """Give up an endpoint's deliveries that have become older than their schedule allows. Return their ids."""
    with database.write() as connection:
        dead = give_up.expire(
            connection,
            origin_,
            schedule=schedule,
            before={name: now - each.horizon for name, each in SCHEDULES.items()},
            now=now,
            error=EXPIRED,
            limit=MAX_EXPIRED,
        )
        if dead:
            tell_fallback(connection, dead, now)
    if dead:
        log.warning("deliveries_expired", origin=origin_, deliveries=len(dead))
    return dead


def _tell_of_batch(connection: Connection, batch_id: int, dead: Sequence[Row], now: datetime) -> None:
    first = batches.reserve_seqs(connection, batch_id, len(dead))
    numbered = list(enumerate(dead, first))
    happened = [
        {
            "seq": seq,
            "type": EventType.DELIVERY_EXHAUSTED.value,
            "item_id": row["item_id"],
            "body": _body(row, seq, now),
        }
        for seq, row in numbered
    ]
    events.add(connection, batch_id, happened, now)
    template = dead[0]["fallback_url"]
    owe.add_deliveries(connection, batch_id, [_owed(template, each) for each in happened], now)


def _owed(template: str, event_row: Row) -> Row:
    url = template
    if has_placeholders(template):
        url = fill_placeholders(template, event.placeholder_values(event_row["body"]))
    return {"seq": event_row["seq"], "url": url, "origin": parse_origin(url)}


def _body(row: Row, seq: int, now: datetime) -> bytes:
    return event.encode_body(EventType.DELIVERY_EXHAUSTED, now, event.exhausted_data(row["public_id"], seq, row))
