"""The built-in completion hook: every event owes one delivery to each of its callback URLs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from pipeline.database.transaction_end import transaction_end
from pipeline.delivery import preclaim
from pipeline.delivery.preclaim import DeliverySlots, DueDelivery
from pipeline.delivery.sql import owe
from pipeline.domain.callback_url import parse_origin
from pipeline.domain.event import placeholder_values
from pipeline.domain.urls.target_url import fill_placeholders, has_placeholders
from pipeline.hooks import Happening


def owe_callbacks(
    connection: Connection, happenings: Sequence[Happening], now: datetime, slots: DeliverySlots | None = None
) -> None:
    """Insert one delivery for each callback URL of each event, in the transaction that wrote the events.

    Args:
        happenings: events of one batch.
        slots: those of this process's sender, which then sends as many as it can right after the commit.
    """
    due = [DueDelivery(each, url, parse_origin(url)) for each in happenings for url in _urls(each)]
    if not due:
        return
    end = None if slots is None else transaction_end(connection)
    if slots is None or end is None:
        rows = [{"seq": each.event.seq, "url": each.url, "origin": each.origin} for each in due]
        owe.add_deliveries(connection, happenings[0].batch_row, rows, now)
    else:
        preclaim.add_deliveries(connection, end, due, now, slots)


def _urls(happening: Happening) -> Iterable[str]:
    """Return the URLs that are owed an event, each once, with its values where a URL asks for them."""
    urls = happening.callback_urls
    if not any(map(has_placeholders, urls)):
        return urls
    values = placeholder_values(happening.body)
    # Two may have become the same.
    return dict.fromkeys(fill_placeholders(url, values) if has_placeholders(url) else url for url in urls)
