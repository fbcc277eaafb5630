"""Preclaimed deliveries: inserted as claimed by the sender of the process that finishes items, and sent from memory."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

import pipeline
from pipeline.crypto.encryption import Encryption
from pipeline.crypto.verify_webhook import verify_webhook
from pipeline.database.engine import Database
from pipeline.database.retry import retrying
from pipeline.database.transaction_end import transaction_end
from pipeline.delivery import endpoint_secrets
from pipeline.delivery.claim import take_back
from pipeline.delivery.preclaim import MOST_BYTES
from pipeline.delivery.rules.delivery import Answer, Owed
from pipeline.delivery.sender.in_flight import InFlight
from pipeline.errors import Unreachable
from pipeline.settings import load
from tests.support.factories import client_context, make_definition, make_items
from tests.support.receivers import killed_preclaims
from tests.support.receivers.configured import configure, finish_items
from tests.support.receivers.owed import (
    SECRET,
    Sending,
    attempts,
    context_of,
    deliveries,
    make_sender,
    options,
    states,
    wait_until,
)
from tests.support.receivers.preclaiming import origin_of, ready, room
from tests.support.receivers.scripted import Scripted, answer, in_turn
from workers.engine.sweeps import dead_holders

KEY = "dGhlIG5ld2VzdCBvZiB0d28sIGFuZCBzZWFscyBhbGw="


def claims(database: Database) -> list[str]:
    """Return a list of the statements that claim, which grows."""
    found: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "attempt = attempt + 1" in statement:
            found.append(statement)

    event.listen(database.engine, "before_cursor_execute", remember)
    return found


def test_it_is_sent_without_a_claim_and_recorded_like_any_other(database: Database) -> None:
    with Scripted(answer(202)) as receiver, Sending(database) as sender:
        ready(sender, receiver)
        seen = claims(database)
        bodies = finish_items(database, sender, [receiver.url] * 20)
        assert set(states(database)) <= {"sending", "delivered"}
        wait_until(lambda: states(database) == ["delivered"] * 20)
        assert seen == []
        wait_until(lambda: room(sender) == 256)
    assert Counter(request.body for request in receiver.requests) == Counter(bodies)
    for request in receiver.requests:
        verify_webhook(request.body, request.headers, SECRET)
        assert request.headers["webhook-attempt"] == "1"
    assert {request.headers["webhook-id"] for request in receiver.requests} == {
        f"msg_{1:016d}{seq:012}" for seq in range(1, 21)
    }
    assert {(row["number"], row["outcome"], row["worker"]) for row in attempts(database)} == {
        (1, "succeeded", "sender-1")
    }


def test_a_rollback_sends_nothing_and_gives_the_slots_back(database: Database) -> None:
    with Scripted(answer()) as receiver, Sending(database) as sender:
        ready(sender, receiver)
        for _ in range(20):
            finish_items(database, sender, [receiver.url] * 30, fail=True)
        assert room(sender) == 256
        finish_items(database, sender, [receiver.url])
        wait_until(lambda: states(database) == ["delivered"])
    assert len(receiver.requests) == 1


def test_a_commit_that_fails_sends_nothing_and_gives_the_slots_back(database: Database) -> None:
    class Broken(Exception):
        pass

    def refuse(*given: Any) -> None:
        if database.is_sqlite and given[2] != "COMMIT":
            return
        raise Broken

    name = "before_cursor_execute" if database.is_sqlite else "commit"
    with (
        Scripted(answer()) as receiver,
        Sending(database, options=options(poll_seconds=3_600)) as sender,
    ):
        ready(sender, receiver)
        event.listen(database.engine, name, refuse)
        with pytest.raises(Broken):
            finish_items(database, sender, [receiver.url] * 30)
        event.remove(database.engine, name, refuse)
        assert room(sender) == 256
        assert receiver.requests == []


@pytest.mark.parametrize(
    "settings",
    [
        {"disabled_at": datetime(2026, 1, 1, tzinfo=UTC), "disabled_reason": "manual"},
        {"not_before": datetime(2100, 1, 1, tzinfo=UTC)},
        {"breaker": "open", "open_until": datetime(2100, 1, 1, tzinfo=UTC)},
        {"closed_at": datetime(2100, 1, 1, tzinfo=UTC)},
        {"rate": 1000.0},
        {"ordering": "endpoint"},
        {"coalesce_items": 5},
        {"headers": "cannot be decrypted"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_an_endpoint_that_a_claim_has_to_judge_gets_pending_ones(database: Database, settings: dict[str, Any]) -> None:
    with Scripted(answer()) as receiver, Sending(database) as sender:
        configure(database, origin_of(receiver), **settings)
        ready(sender, receiver)
        seen: list[str] = []

        def remember(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("INSERT INTO deliveries"):
                seen.append(statement)

        event.listen(database.engine, "before_cursor_execute", remember)
        finish_items(database, sender, [receiver.url] * 2)
        assert len(seen) == 1
        assert "'pending'" in seen[0]


def test_an_endpoint_with_its_own_secret_headers_schedule_and_cap_is_sent_to_as_a_claim_does(
    database: Database,
) -> None:
    settings = load(encryption_key=KEY, webhook_secret=SECRET, allow_private_callbacks="127.0.0.0/8")
    own = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
    with Scripted(answer()) as receiver:
        context = context_of(database)
        context = type(context)(settings=settings, database=database, hooks=context.hooks)
        endpoint_secrets.rotate(context, receiver.url, secret=own, grace_seconds=0)
        endpoint_secrets.set_headers(context, receiver.url, {"authorization": "Bearer x"})
        configure(database, origin_of(receiver), in_flight_cap=3)
        with Sending(database, vault=Encryption([KEY])) as sender:
            ready(sender, receiver)
            seen = claims(database)
            finish_items(database, sender, [receiver.url] * 3)
            wait_until(lambda: states(database) == ["delivered"] * 3)
            assert seen == []
    for request in receiver.requests:
        assert request.headers["authorization"] == "Bearer x"
        verify_webhook(request.body, request.headers, own)


def test_no_more_than_the_cap_is_in_flight_and_the_rest_follows(database: Database) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def count(request: Any, connection: Any) -> bool:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        said = answer()(request, connection)
        with lock:
            now -= 1
        return said

    with Scripted(count) as receiver, Sending(database, options=options(per_endpoint=5)) as sender:
        ready(sender, receiver)
        for _ in range(20):
            finish_items(database, sender, [receiver.url] * 10)
        wait_until(lambda: states(database) == ["delivered"] * 200)
    assert 0 < most <= 5
    assert len(receiver.requests) == 200


def test_a_receiver_that_is_down_is_retried_by_the_schedule(database: Database) -> None:
    with Scripted(in_turn(answer(500), answer(503), answer(200))) as receiver, Sending(database) as sender:
        ready(sender, receiver)
        finish_items(database, sender, [receiver.url])
        wait_until(lambda: states(database) == ["delivered"])
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert [(row["number"], row["outcome"]) for row in attempts(database)] == [
        (1, "retry"), (2, "retry"), (3, "succeeded"),
    ]  # fmt: skip


def test_a_slow_endpoint_leaves_slots_to_the_others(database: Database) -> None:
    with Scripted(answer()) as hanging, Scripted(answer()) as healthy:
        hanging.answering = hanging.silence
        with Sending(database, options=options(deadline=30)) as sender:
            ready(sender, healthy)
            for _ in range(20):
                finish_items(database, sender, [hanging.url] * 20 + [healthy.url] * 5)
            wait_until(lambda: states(database).count("delivered") == 100)
            assert hanging.closed == 0
    assert 0 < len(hanging.requests) <= 64


def request(origin: str, *, is_preclaimed: bool = True) -> Owed:
    now = datetime.now(UTC)
    return Owed(1, f"{origin}/hook", origin, 1, "msg_1", b"{}", now, is_preclaimed=is_preclaimed)


def test_a_backlog_lasts_until_a_claim_that_began_later_leaves_nothing_due() -> None:
    capacity = InFlight(total=16, per_endpoint=4)
    assert capacity.free_slots([("a", None)]) == {"a": 4}
    capacity.note_backlog(["a"])
    assert capacity.free_slots([("a", None), ("b", None)]) == {"b": 4}
    # A claim that began before the commit cannot have seen what was committed.
    capacity.begin_claim()
    capacity.note_backlog(["a"])
    capacity.end_claim((), [])
    assert capacity.without_backlog(["a"]) == []
    capacity.begin_claim()
    capacity.end_claim(["a"], ["a"])
    assert capacity.without_backlog(["a"]) == []
    capacity.begin_claim()
    capacity.end_claim((), [])
    assert capacity.without_backlog(["a"]) == ["a"]


def test_preclaimed_requests_leave_half_of_the_slots_to_a_backlog() -> None:
    capacity = InFlight(total=64, per_endpoint=8)
    assert capacity.start("a", None, 100) == 8
    capacity.note_backlog(["a"])
    for _ in range(4):
        capacity.leave(request("a"), Answer(200))
        assert capacity.start("a", None, 100) == 0
    capacity.begin_claim()
    assert capacity.hold([("a", None)], 100) == {"a": 4}
    capacity.end_claim(["a"] * 4, ["a"])
    capacity.leave(request("a", is_preclaimed=False), Answer(200))
    assert capacity.start("a", None, 100) == 0
    capacity.leave(request("a"), Answer(200))
    assert capacity.start("a", None, 100) == 1
    capacity.begin_claim()
    capacity.end_claim((), [])
    assert capacity.start("a", None, 100) == 1


def test_a_full_sender_claims_before_preclaimed_requests_start() -> None:
    capacity = InFlight(total=2, per_endpoint=2)
    assert (capacity.start("a", None, 1), capacity.start("b", None, 1)) == (1, 1)
    assert capacity.begin_claim().free == 0
    capacity.leave(request("a"), Answer(200))
    assert (capacity.free_slots([("c", None)]), capacity.start("c", None, 1)) == ({}, 0)
    assert capacity.begin_claim().free == 1
    assert capacity.hold([("d", None)], 9) == {"d": 1}
    assert capacity.start("c", None, 1) == 0
    capacity.end_claim(["d"], [])
    assert capacity.room().busy == {"b": 1, "d": 1}


def test_an_overloaded_receiver_gets_fewer() -> None:
    capacity = InFlight(total=256, per_endpoint=64)
    assert capacity.start("a", None, 64) == 64
    for _ in range(4):
        capacity.leave(request("a"), Answer(504))
    for _ in range(60):
        capacity.leave(request("a"), Answer(500))
    assert capacity.start("a", None, 64) == 4


def test_a_large_body_waits_for_a_claim(database: Database) -> None:
    with Scripted(answer()) as receiver, Sending(database) as sender:
        ready(sender, receiver)
        seen = claims(database)
        finish_items(database, sender, [receiver.url], size=MOST_BYTES)
        wait_until(lambda: states(database) == ["delivered"])
        assert len(seen) == 1


def test_inside_a_savepoint_nothing_is_preclaimed(database: Database) -> None:
    with database.write() as connection:
        assert transaction_end(connection) is not None
        with connection.begin_nested():
            assert transaction_end(connection) is None
    with database.read() as connection:
        assert transaction_end(connection) is None


def test_a_transaction_that_commits_after_the_stop_hands_back_without_counting_an_attempt(database: Database) -> None:
    with Scripted(answer()) as receiver:
        sender = make_sender(database)
        sender.start()
        ready(sender, receiver)
        slots, at_once = sender.slots, sender.slots.committed

        def late(*given: Any) -> None:
            sender.stop(0)
            at_once(*given)

        slots.committed = late  # type: ignore[method-assign]
        finish_items(database, sender, [receiver.url] * 9)
    assert receiver.requests == []
    assert [(row["state"], row["attempt"], row["worker"]) for row in deliveries(database)] == [("pending", 0, None)] * 9


def test_a_stop_hands_back_what_is_in_flight_without_counting_an_attempt(database: Database) -> None:
    with Scripted(answer()) as receiver:
        receiver.answering = receiver.silence
        sender = make_sender(database)
        sender.start()
        ready(sender, receiver)
        finish_items(database, sender, [receiver.url] * 9)
        receiver.wait_for(lambda seen: len(seen.requests) == 9)
        sender.stop(0)
    assert [(row["state"], row["attempt"], row["worker"]) for row in deliveries(database)] == [("pending", 0, None)] * 9


def test_one_that_takes_most_of_its_lease_to_commit_is_handed_back_and_sent_by_a_claim(database: Database) -> None:
    moved = [timedelta(0)]
    clock = lambda: datetime.now(UTC) + moved[-1]  # noqa: E731
    with Scripted(answer()) as receiver, Sending(database, clock=clock) as sender:
        ready(sender, receiver)
        lease_until = sender.slots.lease_until

        def slowly() -> datetime:
            until = lease_until()
            moved.append(timedelta(seconds=36))
            return until

        sender.slots.lease_until = slowly  # type: ignore[method-assign]
        finish_items(database, sender, [receiver.url])
        wait_until(lambda: states(database) == ["delivered"])
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1"]


def test_a_process_that_is_killed_between_the_commit_and_the_requests_loses_nothing(
    database: Database, database_url: str
) -> None:
    with Scripted(answer()) as receiver:
        process = multiprocessing.get_context("spawn").Process(
            target=killed_preclaims.run, args=(database_url, receiver.url), daemon=True
        )
        process.start()
        wait_until(lambda: states(database) == ["sending"] * 300, 60)
        assert {(row["attempt"], row["lease_until"] is not None) for row in deliveries(database)} == {(1, True)}
        process.kill()
        process.join()
        assert receiver.requests == []
        context = context_of(database)
        dead = dead_holders(context)
        assert len(dead) == 1
        assert take_back(database, context.now(), dead) == 300
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"] * 300)
    assert {request.headers["webhook-attempt"] for request in receiver.requests} == {"2"}
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == len(receiver.requests) == 300


@pytest.mark.timeout(120)
def test_a_run_sends_each_callback_once_and_most_of_them_preclaimed(database_url: str, tmp_path: Path) -> None:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8", "database_url": database_url}
    with Scripted(answer(204, body=b"")) as receiver, pipeline.connect(**settings) as client:
        database = client_context(client).database
        inserted: list[int] = []

        def remember(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement.startswith("INSERT INTO deliveries") and "'sending'" in statement:
                inserted.append(1)

        event.listen(database.engine, "after_cursor_execute", remember)
        batch = client.submit(make_items(1_000), make_definition(tmp_path), callback_url=receiver.url)
        receiver.wait_for(lambda seen: len(seen.requests) == 1_000, 90)
        wait_until(lambda: states(database) == ["delivered"] * 1_000)
        assert inserted
        assert len(attempts(database)) == 1_000
    for request in receiver.requests:
        verify_webhook(request.body, request.headers, SECRET)
    assert {request.headers["webhook-id"] for request in receiver.requests} == {
        f"msg_{batch.id}{seq:012}" for seq in range(1, 1_001)
    }


def test_a_transaction_that_is_retried_sends_what_its_last_try_committed(database: Database) -> None:
    tries = 0

    def record() -> None:
        nonlocal tries
        tries += 1
        finish_items(database, sender, [receiver.url] * 5, fail=tries < 3)
        if tries < 3:
            raise Unreachable("try again")

    with Scripted(answer()) as receiver, Sending(database) as sender:
        ready(sender, receiver)
        retrying(record, patience=timedelta(seconds=30))
        wait_until(lambda: states(database) == ["delivered"] * 5)
        wait_until(lambda: room(sender) == 256)
    assert len(receiver.requests) == 5
