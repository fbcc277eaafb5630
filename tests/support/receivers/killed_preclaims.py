"""A process that preclaims deliveries and is killed before it sends them."""

from __future__ import annotations

import threading

from pipeline.database.engine import Database
from pipeline.database.lease_holder import new_holder
from tests.support.receivers.configured import finish_items
from tests.support.receivers.owed import make_sender, wait_until


def run(database_url: str, url: str) -> None:
    """Preclaim 64 deliveries, send none of them, and wait to be killed."""
    database = Database(database_url)
    sender = make_sender(database, worker=new_holder())
    sender.start()
    wait_until(lambda: sender.slots.offered([url]) != [])
    sender.slots.committed = lambda *_: None  # type: ignore[method-assign]
    finish_items(database, sender, [url] * 64)
    threading.Event().wait()
