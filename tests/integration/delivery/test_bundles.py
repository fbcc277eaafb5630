"""Item events that travel together: which, how often, and always the same bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import event, update

from pipeline.bootstrap import make_context
from pipeline.crypto.verify_webhook import verify_webhook
from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.delivery import deliveries as service
from pipeline.delivery.claim import record_sent, take_back
from pipeline.delivery.rules.bundle import MOST_BYTES
from pipeline.delivery.rules.delivery import Answer, Sent
from pipeline.domain.retry_schedule import Schedule
from pipeline.settings import load
from tests.support.receivers.configured import (
    NOW,
    claim,
    configure,
    owe_batch_event,
    owe_items,
    positions,
    positions_in,
)
from tests.support.receivers.owed import (
    AT_ONCE,
    LEASE,
    SECRET,
    Sending,
    attempts,
    deliveries,
    options,
    states,
    wait_until,
)
from tests.support.receivers.scripted import Request, Scripted, answer, in_turn
from tests.support.servers.fixtures import on_postgresql

URL = "http://127.0.0.1:8001/hook"
ORIGIN = "http://127.0.0.1:8001"
SECOND = timedelta(seconds=1)


def origin_of(receiver: Scripted) -> str:
    return f"http://127.0.0.1:{receiver.port}"


@pytest.mark.timeout(180)
def test_ten_thousand_items_arrive_in_a_hundred_requests_each_once(database: Database) -> None:
    with Scripted(answer(204, body=b"")) as receiver:
        configure(database, origin_of(receiver), coalesce_items=100, coalesce_ms=60_000)
        with Sending(database) as sender:
            for _ in range(40):
                owe_items(database, receiver.url, 250)
                sender.wake()
            receiver.wait_for(lambda seen: sum(len(positions(each)) for each in seen.requests) >= 10_000, 120)
            wait_until(lambda: states(database).count("delivered") == 10_000, 60)
    assert len(receiver.requests) <= 110
    assert len({each.headers["webhook-id"] for each in receiver.requests}) == len(receiver.requests)
    seen = Counter(each for request in receiver.requests for each in positions(request))
    assert seen == Counter({(1, seq): 1 for seq in range(1, 10_001)})
    assert verify_webhook(receiver.requests[0].body, receiver.requests[0].headers, SECRET)["type"] == "items.completed"
    assert len(attempts(database)) == len(receiver.requests)


def test_a_bundle_is_the_same_bytes_under_the_same_id_at_every_attempt_and_after_a_restart(database: Database) -> None:
    fails_twice = in_turn(answer(500), answer(503), answer())

    def say(request: Request, connection: socket.socket) -> bool:
        return (fails_twice if len(positions(request)) == 3 else answer())(request, connection)

    with Scripted(say) as receiver:
        configure(database, origin_of(receiver), coalesce_items=3, coalesce_ms=60_000)
        owe_items(database, receiver.url, 3)
        slow = options(delays=[timedelta(hours=1)] * 3)
        with Sending(database, options=slow):
            wait_until(lambda: {row["last_status"] for row in deliveries(database)} == {500})
        # What comes later joins no bundle that was sent already.
        owe_items(database, receiver.url, 2)
        later = datetime.now(UTC) + timedelta(hours=2)
        with Sending(database, options=slow, clock=lambda: later):
            wait_until(lambda: {row["last_status"] for row in deliveries(database)[:3]} == {503})
        much_later = later + timedelta(hours=2)
        with Sending(database, worker="sender-2", clock=lambda: much_later):
            wait_until(lambda: states(database)[:3] == ["delivered"] * 3)
    bundle = [each for each in receiver.requests if positions(each) == [(1, 1), (1, 2), (1, 3)]]
    assert len(bundle) == 3
    assert len({each.headers["webhook-id"] for each in bundle}) == len({each.body for each in bundle}) == 1
    assert [each.headers["webhook-attempt"] for each in bundle] == ["1", "2", "3"]
    assert b'"big":12345678901234567890123,"one":1.0,"text":"caf\xc3\xa9"' in bundle[0].body


def test_a_bundle_whose_sender_is_killed_is_the_same_bundle_afterwards(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 2, at=NOW)
    (before,) = claim(database, "killed").owed
    owe_items(database, URL, 2, at=NOW)
    after_lease = NOW + LEASE + SECOND
    assert take_back(database, after_lease) == 2
    after = {owed.webhook_id: owed for owed in claim(database, "next", now=after_lease).owed}
    assert len(after) == 2
    assert after[before.webhook_id].body == before.body
    assert after[before.webhook_id].attempt == 2


def test_events_of_the_batch_are_never_bundled(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 2, at=NOW)
    owe_batch_event(database, URL, at=NOW)
    owe_items(database, URL, 1, at=NOW)
    kinds = {orjson.loads(owed.body)["type"]: owed for owed in claim(database).owed}
    assert sorted(kinds) == ["batch.completed", "items.completed"]
    assert kinds["batch.completed"].webhook_id == f"msg_{1:016d}{3:012d}"
    assert [each["seq"] for each in orjson.loads(kinds["items.completed"].body)["data"]] == [1, 2, 4]


def test_items_wait_for_company_until_there_are_enough_or_their_time_has_come(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=5_000)
    owe_items(database, URL, 2, at=NOW)
    waiting = claim(database)
    assert (waiting.owed, waiting.next_at) == ((), NOW + 5 * SECOND)
    owe_items(database, URL, 2, at=NOW + SECOND)
    assert [owed.count for owed in claim(database, now=NOW + SECOND).owed] == [3]
    waiting = claim(database, now=NOW + SECOND)
    assert (waiting.owed, waiting.next_at) == ((), NOW + 6 * SECOND)
    assert [owed.count for owed in claim(database, now=NOW + 6 * SECOND).owed] == [1]


def test_items_for_different_urls_of_an_endpoint_travel_apart(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=10, coalesce_ms=0)
    owe_items(database, f"{URL}/a", 2, at=NOW)
    owe_items(database, f"{URL}/b", 3, at=NOW)
    assert {owed.url: owed.count for owed in claim(database).owed} == {f"{URL}/a": 2, f"{URL}/b": 3}


def test_the_body_of_a_bundle_stays_below_a_mebibyte(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=500, coalesce_ms=0)
    owe_items(database, URL, 25, at=NOW, size=100_000)
    owed = claim(database).owed
    assert sorted(each.count for each in owed) == [5, 10, 10]
    assert max(len(each.body) for each in owed) <= MOST_BYTES


def test_a_bundle_that_fails_for_good_leaves_each_item_dead_to_be_replayed_alone(database: Database) -> None:
    with Scripted(in_turn(answer(500), answer(500), answer())) as receiver:
        configure(database, origin_of(receiver), coalesce_items=3, coalesce_ms=60_000)
        owe_items(database, receiver.url, 3)
        with Sending(database, options=options(delays=[AT_ONCE])):
            wait_until(lambda: states(database) == ["dead"] * 3)
        context = make_context(load(database_url=str(database.url.render_as_string(hide_password=False))))
        shown = service.show(context, 2)
        assert [each["number"] for each in shown.attempts] == [1, 2]
        assert shown.delivery["bundle"] == receiver.requests[0].headers["webhook-id"]
        service.replay(context, 2)
        with Sending(database):
            wait_until(lambda: states(database) == ["dead", "delivered", "dead"])
        shown = service.show(context, 2)
        context.database.close()
    together, _, alone = receiver.requests
    assert positions(together) == [(1, 1), (1, 2), (1, 3)]
    assert alone.headers["webhook-id"] == f"msg_{1:016d}{2:012d}"
    assert orjson.loads(alone.body)["type"] == "item.completed"
    assert [(each["number"], each["trigger"]) for each in shown.attempts] == [(1, None), (2, None), (3, "manual")]


def test_a_bundle_stays_one_when_its_endpoint_coalesces_no_more(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 3, at=NOW)
    (sent,) = claim(database).owed
    record_sent(database, [Sent(sent, Answer(500), NOW, NOW)], worker="a", schedule=Schedule())
    configure(database, ORIGIN, coalesce_items=None, coalesce_ms=None)
    owe_items(database, URL, 2, at=NOW)
    again = claim(database, now=NOW + timedelta(minutes=1)).owed
    assert sorted(owed.count for owed in again) == [1, 1, 3]
    assert next(owed.body for owed in again if owed.count == 3) == sent.body


def test_an_asked_for_pause_leaves_a_bundle_and_its_attempt_uncounted(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 2, at=NOW)
    (sent,) = claim(database).owed
    record_sent(database, [Sent(sent, Answer(429), NOW, NOW)], worker="a", schedule=Schedule())
    assert {(row["state"], row["attempt"]) for row in deliveries(database)} == {("pending", 0)}
    owe_items(database, URL, 1, at=NOW)
    again = claim(database, now=NOW + timedelta(minutes=2)).owed
    assert {owed.webhook_id: owed.body for owed in again}[sent.webhook_id] == sent.body


def test_two_senders_never_take_the_same_bundle(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=5, coalesce_ms=0)
    owe_items(database, URL, 40, at=NOW)
    first = claim(database, "a", free=3).owed
    second = claim(database, "b").owed
    assert [owed.count for owed in (*first, *second)] == [5] * 8
    for owed, worker in ((first, "a"), (second, "b")):
        sent = [Sent(each, Answer(409), NOW, NOW) for each in owed]
        record_sent(database, sent, worker=worker, schedule=Schedule())
    later = NOW + timedelta(minutes=1)
    again = [*claim(database, "b", now=later, free=4).owed, *claim(database, "a", now=later).owed]
    assert Counter(owed.webhook_id for owed in again) == Counter(owed.webhook_id for owed in (*first, *second))


def test_each_item_of_a_bundle_that_is_given_up_is_told_to_the_fallback_alone(database: Database) -> None:
    fallback = "http://127.0.0.1:8002/fallback"
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=0)
    configure(database, "http://127.0.0.1:8002", coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 3, at=NOW)
    with database.write() as connection:
        connection.execute(update(tables.batches).values(fallback_url=fallback, next_seq=4))
    (sent,) = claim(database).owed
    said = Answer(500, control="abort-message")
    record_sent(database, [Sent(sent, said, NOW, NOW)], worker="a", schedule=Schedule())
    told = claim(database).owed
    assert [(owed.url, orjson.loads(owed.body)["type"]) for owed in told] == [(fallback, "delivery.exhausted")] * 3


def test_an_endpoint_that_is_tried_again_is_sent_one_bundle(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=2, coalesce_ms=0, breaker="open", open_until=NOW)
    owe_items(database, URL, 10, at=NOW)
    (probe,) = claim(database).owed
    assert (probe.is_probe, probe.count) == (True, 2)


def test_a_rate_counts_bundles_and_not_items(database: Database) -> None:
    configure(database, ORIGIN, coalesce_items=2, coalesce_ms=0, rate=1, burst=3)
    owe_items(database, URL, 10, at=NOW)
    assert [owed.count for owed in claim(database).owed] == [2, 2, 2]
    assert [owed.count for owed in claim(database, now=NOW + SECOND).owed] == [2]


@on_postgresql  # SQLite has one writer at a time
@pytest.mark.timeout(180)
def test_senders_at_once_send_each_item_in_one_bundle_and_no_bundle_twice(
    database: Database, database_url: str
) -> None:
    failed: set[str] = set()
    lock = threading.Lock()

    def fail_first(request: Request, connection: socket.socket) -> bool:
        with lock:
            is_first = request.headers["webhook-id"] not in failed
            failed.add(request.headers["webhook-id"])
        return answer(409 if is_first else 200)(request, connection)

    others = [Database(database_url) for _ in range(2)]
    often = options(poll_seconds=0.002, per_endpoint=4)
    with Scripted(fail_first) as receiver, contextlib.ExitStack() as stack:
        configure(database, origin_of(receiver), coalesce_items=7, coalesce_ms=10)
        for number, each in enumerate([database, *others]):
            stack.enter_context(Sending(each, worker=f"sender-{number}", options=often))
        for _ in range(30):
            owe_items(database, receiver.url, 50)
        wait_until(lambda: states(database) == ["delivered"] * 1_500, 120)
    for each in others:
        each.close()
    bodies: dict[str, list[bytes]] = defaultdict(list)
    for request in receiver.requests:
        bodies[request.headers["webhook-id"]].append(request.body)
    assert {(len(each), len(set(each))) for each in bodies.values()} == {(2, 1)}
    seen = Counter(item for each in bodies.values() for item in positions_in(each[0]))
    assert seen == Counter({(1, seq): 1 for seq in range(1, 1_501)})
    assert {row["worker"] for row in attempts(database)} == {"sender-0", "sender-1", "sender-2"}


def test_endpoints_without_configuration_cost_no_statement_more(database: Database) -> None:
    for port in range(8_001, 8_009):
        owe_items(database, f"http://127.0.0.1:{port}/hook", 3, at=NOW)
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    owed = claim(database).owed
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(owed) == 24
    of_endpoints = [statement for statement in seen if "due_at <= " in statement]
    others = [
        each for each in seen if each not in of_endpoints and not each.startswith(("BEGIN", "COMMIT", "ROLLBACK"))
    ]
    assert len(of_endpoints) == 8
    # Which endpoints wait, what is taken, what is sent, however many deliveries; PostgreSQL takes and reads at once.
    assert len(others) == (3 if database.is_sqlite else 2)
