"""Preclaimed requests that wait in memory for a slot: at quick endpoints, for a short time, and never forgotten."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.database.engine import Database
from pipeline.delivery.rules.delivery import Owed
from pipeline.delivery.sender import send_queue
from tests.support.receivers.configured import configure, finish_items
from tests.support.receivers.owed import (
    Sending,
    deliveries,
    make_quick,
    make_sender,
    options,
    states,
    wait_until,
)
from tests.support.receivers.scripted import Scripted, answer

SLOTS = 64


def origin_of(receiver: Scripted) -> str:
    return f"http://127.0.0.1:{receiver.port}"


def waiting(database: Database, state: str) -> list[tuple[int, str | None]]:
    """Return (attempt, worker) of the deliveries in a state."""
    return [(row["attempt"], row["worker"]) for row in deliveries(database) if row["state"] == state]


def test_more_than_the_slots_are_preclaimed_and_each_is_sent_once(database: Database) -> None:
    with Scripted(answer()) as receiver, Sending(database) as sender:
        make_quick(sender, origin_of(receiver))
        finish_items(database, sender, [receiver.url] * 300)
        assert waiting(database, "pending") == []
        wait_until(lambda: states(database) == ["delivered"] * 300)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 300


def test_what_waits_for_an_endpoint_that_hangs_is_pending_again(database: Database) -> None:
    with Scripted(answer()) as hanging, Scripted(answer()) as healthy:
        hanging.answering = hanging.silence
        with Sending(database, options=options(deadline=30, lease_margin=timedelta(hours=1))) as sender:
            make_quick(sender, origin_of(hanging))
            finish_items(database, sender, [hanging.url] * 300 + [healthy.url] * 20)
            wait_until(lambda: states(database).count("delivered") == 20)
            wait_until(lambda: waiting(database, "pending") == [(0, None)] * (300 - SLOTS))
            assert len(hanging.requests) == SLOTS


def test_an_endpoint_that_asks_to_wait_gets_nothing_that_waited_for_a_slot(database: Database) -> None:
    with Scripted(answer(429, "retry-after: 3600")) as receiver, Sending(database) as sender:
        make_quick(sender, origin_of(receiver))
        finish_items(database, sender, [receiver.url] * 300)
        wait_until(lambda: waiting(database, "sending") == [])
        assert waiting(database, "pending") == [(0, None)] * 300
    assert len(receiver.requests) <= SLOTS


def test_an_endpoint_that_is_disabled_after_it_was_looked_at_gets_nothing_that_waits_for_a_slot(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than the test waits.
    monkeypatch.setattr(send_queue, "QUEUE_SECONDS", 3_600.0)
    with (
        Scripted(answer()) as receiver,
        Sending(database, options=options(deadline=30, lease_margin=timedelta(hours=1))) as sender,
    ):
        receiver.answering = receiver.silence
        make_quick(sender, origin_of(receiver))
        slots, at_once = sender.slots, sender.slots.committed

        def late(requests: Sequence[Owed], *given: Any) -> None:
            if requests:
                configure(database, origin_of(receiver), disabled_at=datetime.now(UTC), disabled_reason="manual")
            at_once(requests, *given)

        slots.committed = late  # type: ignore[method-assign]
        finish_items(database, sender, [receiver.url] * 300)
        # The next transaction of a record thread finds it disabled.
        finish_items(database, sender, [receiver.url])
        wait_until(lambda: states(database).count("paused") == 300 - SLOTS + 1)
        assert waiting(database, "paused") == [(0, None)] * (300 - SLOTS + 1)
    assert len(receiver.requests) <= SLOTS


def test_a_stop_returns_what_waits_for_a_slot_before_it_waits_for_answers(database: Database) -> None:
    with Scripted(answer()) as receiver:
        receiver.answering = receiver.silence
        sender = make_sender(database, options=options(deadline=30))
        sender.start()
        make_quick(sender, origin_of(receiver))
        finish_items(database, sender, [receiver.url] * 300)
        receiver.wait_for(lambda seen: len(seen.requests) == SLOTS)
        stopping = threading.Thread(target=sender.stop, args=(20,))
        stopping.start()
        try:
            wait_until(lambda: waiting(database, "pending") == [(0, None)] * (300 - SLOTS))
            assert len(waiting(database, "sending")) == SLOTS
        finally:
            receiver.leaving.set()
            stopping.join()
    assert len(receiver.requests) == SLOTS
