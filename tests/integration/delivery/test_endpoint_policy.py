"""Breaker, rate and health in the endpoint's row, for any number of senders."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, select, update

from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.delivery import endpoints as service
from pipeline.delivery.claim import Claim, claim_due, record_sent
from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.rules.delivery import Answer, Owed, Sent
from pipeline.domain.retry_schedule import Schedule
from tests.support.receivers.owed import (
    Sending,
    attempts,
    context_of,
    deliveries,
    endpoints,
    options,
    owe,
    states,
    to,
    wait_until,
)
from tests.support.receivers.scripted import Scripted, answer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEASE = timedelta(seconds=45)
DAY = timedelta(days=1)
ORIGIN = "http://127.0.0.1:8001"


def claim(database: Database, at: datetime, *, worker: str = "a", most: int = 500, busy: int = 0) -> Claim:
    """Claim for a sender that has `most` places for each endpoint, of which `busy` are taken."""
    room = Capacity(free=2_000, cap=most, busy={ORIGIN: busy})
    return claim_due(database, room, worker=worker, now=at, lease_until=lambda: at + LEASE, most=2_000)


def record(database: Database, owed: Sequence[Owed], status: int, at: datetime, worker: str = "a") -> None:
    sent = [Sent(each, Answer(status), at, at) for each in owed]
    record_sent(database, sent, worker=worker, schedule=Schedule())


def fail_five(database: Database, at: datetime = NOW) -> None:
    """Open the breaker of the endpoint, by its first five deliveries."""
    record(database, claim(database, at, most=5).owed, 500, at)
    assert endpoints(database)[ORIGIN]["breaker"] == "open"


def notices(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(tables.notices.c.type).order_by(tables.notices.c.id)))


def at_once(*actions: Callable[[], object]) -> None:
    """Run functions on threads of their own, started together."""
    ready = threading.Barrier(len(actions))
    errors: list[BaseException] = []

    def run(action: Callable[[], object]) -> None:
        try:
            ready.wait(20)
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)


def claims_at_once(database: Database, at: datetime, workers: str) -> list[Owed]:
    """Return what senders get that claim at the same time."""
    found: list[Claim] = []
    at_once(*(partial(lambda worker: found.append(claim(database, at, worker=worker)), worker) for worker in workers))
    return [owed for each in found for owed in each.owed]


def test_five_failures_in_a_row_open_the_breaker_and_nothing_more_is_sent(database: Database) -> None:
    with Scripted(answer(500)) as receiver:
        owe(database, to(*[receiver.port] * 20))
        with Sending(database, options=options(per_endpoint=1)) as sender:
            origin = deliveries(database)[0]["origin"]
            wait_until(lambda: endpoints(database).get(origin, {}).get("breaker") == "open")
            sender.wake()
            wait_until(lambda: "sending" not in states(database))
        assert len(receiver.requests) == 5
    row = endpoints(database)[origin]
    assert timedelta(seconds=30) <= row["open_until"] - row["last_failure_at"] <= timedelta(seconds=36)
    assert sum(each["attempt"] for each in deliveries(database)) == 5
    assert notices(database) == ["endpoint.opened"]


def test_while_it_is_open_deliveries_wait_and_no_attempt_is_counted(database: Database) -> None:
    owe(database, to(*[8_001] * 9), at=NOW)
    fail_five(database)
    open_until = endpoints(database)[ORIGIN]["open_until"]
    found = claim(database, open_until - timedelta(microseconds=1))
    assert (found.owed, found.next_at) == ((), open_until)
    assert Counter((row["state"], row["attempt"]) for row in deliveries(database)) == {
        ("pending", 1): 5,
        ("pending", 0): 4,
    }


def test_two_senders_at_once_send_one_probe(database: Database) -> None:
    owe(database, to(*[8_001] * 50), at=NOW)
    fail_five(database)
    at = endpoints(database)[ORIGIN]["open_until"]
    (probe,) = claims_at_once(database, at, "abcd")
    assert probe.is_probe
    assert endpoints(database)[ORIGIN]["breaker"] == "half_open"
    assert states(database).count("sending") == 1


def test_a_probe_that_is_lost_is_followed_by_another_when_its_lease_is_over(database: Database) -> None:
    owe(database, to(*[8_001] * 9), at=NOW)
    fail_five(database)
    at = endpoints(database)[ORIGIN]["open_until"]
    assert len(claim(database, at, worker="killed").owed) == 1
    assert claim(database, at + LEASE - timedelta(microseconds=1)).owed == ()
    assert len(claim(database, at + LEASE).owed) == 1


def test_a_probe_that_succeeds_releases_the_backlog_at_a_ramp(database: Database) -> None:
    owe(database, to(*[8_001] * 100), at=NOW)
    fail_five(database)
    at = endpoints(database)[ORIGIN]["open_until"]
    record(database, claim(database, at).owed, 200, at)
    assert (endpoints(database)[ORIGIN]["breaker"], endpoints(database)[ORIGIN]["trips"]) == ("closed", 0)
    in_flight = []
    for second in range(4):
        found = claim(database, at + timedelta(seconds=second), busy=sum(in_flight))
        in_flight.append(len(found.owed))
    assert in_flight == [1, 1, 2, 4]
    assert notices(database) == ["endpoint.opened", "endpoint.recovered"]


def test_a_probe_that_fails_is_followed_by_a_longer_pause(database: Database) -> None:
    owe(database, to(*[8_001] * 9), at=NOW)
    fail_five(database)
    at = endpoints(database)[ORIGIN]["open_until"]
    record(database, claim(database, at).owed, 500, at)
    row = endpoints(database)[ORIGIN]
    assert (row["breaker"], row["trips"]) == ("open", 2)
    assert timedelta(seconds=60) <= row["open_until"] - at <= timedelta(seconds=72)
    assert notices(database) == ["endpoint.opened"]


def test_what_grows_too_old_while_the_endpoint_is_left_alone_is_given_up(database: Database) -> None:
    owe(database, to(*[8_001] * 9), at=NOW)
    fail_five(database)
    with database.write() as connection:
        connection.execute(update(tables.endpoints).values(open_until=NOW + 5 * DAY))
        connection.execute(
            update(tables.deliveries).where(tables.deliveries.c.id == 9).values(created_at=NOW + 4 * DAY)
        )
    claim(database, NOW + 5 * DAY)
    found = Counter((row["state"], row["last_error"]) for row in deliveries(database))
    # The probe was taken before; what it comes to is decided by its answer.
    assert found["dead", "expired"] == 7
    assert found["pending", None] + found["sending", None] + found["sending", "http_500"] == 2


def test_a_probe_is_sent_although_what_grew_too_old_cannot_be_given_up(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    owe(database, to(*[8_001] * 9), at=NOW)
    fail_five(database)
    with database.write() as connection:
        connection.execute(update(tables.endpoints).values(open_until=NOW + 5 * DAY))
        # Their end is to be told, under a number that another event has already.
        connection.execute(update(tables.batches).values(fallback_url="https://example.com/", next_seq=1))
    assert len(claim(database, NOW + 5 * DAY).owed) == 1
    assert "expire_failed" in caplog.text


def test_two_senders_together_keep_an_endpoints_rate(database: Database) -> None:
    owe(database, to(*[8_001] * 300), at=NOW)
    service.configure(context_of(database), ORIGIN, rate=10, burst=1)
    started = 0
    for number in range(0, 1_000, 5):
        at = NOW + timedelta(seconds=number / 100)
        started += len(claims_at_once(database, at, "ab") if number % 100 == 0 else claim(database, at).owed)
    assert started == 100
    assert sum(row["attempt"] for row in deliveries(database)) == 100


def test_what_exceeds_a_rate_waits_and_its_time_is_told(database: Database) -> None:
    owe(database, to(*[8_001] * 9), at=NOW)
    service.configure(context_of(database), ORIGIN, rate=0.5, burst=2)
    first = claim(database, NOW)
    assert (len(first.owed), first.next_at) == (2, NOW + timedelta(seconds=2))
    again = claim(database, NOW + timedelta(seconds=1))
    assert (again.owed, again.next_at) == ((), NOW + timedelta(seconds=2))
    assert len(claim(database, NOW + timedelta(seconds=2)).owed) == 1


def test_a_backlog_of_retries_starves_no_first_attempts_and_none_of_them_starve_retries(database: Database) -> None:
    owe(database, to(*[8_001] * 300), at=NOW)
    with database.write() as connection:
        connection.execute(
            update(tables.deliveries).where(tables.deliveries.c.id <= 200).values(attempt=3, due_at=NOW - DAY)
        )
    together = claim(database, NOW, most=20).owed
    assert Counter(owed.attempt > 1 for owed in together) == {True: 10, False: 10}
    one_by_one = [claim(database, NOW, most=1).owed[0] for _ in range(60)]
    assert {owed.attempt > 1 for owed in one_by_one} == {True, False}
    rest = [owed for _ in range(5) for owed in claim(database, NOW).owed]
    assert len(together) + len(one_by_one) + len(rest) == 300


def test_a_hanging_endpoint_with_thousands_of_retries_delays_no_other(database: Database) -> None:
    with Scripted(answer()) as hanging, Scripted(answer()) as healthy:
        hanging.answering = hanging.silence
        owe(database, to(*[hanging.port] * 3_000, *[healthy.port] * 100))
        with database.write() as connection:
            connection.execute(
                update(tables.deliveries)
                .where(tables.deliveries.c.id <= 2_000)
                .values(attempt=2, due_at=datetime.now(UTC) - DAY)
            )
        with Sending(database, options=options(deadline=30)):
            wait_until(lambda: states(database).count("delivered") == 100)
            assert hanging.closed == 0
    assert 0 < len(hanging.requests) <= 64


def test_an_endpoint_that_takes_nothing_for_five_days_is_disabled_and_nothing_of_it_is_lost(
    database: Database,
) -> None:
    owe(database, to(*[8_001] * 40), at=NOW)
    for number in range(11):
        at = NOW + DAY / 2 * number
        with database.write() as connection:
            # Events come in all the while, and are tried before those that failed.
            is_new = tables.deliveries.c.id > 3 * number
            connection.execute(update(tables.deliveries).where(is_new).values(created_at=at, due_at=at))
            connection.execute(update(tables.deliveries).where(~is_new).values(due_at=NOW + 30 * DAY))
        record(database, claim(database, at, most=1).owed, 500, at)
    row = endpoints(database)[ORIGIN]
    assert row["disabled_reason"] == "failing"
    assert row["disabled_at"] - row["failing_since"] >= 5 * DAY
    assert set(states(database)) <= {"paused", "dead"}
    assert notices(database).count("endpoint.failing") == 3
    assert notices(database)[-1] == "endpoint.disabled"


def test_an_address_that_is_refused_is_told_once_an_hour_and_opens_no_breaker(database: Database) -> None:
    owe(database, to(*[8_001] * 30), at=NOW)
    for minutes in (0, 30, 61):
        at = NOW + timedelta(minutes=minutes)
        sent = [Sent(owed, Answer(error="ssrf_blocked"), at, at) for owed in claim(database, at, most=9).owed]
        record_sent(database, sent, worker="a", schedule=Schedule())
    assert notices(database) == ["endpoint.blocked"] * 2
    assert endpoints(database)[ORIGIN]["breaker"] == "closed"


def test_senders_that_record_for_the_same_endpoints_at_once_count_every_answer(database: Database) -> None:
    owe(database, to(*[8_001, 8_002, 8_003, 8_004] * 3), at=NOW)
    groups = {name: claim(database, NOW, worker=name, most=1).owed for name in "abc"}
    assert {len(owed) for owed in groups.values()} == {4}
    at_once(*(partial(record, database, owed[::-1], 500, NOW, name) for name, owed in groups.items()))
    assert {row["consecutive_failures"] for row in endpoints(database).values()} == {3}
    assert len(endpoints(database)) == 4
    assert {row["failing_events"] for row in endpoints(database).values()} == {3}


def scheduled(database: Database, *, batch: str | None = None, endpoint: str | None = None) -> timedelta:
    """Return how long after its second failure a delivery is due."""
    owe(database, to(8_001), at=NOW)
    with database.write() as connection:
        connection.execute(update(tables.batches).values(schedule=batch))
        connection.execute(update(tables.deliveries).values(attempt=2))
    if endpoint is not None:
        service.configure(context_of(database), ORIGIN, schedule=endpoint)
    record(database, claim(database, NOW).owed, 500, NOW)
    due_at: datetime = deliveries(database)[0]["due_at"]
    return due_at - NOW


@pytest.mark.parametrize(
    ("batch", "endpoint", "minutes"),
    [(None, None, 2), ("short", None, 3), (None, "short", 3), ("short", "standard", 2)],
)
def test_the_schedule_is_the_endpoints_or_the_batchs_or_the_standard_one(
    database: Database, batch: str | None, endpoint: str | None, minutes: int
) -> None:
    delay = scheduled(database, batch=batch, endpoint=endpoint)
    assert timedelta(minutes=minutes) <= delay <= timedelta(minutes=minutes * 1.2)


def test_an_instance_that_was_down_makes_one_attempt_at_each_that_is_overdue(database: Database) -> None:
    with Scripted(answer(500)) as receiver:
        owe(database, to(*[receiver.port] * 4), at=datetime.now(UTC) - 2 * DAY)
        with Sending(database, options=options(delays=[timedelta(hours=1)] * 9)):
            wait_until(lambda: len(attempts(database)) == 4)
    assert [row["attempt"] for row in deliveries(database)] == [1] * 4
    assert all(row["due_at"] > datetime.now(UTC) for row in deliveries(database))


def test_a_healthy_endpoint_without_settings_gets_no_row_and_no_statement_of_its_own(database: Database) -> None:
    owe(database, to(*[8_001] * 20), at=NOW)
    statements: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement.split()[0])

    event.listen(database.engine, "before_cursor_execute", remember)
    record(database, claim(database, NOW).owed, 200, NOW)
    event.remove(database.engine, "before_cursor_execute", remember)
    # The claim finds, picks, takes and reads, the last two at once on PostgreSQL; the record settles, and looks for
    # endpoints that were failing.
    taken = ["UPDATE", "SELECT"] if database.is_sqlite else ["WITH"]
    made = [each for each in statements if each not in ("BEGIN", "COMMIT", "ROLLBACK")]
    assert made == ["WITH", "SELECT", *taken, "UPDATE", "SELECT"]
    assert endpoints(database) == {}
    assert states(database) == ["delivered"] * 20
