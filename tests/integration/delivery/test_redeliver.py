"""Deliveries sent again by request: one, many, and those that were never owed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.delivery import deliveries as service
from pipeline.delivery.claim import record_sent, release
from pipeline.delivery.give_up import expire
from pipeline.delivery.rules.delivery import Answer, Sent
from pipeline.domain.retry_schedule import Schedule
from pipeline.errors import Conflict, InvalidInput, NotFound
from pipeline.settings import load
from tests.support.receivers.configured import NOW, claim, configure, owe_batch_event, owe_items, positions
from tests.support.receivers.owed import Sending, attempts, deliveries, options, states, wait_until
from tests.support.receivers.scripted import Scripted, answer, in_turn

URL = "http://127.0.0.1:8001/hook"
ORIGIN = "http://127.0.0.1:8001"
HOUR = timedelta(hours=1)
ONE_RETRY = Schedule(delays=(HOUR,))


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = make_context(load(database_url=database_url, allow_private_callbacks="127.0.0.0/8"))
    yield context
    context.database.close()


@pytest.fixture
def at_noon(context: Context) -> Context:
    """The same, at an instant that stands still."""
    return replace(context, now=lambda: NOW)


def kill(database: Database, count: int, *, worker: str = "a", at: datetime = NOW) -> None:
    """Give up all deliveries that are due, which are so many."""
    owed = claim(database, worker, free=1_000).owed
    said = Answer(500, control="abort-message")
    record_sent(database, [Sent(each, said, at, at) for each in owed], worker=worker, schedule=ONE_RETRY)
    assert sum(each.count for each in owed) == count


def test_what_is_replayed_too_late_for_its_schedule_is_not_given_up_unsent(at_noon: Context) -> None:
    database, late = at_noon.database, NOW + timedelta(days=9)
    configure(database, ORIGIN, breaker="open", open_until=NOW)
    owe_items(database, URL, 3, at=NOW)
    assert expire(database, ORIGIN, None, late) == [1, 2, 3]
    assert service.recover(replace(at_noon, now=lambda: late)) == 3
    assert [owed.is_probe for owed in claim(database, now=late).owed] == [True]
    assert Counter(states(database)) == {"sending": 1, "pending": 2}


def test_a_replay_keeps_id_and_body_and_ends_with_its_success(context: Context) -> None:
    database = context.database
    with Scripted(in_turn(answer(500), answer(), answer())) as receiver:
        owe_items(database, receiver.url, 1)
        with Sending(database, options=options(delays=[HOUR])) as sender:
            wait_until(lambda: [row["last_status"] for row in deliveries(database)] == [500])
            service.replay(context, 1)
            sender.wake()
            wait_until(lambda: states(database) == ["delivered"])
    first, second = receiver.requests
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    (delivery,) = deliveries(database)
    assert (delivery["attempt"], delivery["replays"], delivery["trigger"]) == (2, 1, None)
    assert [row["trigger"] for row in attempts(database)] == [None, "manual"]


def test_a_replay_that_fails_spends_nothing_and_goes_on_as_the_schedule_had_it(at_noon: Context) -> None:
    database = at_noon.database
    owe_items(database, URL, 1, at=NOW)
    for _ in range(3):
        service.replay(at_noon, 1)
        fail(database, trigger="manual", spent=0)
    assert fail(database, trigger=None, spent=1, later=2 * HOUR) == "pending"
    service.replay(at_noon, 1)
    fail(database, trigger="manual", spent=1)
    assert fail(database, trigger=None, spent=2, later=2 * HOUR) == "dead"


def test_a_replay_of_what_was_given_up_is_one_attempt_and_no_more(at_noon: Context) -> None:
    database = at_noon.database
    owe_items(database, URL, 1, at=NOW)
    fail(database, trigger=None, spent=1)
    fail(database, trigger=None, spent=2, later=2 * HOUR)
    assert states(database) == ["dead"]
    service.replay(at_noon, 1)
    assert fail(database, trigger="manual", spent=2) == "dead"
    assert [row["outcome"] for row in attempts(database)] == ["retry", "dead", "dead"]


def fail(database: Database, *, trigger: str | None, spent: int, later: timedelta = timedelta(0)) -> str:
    """Make an attempt that fails. Return the state that the delivery is in then."""
    (owed,) = claim(database, now=NOW + later).owed
    assert (owed.trigger, owed.spent) == (trigger, spent)
    record_sent(database, [Sent(owed, Answer(500), NOW, NOW)], worker="a", schedule=ONE_RETRY)
    return states(database)[0]


def test_a_replay_that_was_not_made_or_was_asked_to_wait_is_still_by_request(at_noon: Context) -> None:
    database = at_noon.database
    owe_items(database, URL, 1, at=NOW)
    service.replay(at_noon, 1)
    claim(database, "stopping")
    release(database, "stopping", NOW)
    (owed,) = claim(database).owed
    record_sent(database, [Sent(owed, Answer(429), NOW, NOW)], worker="a", schedule=ONE_RETRY)
    (owed,) = claim(database, now=NOW + 2 * HOUR).owed
    assert (owed.trigger, owed.attempt, owed.spent) == ("manual", 1, 0)


def test_a_bundle_that_waits_is_replayed_as_a_whole(at_noon: Context) -> None:
    database = at_noon.database
    configure(database, ORIGIN, coalesce_items=3, coalesce_ms=0)
    owe_items(database, URL, 3, at=NOW)
    (before,) = claim(database).owed
    record_sent(database, [Sent(before, Answer(500), NOW, NOW)], worker="a", schedule=ONE_RETRY)
    service.replay(at_noon, 2)
    (again,) = claim(database).owed
    assert (again.body, again.webhook_id, again.trigger) == (before.body, before.webhook_id, "manual")
    assert (again.count, again.attempt, again.spent) == (3, 2, 1)


def test_what_is_given_up_together_is_one_line_of_the_log_for_each_endpoint(
    at_noon: Context, caplog: pytest.LogCaptureFixture
) -> None:
    owe_items(at_noon.database, URL, 4, at=NOW)
    owe_items(at_noon.database, "http://127.0.0.1:8002/hook", 2, batch_id=2, at=NOW)
    kill(at_noon.database, 6)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("delivery_dead")]
    assert len(lines) == 2
    assert f"delivery=1 deliveries=4 webhook_id='msg_{1:016d}{1:012d}' origin='{ORIGIN}'" in lines[0]
    assert "delivery=5 deliveries=2" in lines[1]


def test_what_is_recovered_is_chosen_by_batch_endpoint_and_time_and_counted_before(at_noon: Context) -> None:
    database = at_noon.database
    owe_items(database, URL, 4, batch_id=1, at=NOW - 2 * HOUR)
    kill(database, 4, at=NOW - HOUR)
    # Their events are as old as those of the others, but they were given up later.
    owe_items(database, URL, 3, batch_id=2, at=NOW - 2 * HOUR)
    owe_items(database, "http://127.0.0.1:8002/hook", 2, batch_id=2, at=NOW - 2 * HOUR)
    kill(database, 5)
    owe_items(database, URL, 5, at=NOW)
    choices = [
        ({}, 9),
        ({"batch": f"{1:016d}"}, 4),
        ({"batch": "last"}, 5),
        ({"origin": ORIGIN}, 7),
        ({"origin": "http://127.0.0.1:8002/any"}, 2),
        ({"since": NOW}, 5),
        ({"until": NOW}, 4),
        ({"batch": "last", "origin": ORIGIN, "since": NOW}, 3),
        ({"states": ("delivered",)}, 0),
    ]
    assert [service.recover(at_noon, **chosen, dry_run=True) for chosen, _ in choices] == [n for _, n in choices]
    assert states(database).count("dead") == 9
    assert service.recover(at_noon, batch="last", origin=ORIGIN) == 3
    assert {row["id"] for row in deliveries(database) if row["trigger"] == "manual"} == {5, 6, 7}
    assert service.recover(at_noon) == 6
    assert service.recover(at_noon) == 0
    assert states(database) == ["pending"] * 14


def test_recovery_goes_on_where_it_was_broken_off(at_noon: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    database = at_noon.database
    monkeypatch.setattr(service, "SPAN", 10)
    owe_items(database, URL, 45, at=NOW)
    kill(database, 45)
    instants = iter([NOW, NOW])

    def now_twice() -> datetime:
        return next(instants)

    with pytest.raises(StopIteration):
        service.recover(replace(at_noon, now=now_twice))
    assert states(database).count("dead") == 25
    assert service.recover(at_noon, dry_run=True) == 25
    assert service.recover(at_noon, batch="last") == 25
    assert states(database) == ["pending"] * 45


def test_a_bundle_is_recovered_as_it_was(at_noon: Context) -> None:
    database = at_noon.database
    configure(database, ORIGIN, coalesce_items=4, coalesce_ms=0)
    owe_items(database, URL, 2, batch_id=1, at=NOW)
    owe_items(database, URL, 2, batch_id=2, at=NOW)
    (before,) = claim(database).owed
    said = Answer(500, control="abort-message")
    record_sent(database, [Sent(before, said, NOW, NOW)], worker="a", schedule=ONE_RETRY)
    service.replay(at_noon, 2)
    assert service.recover(at_noon, batch=f"{1:016d}") == 1
    again = {owed.webhook_id: owed for owed in claim(database).owed}
    assert again[before.webhook_id].body == before.body
    assert sorted(owed.count for owed in again.values()) == [1, 3]
    done = [Sent(owed, Answer(200), NOW, NOW) for owed in again.values()]
    record_sent(database, done, worker="a", schedule=ONE_RETRY)
    assert states(database) == ["delivered"] * 4


def test_deliveries_to_a_disabled_endpoint_are_not_recovered(at_noon: Context) -> None:
    database = at_noon.database
    owe_items(database, URL, 2, at=NOW)
    kill(database, 2)
    configure(database, ORIGIN, disabled_at=NOW, disabled_reason="gone")
    assert service.recover(at_noon, dry_run=True) == service.recover(at_noon) == 0
    with pytest.raises(Conflict, match="enable the endpoint first"):
        service.replay(at_noon, 1)


def test_what_cannot_be_recovered_is_told(context: Context) -> None:
    with pytest.raises(InvalidInput, match=r"'pending' cannot be replayed; choose from dead, delivered, cancelled"):
        service.recover(context, states=("dead", "pending"))
    with pytest.raises(InvalidInput, match="the endpoint 'example.com' is not an absolute URL"):
        service.recover(context, origin="example.com")
    with pytest.raises(NotFound):
        service.recover(context, batch="nothing")


def test_a_url_that_was_never_owed_a_batch_is_owed_it_once(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    database = context.database
    monkeypatch.setattr(service, "SPAN", 10)
    with Scripted(answer(204, body=b"")) as receiver:
        owe_items(database, URL, 25)
        owe_batch_event(database, URL)
        owe_items(database, receiver.url, 3)
        assert service.replay_missing(context, receiver.url, "last", dry_run=True) == 25
        assert service.replay_missing(context, receiver.url, "last") == 25
        assert service.replay_missing(context, receiver.url, "last") == 0
        assert service.replay_missing(context, receiver.url, "last", batch_events=True) == 1
        with Sending(database):
            receiver.wait_for(lambda seen: len(seen.requests) == 29)
    assert sorted(positions(request)[0][1] for request in receiver.requests) == list(range(1, 30))


def test_what_was_missing_joins_the_lane_of_an_ordered_endpoint(at_noon: Context) -> None:
    owe_items(at_noon.database, "http://127.0.0.1:8002/hook", 3, at=NOW)
    configure(at_noon.database, ORIGIN, ordering="batch")
    assert service.replay_missing(at_noon, URL, "last") == 3
    mine = [row for row in deliveries(at_noon.database) if row["origin"] == ORIGIN]
    assert [(row["seq"], row["lane"]) for row in mine] == [(seq, f"{ORIGIN}#1") for seq in (1, 2, 3)]


def test_a_url_that_must_not_be_called_is_refused(context: Context) -> None:
    owe_items(context.database, URL, 1)
    with pytest.raises(InvalidInput, match=r"private address 10\.0\.0\.1"):
        service.replay_missing(context, "https://10.0.0.1/hook", "last")
