"""A sender that is killed or stopped between the commit of a result and the record of its answer.

TEST_KILLS=200 TEST_KILLED_ITEMS=2000 is the whole proof; `pytest -rP` shows where the dead were struck.
"""

from __future__ import annotations

import os
import random
import socket
import threading
from collections import Counter, defaultdict

import pytest
from standardwebhooks import Webhook

from pipeline.database.engine import Database
from pipeline.delivery.claim import take_back
from tests.support.receivers.owed import (
    BATCH,
    SECRET,
    attempts,
    context_of,
    deliveries,
    owe,
    owe_next,
    states,
    to,
    wait_until,
)
from tests.support.receivers.process import SenderProcess
from tests.support.receivers.scripted import Answering, Request, Scripted, answer
from workers.engine.sweeps import dead_holders

KILLS, ITEMS = int(os.environ.get("TEST_KILLS", "20")), int(os.environ.get("TEST_KILLED_ITEMS", "500"))


@pytest.mark.timeout(1_200)
def test_senders_killed_between_commit_and_post_lose_change_and_rename_nothing(
    database: Database, database_url: str
) -> None:
    seed = random.randrange(10**6)
    moments = random.Random(seed)
    print(f"seed {seed}")
    with Scripted(answer(204, body=b"")) as receiver:
        owe(database, [])
        for victim in range(KILLS):
            first, end = (1 + ITEMS * number // KILLS for number in (victim, victim + 1))
            owe_next(database, [(*to(receiver.port), body_of(seq)) for seq in range(first, end)], first)
            sender = SenderProcess(database_url)
            strike_after(victim, database, receiver)
            # Not a wait for anything: the end of this time is the random moment.
            threading.Event().wait(moments.uniform(0, 0.1))
            sender.kill()
            bring_back(database)
        last = SenderProcess(database_url)
        wait_until(lambda: set(states(database)) == {"delivered"}, 120)
        assert last.stop() == 0
    assert_each_was_delivered_as_it_was_written(database, receiver.requests)
    report(database, receiver.requests)


def strike_after(victim: int, database: Database, receiver: Scripted) -> None:
    """Return at once, or when a claim is committed, or when a request has arrived, as it is the victim's turn."""
    arrived = len(receiver.requests)
    if victim % 3 == 1:
        wait_until(lambda: not {*states(database)} <= {"delivered", "pending"} or "pending" not in states(database))
    if victim % 3 == 2:
        receiver.wait_for(lambda seen: len(seen.requests) > arrived or set(states(database)) == {"delivered"})


def body_of(seq: int) -> bytes:
    return b'{"type":"item.completed","data":{"seq":%d,"text":"caf\xc3\xa9","number":1.0}}' % seq


def bring_back(database: Database) -> None:
    """Take from the dead what they held, as the sweep of every worker does again and again.

    A claim whose commit was on its way to PostgreSQL when its sender died may be there only at the second look.
    """
    context = context_of(database)

    def has_all() -> bool:
        take_back(context.database, context.now(), dead_holders(context))
        return "sending" not in states(database)

    wait_until(has_all)


def assert_each_was_delivered_as_it_was_written(database: Database, requests: list[Request]) -> None:
    assert states(database) == ["delivered"] * ITEMS
    assert Counter(row["seq"] for row in deliveries(database)) == Counter(range(1, ITEMS + 1))
    bodies = defaultdict(set)
    for request in requests:
        bodies[request.headers["webhook-id"]].add(request.body)
        Webhook(SECRET).verify(request.body.decode(), request.headers)
    # One id for each event, and under it at every attempt the bytes that were committed.
    assert bodies == {f"msg_{BATCH}{seq:012}": {body_of(seq)} for seq in range(1, ITEMS + 1)}
    succeeded = Counter(row["delivery_id"] for row in attempts(database) if row["outcome"] == "succeeded")
    assert set(succeeded.values()) == {1}
    assert len(succeeded) == ITEMS


def report(database: Database, requests: list[Request]) -> None:
    """Print where the dead were struck."""
    arrived = {(request.headers["webhook-id"], int(request.headers["webhook-attempt"])) for request in requests}
    rows = deliveries(database)
    counted = {(f"msg_{BATCH}{row['seq']:012}", n) for row in rows for n in range(1, row["attempt"] + 1)}
    print(
        f"{KILLS} kills, {ITEMS} items: {len(counted - arrived)} attempts ended before their POST, "
        f"{len(arrived) - ITEMS} after it and before the record"
    )


def test_a_sender_told_to_stop_finishes_what_is_in_flight_and_claims_no_more(
    database: Database, database_url: str
) -> None:
    released = threading.Event()
    with Scripted(answer()) as receiver:
        receiver.answering = when(released, answer(204, body=b""))
        owe(database, to(*[receiver.port] * 1_000))
        sender = SenderProcess(database_url)
        receiver.wait_for(lambda seen: len(seen.requests) == 64)
        sender.process.terminate()
        released.set()
        assert sender.stop() == 0
        arrived = len(receiver.requests)
    found = Counter((row["state"], row["attempt"], row["lease_until"]) for row in deliveries(database))
    assert found == {("delivered", 1, None): arrived, ("pending", 0, None): 1_000 - arrived}
    assert [row["outcome"] for row in attempts(database)] == ["succeeded"] * arrived


def when(released: threading.Event, then: Answering) -> Answering:
    """Return an answer that waits until it is released."""

    def say(request: Request, connection: socket.socket) -> bool:
        assert released.wait(30)
        return then(request, connection)

    return say


@pytest.mark.parametrize("patience", [0.0, 0.2])
def test_a_sender_told_to_stop_hands_back_what_is_not_answered_in_time_and_counts_no_attempt(
    database: Database, database_url: str, patience: float
) -> None:
    with Scripted(answer()) as receiver:
        receiver.answering = receiver.silence
        owe(database, to(*[receiver.port] * 100))
        sender = SenderProcess(database_url, patience=patience)
        receiver.wait_for(lambda seen: len(seen.requests) == 64)
        assert sender.stop() == 0
    found = Counter((row["state"], row["attempt"], row["worker"]) for row in deliveries(database))
    assert found == {("pending", 0, None): 100}
    assert attempts(database) == []
