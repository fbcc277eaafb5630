"""The built-in completion hook: every event owes one delivery to each of its callback URLs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from pipeline.database.transaction_end import transaction_end
from pipeline.delivery import preclaim
from pipeline.delivery.preclaim import DeliverySlots, DueDelivery
from pipeline.delivery.sql import owe
from pipeline.domain.callback_url import parse_origin
from pipeline.hooks import Happening


def owe_callbacks(
    connection: Connection, happenings: Sequence[Happening], now: datetime, slots: DeliverySlots | None = None
) -> None:
    """Insert one delivery for each callback URL of each event, in the transaction that wrote the events.

    Args:
        happenings: events of one batch.
        slots: those of this process's sender, which then sends as many as it can right after the commit.
    """
    due = [DueDelivery(each, url, parse_origin(url)) for each in happenings for url in each.callback_urls]
    if not due:
        return
    end = None if slots is None else transaction_end(connection)
    if slots is None or end is None:
        rows = [{"seq": each.event.seq, "url": each.url, "origin": each.origin} for each in due]
        owe.add_deliveries(connection, happenings[0].batch_row, rows, now)
    else:
        preclaim.add_deliveries(connection, end, due, now, slots)
