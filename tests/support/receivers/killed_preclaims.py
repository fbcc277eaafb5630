"""A process that preclaims deliveries and is killed before it sends them."""

from __future__ import annotations

import threading

from pipeline.database.engine import Database
from pipeline.database.lease_holder import new_holder
from pipeline.domain.callback_url import parse_origin
from tests.support.receivers.configured import finish_items
from tests.support.receivers.owed import make_quick, make_sender


def run(database_url: str, url: str) -> None:
    """Preclaim 300 deliveries, more than there are slots, send none of them, and wait to be killed."""
    database = Database(database_url)
    sender = make_sender(database, worker=new_holder())
    sender.start()
    make_quick(sender, parse_origin(url))
    sender.slots.committed = lambda *_: None  # type: ignore[method-assign]
    finish_items(database, sender, [url] * 300)
    threading.Event().wait()
