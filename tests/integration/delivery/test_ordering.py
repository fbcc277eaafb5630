"""Ordered endpoints: one request at a time in each lane, in order, whoever sends."""

from __future__ import annotations

import random
import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta

import pytest

import pipeline
from pipeline.database.engine import Database
from pipeline.delivery import deliveries as service
from pipeline.delivery.claim import record_sent
from pipeline.delivery.rules.delivery import Answer, Sent
from pipeline.domain.retry_schedule import Schedule
from tests.support.factories import client_context, make_definition, make_items
from tests.support.receiver import SECRET
from tests.support.receivers.configured import NOW, claim, configure, owe_batch_event, owe_items, positions
from tests.support.receivers.owed import AT_ONCE, Sending, attempts, context_of, deliveries, options, states, wait_until
from tests.support.receivers.scripted import Request, Scripted, answer
from tests.support.servers.fixtures import on_postgresql, on_sqlite

URL = "http://127.0.0.1:8001/hook"
ORIGIN = "http://127.0.0.1:8001"
HOUR = timedelta(hours=1)


class Even(random.Random):
    """No chance: a schedule to the second."""

    def random(self) -> float:
        return 0.0


class Watching:
    """Answers what a test says, and keeps what was taken in order and how many requests were open at once."""

    def __init__(self, status: Callable[[Request, int], int] = lambda request, attempt: 204) -> None:
        self.taken: list[tuple[int, int]] = []
        self.most_open = 0
        self._status = status
        self._open = 0
        self._attempts: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def __call__(self, request: Request, connection: socket.socket) -> bool:
        with self._lock:
            self._open += 1
            self.most_open = max(self.most_open, self._open)
            self._attempts[request.headers["webhook-id"]] += 1
            status = self._status(request, self._attempts[request.headers["webhook-id"]])
            if status == 204:
                self.taken += positions(request)
            # Closed before the answer is on its way: the next request may follow it at once.
            self._open -= 1
        return answer(status, body=b"")(request, connection)


def origin_of(receiver: Scripted) -> str:
    return f"http://127.0.0.1:{receiver.port}"


def every_third_fails_first(request: Request, attempt: int) -> int:
    return 500 if attempt == 1 and positions(request)[0][1] % 3 == 0 else 204


def fail(database: Database, status: int = 500, *, worker: str = "a") -> list[int]:
    """Claim what may travel, and answer it with a failure that is tried again in an hour. Return what was claimed."""
    owed = claim(database, worker).owed
    schedule = Schedule(delays=(HOUR,) * 3, min_jitter=timedelta(0), rng=Even())
    record_sent(database, [Sent(each, Answer(status), NOW, NOW) for each in owed], worker=worker, schedule=schedule)
    return [each.id for each in owed]


def test_an_ordered_endpoint_takes_one_delivery_at_a_time_in_order_through_failures(database: Database) -> None:
    watching = Watching(every_third_fails_first)
    with Scripted(watching) as receiver:
        configure(database, origin_of(receiver), ordering="endpoint")
        owe_items(database, receiver.url, 15, batch_id=1)
        owe_items(database, receiver.url, 15, batch_id=2)
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"] * 30)
    assert watching.taken == [(batch, seq) for batch in (1, 2) for seq in range(1, 16)]
    assert receiver.connections == watching.most_open == 1


def test_batches_of_an_endpoint_that_is_ordered_by_batch_hold_up_only_themselves(database: Database) -> None:
    go_on = threading.Event()

    watching = Watching()

    def say(request: Request, connection: socket.socket) -> bool:
        if positions(request) == [(1, 1)]:
            go_on.wait(30)
        return watching(request, connection)

    with Scripted(say) as receiver:
        configure(database, origin_of(receiver), ordering="batch")
        owe_items(database, receiver.url, 3, batch_id=1)
        owe_items(database, receiver.url, 9, batch_id=2)
        with Sending(database):
            receiver.wait_for(lambda seen: len(watching.taken) == 9)
            assert watching.taken == [(2, seq) for seq in range(1, 10)]
            go_on.set()
            wait_until(lambda: states(database) == ["delivered"] * 12)
    assert watching.taken[9:] == [(1, 1), (1, 2), (1, 3)]


def test_one_that_is_replayed_waits_for_the_one_behind_it_that_is_under_way(database: Database) -> None:
    configure(database, ORIGIN, ordering="endpoint")
    owe_items(database, URL, 3, at=NOW)
    (first,) = claim(database).owed
    record_sent(database, [Sent(first, Answer(200), NOW, NOW)], worker="a", schedule=Schedule())
    (second,) = claim(database).owed
    service.replay(context_of(database, now=lambda: NOW), first.id)
    assert claim(database, "b").owed == ()
    record_sent(database, [Sent(second, Answer(200), NOW, NOW)], worker="a", schedule=Schedule())
    assert [owed.id for owed in claim(database, "b").owed] == [first.id]


def test_what_comes_to_a_bad_end_lets_the_next_go(database: Database) -> None:
    watching = Watching(lambda request, attempt: 500 if positions(request) == [(1, 2)] else 204)
    with Scripted(watching) as receiver:
        configure(database, origin_of(receiver), ordering="endpoint")
        owe_items(database, receiver.url, 4)
        with Sending(database, options=options(delays=[AT_ONCE] * 2)):
            wait_until(lambda: states(database) == ["delivered", "dead", "delivered", "delivered"])
    assert [positions(each)[0][1] for each in receiver.requests] == [1, 2, 2, 2, 3, 4]


def test_a_delivery_that_waits_for_its_retry_holds_up_the_next(database: Database) -> None:
    configure(database, ORIGIN, ordering="endpoint")
    owe_items(database, URL, 3, at=NOW)
    assert fail(database) == [1]
    held_up = claim(database, now=NOW + HOUR / 2)
    assert (held_up.owed, held_up.next_at) == ((), NOW + HOUR)
    assert [owed.id for owed in claim(database, now=NOW + HOUR).owed] == [1]


def test_a_delivery_that_failed_is_passed_over_after_the_longest_block(database: Database) -> None:
    configure(database, ORIGIN, ordering="endpoint", max_block_seconds=60)
    owe_items(database, URL, 3, at=NOW)
    assert fail(database) == [1]
    held_up = claim(database, now=NOW + timedelta(seconds=59))
    assert (held_up.owed, held_up.next_at) == ((), NOW + timedelta(seconds=60))
    after = NOW + timedelta(seconds=60)
    assert [owed.id for owed in claim(database, now=after).owed] == [2]
    # One that was passed over is sent when it is due, and holds up nobody any more.
    assert claim(database, now=NOW + HOUR / 2).owed == ()
    assert [owed.id for owed in claim(database, now=NOW + HOUR).owed] == [1]
    assert [row["lane"] for row in deliveries(database)] == [None, ORIGIN, ORIGIN]


def test_one_that_was_asked_to_wait_is_not_passed_over(database: Database) -> None:
    configure(database, ORIGIN, ordering="endpoint", max_block_seconds=1)
    owe_items(database, URL, 2, at=NOW)
    assert fail(database, 429) == [1]
    assert [owed.id for owed in claim(database, now=NOW + HOUR).owed] == [1]


def test_only_what_is_written_from_then_on_is_ordered(database: Database) -> None:
    owe_items(database, URL, 3, at=NOW)
    configure(database, ORIGIN, ordering="endpoint")
    owe_items(database, URL, 3, at=NOW)
    assert [row["lane"] for row in deliveries(database)] == [None] * 3 + [ORIGIN] * 3
    assert sorted(owed.id for owed in claim(database).owed) == [1, 2, 3, 4]
    configure(database, ORIGIN, ordering=None)
    assert sorted(owed.id for owed in claim(database).owed) == [5, 6]


def test_order_holds_inside_bundles_and_across_them(database: Database) -> None:
    watching = Watching(every_third_fails_first)
    with Scripted(watching) as receiver:
        configure(database, origin_of(receiver), ordering="batch", coalesce_items=4, coalesce_ms=20)
        owe_items(database, receiver.url, 30)
        owe_batch_event(database, receiver.url)
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"] * 31)
    assert watching.taken == [(1, seq) for seq in range(1, 32)]
    assert watching.most_open == 1
    assert len({each.headers["webhook-id"] for each in receiver.requests}) == 9


def test_a_bundle_is_passed_over_as_a_whole(database: Database) -> None:
    configure(database, ORIGIN, ordering="endpoint", max_block_seconds=60, coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 5, at=NOW)
    assert fail(database) == [1]
    (next_one,) = claim(database, now=NOW + timedelta(minutes=1)).owed
    assert (next_one.id, next_one.count) == (4, 2)
    assert [row["lane"] for row in deliveries(database)] == [None] * 3 + [ORIGIN] * 2


@on_postgresql  # SQLite has one writer at a time
def test_two_senders_at_once_keep_the_order(database: Database, database_url: str) -> None:
    watching = Watching(every_third_fails_first)
    other = Database(database_url)
    with Scripted(watching) as receiver:
        configure(database, origin_of(receiver), ordering="batch")
        for batch_id in (1, 2, 3):
            owe_items(database, receiver.url, 40, batch_id=batch_id)
        often = options(poll_seconds=0.002)
        with Sending(database, worker="a", options=often), Sending(other, worker="b", options=often):
            wait_until(lambda: states(database) == ["delivered"] * 120, 60)
    other.close()
    for batch in (1, 2, 3):
        assert [each for each in watching.taken if each[0] == batch] == [(batch, seq) for seq in range(1, 41)]
    assert watching.most_open <= 3
    assert {row["worker"] for row in attempts(database)} == {"a", "b"}


@pytest.mark.timeout(120)
def test_results_of_a_run_arrive_in_the_order_of_their_log(database_url: str, tmp_path: pytest.TempPathFactory) -> None:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8", "database_url": database_url}
    with Scripted(answer(204, body=b"")) as receiver, pipeline.connect(**settings) as client:
        configure(client_context(client).database, origin_of(receiver), ordering="batch")
        definition = make_definition(tmp_path)
        urls = {"callback_url": receiver.url, "batch_callback_url": receiver.url}
        client.submit(make_items(100), definition, **urls)
        receiver.wait_for(lambda seen: len(seen.requests) == 101, 90)
    assert [seq_of(request) for request in receiver.requests] == list(range(1, 102))


def seq_of(request: Request) -> int:
    return int(request.headers["webhook-id"][-12:])


@on_sqlite  # which counts its steps; PostgreSQL's plans are read in test_plans
def test_a_backlog_in_a_lane_makes_finding_its_first_no_dearer(database: Database) -> None:
    configure(database, ORIGIN, ordering="endpoint")
    owe_items(database, URL, 300, at=NOW)
    few = steps_of_a_claim(database)
    owe_items(database, URL, 10_000, at=NOW)
    assert steps_of_a_claim(database) < 2 * few


def steps_of_a_claim(database: Database) -> int:
    """Return how many instructions SQLite runs, in hundreds, to claim at an ordered endpoint that waits for a retry."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    with database.read() as connection:
        driver = connection.connection.driver_connection
    driver.set_progress_handler(count, 100)  # type: ignore[union-attr]
    claimed = claim(database, free=1).owed
    driver.set_progress_handler(None, 100)  # type: ignore[union-attr]
    record_sent(database, [Sent(each, Answer(200), NOW, NOW) for each in claimed], worker="a", schedule=Schedule())
    assert len(claimed) == 1
    return steps
