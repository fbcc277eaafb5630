"""A first attempt that succeeds stands on its delivery: it reads as a row would, and a replay gives it one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.delivery import deliveries as service
from pipeline.delivery.claim import record_sent, take_back
from pipeline.delivery.rules.delivery import Answer, Owed, Sent
from pipeline.domain.retry_schedule import Schedule
from tests.support.receivers.configured import NOW, claim, configure, owe_items
from tests.support.receivers.owed import LEASE, attempt_rows, context_of, deliveries, states

URL, ORIGIN = "http://127.0.0.1:8001/hook", "http://127.0.0.1:8001"
SECOND = timedelta(seconds=1)


@pytest.fixture
def context(database: Database) -> Context:
    return context_of(database)


def answered(database: Database, owed: Owed, answer: Answer, *, worker: str = "a") -> None:
    """Record an answer that came a second after the request."""
    sent = Sent(owed, answer, NOW, NOW + SECOND)
    record_sent(database, [sent], worker=worker, schedule=Schedule())


def test_it_has_no_row_and_reads_as_if_it_had(context: Context) -> None:
    database = context.database
    owe_items(database, URL, 2, at=NOW)
    first, second = claim(database, worker="a").owed
    answered(database, first, Answer(202, text="thanks"))
    answered(database, second, Answer(500, text="oops"))
    (row,) = attempt_rows(database)
    assert row["delivery_id"] == second.id
    (attempt,) = service.show(context, first.id).attempts
    assert attempt.keys() == row.keys()
    assert {name: value for name, value in attempt.items() if value is not None} == {
        "delivery_id": first.id, "stage": "deliver", "number": 1, "outcome": "succeeded", "status": 202,
        "started_at": NOW, "ended_at": NOW + SECOND, "worker": "a", "answer": "thanks",
    }  # fmt: skip


def test_each_delivery_of_a_group_keeps_its_own_status_and_times(context: Context) -> None:
    database = context.database
    owe_items(database, URL, 3, at=NOW)
    sent = [
        Sent(owed, Answer(200 + number, text=f"{number}"), NOW + number * SECOND, NOW + 2 * number * SECOND)
        for number, owed in enumerate(claim(database, worker="a").owed)
    ]
    record_sent(database, sent, worker="a", schedule=Schedule())
    assert [
        (row["last_status"], row["answer"], row["started_at"], row["finished_at"]) for row in deliveries(database)
    ] == [(200 + number, f"{number}", NOW + number * SECOND, NOW + 2 * number * SECOND) for number in range(3)]


@pytest.mark.parametrize("in_bulk", [False, True])
def test_a_replay_gives_it_a_row_once(context: Context, in_bulk: bool) -> None:
    database = context.database
    owe_items(database, URL, 1, at=NOW)
    (owed,) = claim(database, worker="a").owed
    answered(database, owed, Answer(200, text="first"))
    before = service.show(context, owed.id).attempts
    for _ in range(2):
        if in_bulk:
            service.recover(context, states=["delivered"])
        else:
            service.replay(context, owed.id)
        (delivery,) = deliveries(database)
        assert (delivery["state"], delivery["started_at"], delivery["answer"], delivery["worker"]) == (
            "pending", None, None, None,
        )  # fmt: skip
    (after,) = service.show(context, owed.id).attempts
    assert {**after, "id": None} == before[0]
    (again,) = claim(database, worker="b", now=context.now()).owed
    answered(database, again, Answer(201, text="second"), worker="b")
    found = service.show(context, owed.id).attempts
    assert [(row["number"], row["status"], row["trigger"], row["worker"], row["answer"]) for row in found] == [
        (1, 200, None, "a", "first"),
        (2, 201, "manual", "b", "second"),
    ]
    assert len(attempt_rows(database)) == 2


def test_a_success_after_a_snooze_comes_last(context: Context) -> None:
    database = context.database
    owe_items(database, URL, 1, at=NOW)
    (owed,) = claim(database, worker="a").owed
    answered(database, owed, Answer(429, retry_after="1"))
    later = NOW + timedelta(minutes=1)
    (again,) = claim(database, worker="a", now=later).owed
    assert again.attempt == 1
    answered(database, again, Answer(200))
    assert [row["outcome"] for row in service.show(context, owed.id).attempts] == ["snoozed", "succeeded"]
    assert len(attempt_rows(database)) == 1


@pytest.mark.parametrize("second", ["a", "b"])
def test_a_success_that_comes_when_the_lease_is_lost_has_a_row(context: Context, second: str) -> None:
    database = context.database
    owe_items(database, URL, 1, at=NOW)
    (owed,) = claim(database, worker="a").owed
    later = NOW + LEASE + SECOND
    assert take_back(database, later) == 1
    (again,) = claim(database, worker=second, now=later).owed
    answered(database, owed, Answer(200, text="late"), worker="a")
    # The same sender may hold it again: a success counts for any attempt.
    assert states(database) == ["delivered" if second == "a" else "sending"]
    answered(database, again, Answer(200, text="again"), worker=second)
    found = service.show(context, owed.id).attempts
    assert [(row["number"], row["answer"]) for row in found] == [(1, "late"), (2, "again")]
    assert deliveries(database)[0]["started_at"] is None


def test_bundles_and_manual_attempts_have_rows(context: Context) -> None:
    database = context.database
    configure(database, ORIGIN, coalesce_items=2, coalesce_ms=1)
    owe_items(database, URL, 2, at=NOW)
    (bundle,) = claim(database, worker="a", now=NOW + SECOND).owed
    answered(database, bundle, Answer(200, text="both"))
    assert [row["bundle_id"] for row in attempt_rows(database)] == [bundle.bundle_id]
    service.replay(context, 1)
    (alone,) = claim(database, worker="a", now=context.now()).owed
    answered(database, alone, Answer(200))
    assert [row["trigger"] for row in attempt_rows(database)] == [None, "manual"]
    assert [row["started_at"] for row in deliveries(database)] == [None, None]
    assert [row["number"] for row in service.show(context, 1).attempts] == [1, 2]
