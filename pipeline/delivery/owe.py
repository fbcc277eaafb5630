"""The built-in completion hook: every event owes one delivery to each of its callback URLs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from pipeline.delivery.sql import owe
from pipeline.domain.callback_url import parse_origin
from pipeline.hooks import Happening


def owe_callbacks(connection: Connection, happenings: Sequence[Happening], now: datetime) -> None:
    """Insert one delivery for each callback URL of each event, in the transaction that wrote the events.

    Args:
        happenings: events of one batch.
    """
    owed = [
        {"seq": each.seq, "url": url, "origin": parse_origin(url)} for each in happenings for url in each.callback_urls
    ]
    owe.add_deliveries(connection, happenings[0].batch_row, owed, now)
