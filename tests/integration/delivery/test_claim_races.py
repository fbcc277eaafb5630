"""What others change between a sender's look at what waits and its claim."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import event

from pipeline.database.engine import Database
from pipeline.delivery import endpoints as service
from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.sender.store import DeliveryStore
from pipeline.delivery.webhook.options import SenderOptions
from tests.support.receivers.configured import NOW, claim, owe_items
from tests.support.receivers.owed import context_of, deliveries, endpoints, states

URL = "http://127.0.0.1:8001/hook"
ORIGIN = "http://127.0.0.1:8001"


def before_the_second_transaction(database: Database, action: Callable[[], object]) -> None:
    """Run `action` once a claim has read what waits, and before it changes anything."""
    begun: list[None] = []

    def count(*_: Any) -> None:
        begun.append(None)
        if len(begun) == 2:
            action()

    event.listen(database.engine, "checkout", count)


def test_an_endpoint_that_is_enabled_while_a_sender_pauses_keeps_nothing_paused(
    database: Database, database_url: str
) -> None:
    person = Database(database_url)
    owe_items(database, URL, 2, at=NOW)
    service.disable(context_of(person), ORIGIN)
    owe_items(database, URL, 1, at=NOW)
    before_the_second_transaction(database, lambda: service.enable(context_of(person, now=lambda: NOW), ORIGIN))
    claim(database)
    person.close()
    assert endpoints(database)[ORIGIN]["disabled_at"] is None
    assert states(database) == ["pending"] * 3


def test_a_lease_begins_when_the_locks_that_a_claim_waits_for_are_had(database: Database) -> None:
    owe_items(database, URL, 1, at=NOW)
    passed = [NOW]
    ledger = DeliveryStore(database, "a", lambda: passed[-1], SenderOptions())
    before_the_second_transaction(database, lambda: passed.append(NOW + timedelta(seconds=40)))
    (owed,) = ledger.claim(Capacity(9, 9)).owed
    assert owed.attempt == 1
    assert deliveries(database)[0]["lease_until"] == passed[-1] + SenderOptions().lease
