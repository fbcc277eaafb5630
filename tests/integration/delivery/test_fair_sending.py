"""Fairness between endpoints, leases, stopping, and errors that are nobody's but ours."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from pipeline.crypto.signer import Signer
from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.delivery.claim import claim_due, record_sent, release, take_back
from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.rules.delivery import Answer, Sent
from pipeline.delivery.sql import claims as storage
from pipeline.delivery.webhook.client import WebhookClient
from pipeline.domain.retry_schedule import Schedule
from tests.support.receivers.owed import (
    BODY,
    LOOPBACK,
    SECRET,
    Sending,
    attempts,
    deliveries,
    make_sender,
    options,
    owe,
    states,
    to,
    wait_until,
)
from tests.support.receivers.scripted import Answering, Scripted, answer
from tests.support.servers.fixtures import on_sqlite

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEASE = timedelta(seconds=45)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def claimed(database: Database, worker: str, room: Capacity | None = None, now: datetime = NOW) -> list[int]:
    claim = claim_due(
        database, room or Capacity(free=100, cap=100), worker=worker, now=now, lease_until=lambda: now + LEASE, most=100
    )
    return [owed.id for owed in claim.owed]


def test_an_endpoint_that_hangs_with_a_backlog_delays_no_other(database: Database) -> None:
    with Scripted(answer()) as hanging, Scripted(answer()) as healthy:
        hanging.answering = hanging.silence
        owe(database, to(*[hanging.port] * 2_000, *[healthy.port] * 200))
        with Sending(database, options=options(deadline=30)):
            healthy.wait_for(lambda seen: len(seen.requests) == 200)
            wait_until(lambda: states(database).count("delivered") == 200)
            assert hanging.closed == 0
    assert 0 < len(hanging.requests) <= 64


def test_many_endpoints_that_hang_leave_room_for_one_that_answers(database: Database) -> None:
    with Scripted(answer()) as hanging, Scripted(answer()) as healthy:
        hanging.answering = hanging.silence
        urls = [(url, f"http://127.0.0.1:{number}") for number in range(1, 41) for url, _ in to(*[hanging.port] * 20)]
        owe(database, [*urls, *to(*[healthy.port] * 50)])
        with Sending(database, options=options(deadline=30, total=64)):
            healthy.wait_for(lambda seen: len(seen.requests) == 50)
            assert hanging.closed == 0


def test_no_more_than_the_cap_is_in_flight_at_one_endpoint(database: Database) -> None:
    lock, now, most = threading.Lock(), 0, 0
    both = threading.Barrier(3)

    def count(request: object, connection: object) -> bool:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        both.wait(20)
        with lock:
            now -= 1
        return answer()(request, connection)  # type: ignore[arg-type]

    with Scripted(count) as receiver:
        owe(database, to(*[receiver.port] * 9))
        with Sending(database, options=options(per_endpoint=3)):
            wait_until(lambda: states(database) == ["delivered"] * 9)
    assert most == 3
    assert receiver.connections == 3


def test_a_cap_of_an_endpoint_replaces_the_default(database: Database) -> None:
    owe(database, to(*[8_001] * 5, *[8_002] * 5), at=NOW)
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO endpoints (origin, in_flight_cap, consecutive_failures, breaker, updated_at) "
            "VALUES ('http://127.0.0.1:8001', 1, 0, 'closed', '2026-11-21 12:00:00.000000')"
        )
    ids = claimed(database, "a", Capacity(free=100, cap=3))
    assert [deliveries(database)[id_ - 1]["origin"][-4:] for id_ in sorted(ids)] == ["8001", "8002", "8002", "8002"]


@on_sqlite  # which counts its steps; PostgreSQL's plans are read in test_plans
def test_a_backlog_at_one_endpoint_makes_finding_work_no_dearer(database: Database) -> None:
    owe(database, to(8_001, 8_002, 8_003), at=NOW)
    few = steps_of_a_claim(database)
    with database.write() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) "
            "INSERT INTO deliveries (batch_id, seq, url, origin, state, due_at, created_at) "
            "SELECT 2, i, url, origin, 'pending', due_at, created_at FROM n, deliveries WHERE seq = 1"
        )
    assert steps_of_a_claim(database) < 2 * few


def steps_of_a_claim(database: Database) -> int:
    """Return how many instructions SQLite runs to find endpoints with work and the first deliveries of one."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with database.read() as connection:
        connection.connection.driver_connection.set_progress_handler(count, 1)  # type: ignore[union-attr]
        found = storage.find_waiting_endpoints(connection)
        storage.find_due(connection, found[0]["origin"], NOW, 1, retries=False)
        connection.connection.driver_connection.set_progress_handler(None, 1)  # type: ignore[union-attr]
    assert len(found) == 3
    return steps


def test_the_longest_due_are_claimed_first_and_nobody_claims_them_again(database: Database) -> None:
    owe(database, to(*[8_001] * 5), at=NOW)
    assert claimed(database, "a", Capacity(free=2, cap=100)) == [1]
    assert claimed(database, "b", Capacity(free=100, cap=2)) == [2, 3]
    assert claimed(database, "a") == [4, 5]
    assert claimed(database, "b") == []
    assert {row["lease_until"] for row in deliveries(database)} == {NOW + LEASE}


def test_what_is_not_due_is_not_claimed_and_its_time_is_told(database: Database) -> None:
    owe(database, to(8_001), at=NOW + timedelta(seconds=9))
    claim = claim_due(database, Capacity(100, 100), worker="a", now=NOW, lease_until=lambda: NOW + LEASE, most=9)
    assert (claim.owed, claim.next_at) == ((), NOW + timedelta(seconds=9))


def test_an_attempt_whose_sender_dies_is_made_again_with_the_same_id_and_bytes(database: Database) -> None:
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port), at=NOW)
        claim = claim_due(database, Capacity(9, 9), worker="killed", now=NOW, lease_until=lambda: NOW + LEASE, most=9)

        async def post() -> Answer:
            client = WebhookClient(Signer([SECRET]), LOOPBACK)
            try:
                return await client.post(claim.owed[0], NOW)
            finally:
                await client.close()

        assert asyncio.run(post()).is_success

        clock = Clock()
        with Sending(database, clock=clock) as sender:
            clock.now = NOW + LEASE
            assert take_back(database, clock.now) == 0
            clock.now = NOW + LEASE + timedelta(seconds=1)
            assert take_back(database, clock.now) == 1
            sender.wake()
            wait_until(lambda: states(database) == ["delivered"])
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body == BODY
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2"]
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 46


def test_an_answer_that_comes_after_the_lease_was_lost_changes_nothing_but_is_kept(database: Database) -> None:
    owe(database, to(8_001), at=NOW)
    claim = claim_due(database, Capacity(9, 9), worker="slow", now=NOW, lease_until=lambda: NOW + LEASE, most=9)
    take_back(database, NOW + timedelta(hours=1))
    assert claimed(database, "quick", now=NOW + timedelta(hours=1)) == [1]
    late = Sent(claim.owed[0], Answer(410), NOW, NOW + timedelta(hours=1))
    record_sent(database, [late], worker="slow", schedule=Schedule())
    (delivery,) = deliveries(database)
    assert (delivery["state"], delivery["worker"], delivery["attempt"]) == ("sending", "quick", 2)
    assert [row["number"] for row in attempts(database)] == [1]


def test_a_delivery_that_becomes_due_is_sent_without_being_told(database: Database) -> None:
    clock = Clock()
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port), at=NOW + timedelta(hours=1))
        with Sending(database, clock=clock, options=options(poll_seconds=0.01)):
            wait_until(lambda: states(database) == ["pending"])
            clock.now += timedelta(hours=1)
            wait_until(lambda: states(database) == ["delivered"])


def test_being_woken_finds_work_long_before_the_next_poll(database: Database) -> None:
    with Scripted(answer()) as receiver, Sending(database, options=options(poll_seconds=3_600)) as sender:
        owe(database, to(receiver.port))
        sender.wake()
        receiver.wait_for(lambda seen: len(seen.requests) == 1)


def slow(started: threading.Event, go_on: threading.Event) -> Answering:
    def say(request: object, connection: object) -> bool:
        started.set()
        go_on.wait(20)
        return answer()(request, connection)  # type: ignore[arg-type]

    return say


def test_a_sender_that_stops_records_what_is_in_flight(database: Database) -> None:
    started, go_on = threading.Event(), threading.Event()
    with Scripted(slow(started, go_on)) as receiver:
        owe(database, to(*[receiver.port] * 3))
        sender = make_sender(database, options=options(per_endpoint=1))
        sender.start()
        assert started.wait(20)
        stopping = threading.Thread(target=sender.stop, args=(20,))
        stopping.start()
        go_on.set()
        stopping.join(25)
    assert states(database).count("delivered") >= 1
    assert {row["state"] for row in deliveries(database)} <= {"delivered", "pending"}
    assert len(receiver.requests) == states(database).count("delivered") == len(attempts(database))


def test_a_sender_that_has_no_time_hands_back_what_is_in_flight_without_counting_it(database: Database) -> None:
    with Scripted(answer()) as receiver:
        receiver.answering = receiver.silence
        owe(database, to(*[receiver.port] * 3))
        sender = make_sender(database)
        sender.start()
        receiver.wait_for(lambda seen: len(seen.requests) == 3)
        sender.stop(0)
        receiver.wait_for(lambda seen: seen.closed == 3)
    assert {(row["state"], row["attempt"], row["worker"]) for row in deliveries(database)} == {("pending", 0, None)}
    assert attempts(database) == []


def test_only_a_senders_own_leases_are_released(database: Database) -> None:
    owe(database, to(8_001, 8_001), at=NOW)
    assert claimed(database, "a", Capacity(free=1, cap=1)) == [1]
    assert claimed(database, "b", Capacity(free=1, cap=1)) == [2]
    assert release(database, "a", NOW) == 1
    assert states(database) == ["pending", "sending"]


def test_an_error_of_the_database_is_no_attempt_and_the_answer_is_recorded_later(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port))
        with database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE deliveries RENAME COLUMN answer TO away")
        with Sending(database):
            wait_until(lambda: any("sender_database_error" in record.getMessage() for record in caplog.records))
            with database.read() as connection:
                assert connection.exec_driver_sql("SELECT state FROM deliveries").scalars().all() == ["sending"]
            with database.write() as connection:
                connection.exec_driver_sql("ALTER TABLE deliveries RENAME COLUMN away TO answer")
            wait_until(lambda: states(database) == ["delivered"])
    assert len(receiver.requests) == 1
    assert [row["outcome"] for row in attempts(database)] == ["succeeded"]


def test_an_answer_that_cannot_be_stored_holds_up_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with Scripted(answer(500, "webhook-delivery: abort-message")) as receiver, Scripted(answer()) as other:
        owe(database, to(receiver.port, *[other.port] * 3))
        with database.write() as connection:
            # Its end is to be told, under a number that another event has already.
            connection.execute(update(tables.batches).values(fallback_url=other.url, next_seq=1))
        with Sending(database):
            wait_until(lambda: states(database)[1:] == ["delivered"] * 3)
            wait_until(lambda: any("delivery_unrecorded" in record.getMessage() for record in caplog.records))
            assert states(database)[0] == "sending"


def test_a_sender_that_never_started_stops_and_wakes_without_harm(database: Database) -> None:
    sender = make_sender(database)
    sender.wake()
    sender.stop()
    sender.start()
    sender.stop(1)
    sender.wake()
    sender.stop()
