"""Batches that completed long ago go as a whole, and nothing that is still to be sent goes with them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update

import pipeline
from pipeline.batches import progress, results
from pipeline.batches.control import cancel
from pipeline.batches.replays.replay import replay_dead
from pipeline.batches.sql import batches, definitions
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database import tables, totals
from pipeline.database.engine import Database
from pipeline.database.locks import lock_against_prune
from pipeline.delivery import deliveries as service
from pipeline.delivery import delivery_search
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.rules.notice import Notice, NoticeType
from pipeline.delivery.sql import notices
from pipeline.domain.item import ItemState
from pipeline.errors import InvalidInput, NotFound
from pipeline.retention import prune as module
from pipeline.retention.prune import prunable, prune
from pipeline.settings import load
from tests.support.factories import client_context, make_definition, make_items
from tests.support.receivers.configured import NOW
from tests.support.receivers.old import DAY, ORIGIN, bundle, change, end_batch, ids, number_of
from tests.support.receivers.owed import deliveries
from tests.support.servers.fixtures import on_postgresql
from tests.support.servers.worker import wait_for
from workers.engine.sweeps import Sweeps

#: What is older may go.
BEFORE = NOW - 30 * DAY


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = replace(make_context(load(database_url=database_url)), now=lambda: NOW)
    yield context
    context.database.close()


@pytest.fixture
def database(context: Context) -> Database:
    return context.database


def test_a_batch_goes_with_everything_that_hangs_on_it_and_younger_ones_stay(context: Context) -> None:
    end_batch(context.database, 2, days=20)
    younger = number_of(context.database)
    end_batch(context.database, 1)
    bundle(context.database, 9, [1])
    would = prunable(context, BEFORE)
    done = prune(context, BEFORE)
    assert done == would
    assert (done.batches, done.items, done.deliveries, done.kept) == (1, 3, 3, 0)
    assert number_of(context.database) == younger
    assert ids(context.database) == [2]
    assert prune(context, BEFORE).is_nothing


@pytest.mark.parametrize("state", ["pending", "sending", "paused"])
def test_a_batch_is_kept_while_one_of_its_callbacks_is_to_be_sent(context: Context, state: str) -> None:
    end_batch(context.database, 1)
    change(context.database, 1, state=state)
    before = number_of(context.database)
    for done in (prunable(context, BEFORE), prune(context, BEFORE)):
        assert (done.batches, done.kept, done.waits_for) == (0, 1, {ORIGIN: 1})
    assert number_of(context.database) == before
    change(context.database, 1, state="dead")
    assert prune(context, BEFORE).batches == 1


def test_batches_that_run_or_completed_again_are_kept(context: Context) -> None:
    for batch_id in (1, 2, 3):
        end_batch(context.database, batch_id)
    with context.database.write() as connection:
        batches.reopen(connection, 1, 0, ItemState.DEAD)
        again = update(tables.batches).where(tables.batches.c.id == 2).values(completed_at=NOW - DAY)
        connection.execute(again)
        connection.execute(update(tables.batches).where(tables.batches.c.id == 3).values(state="cancelled"))
    assert prune(context, BEFORE).batches == 1
    assert ids(context.database) == [1, 2]


def test_a_batch_is_kept_while_a_bundle_with_others_is_to_be_sent(context: Context) -> None:
    for batch_id in (1, 2):
        end_batch(context.database, batch_id)
    bundle(context.database, 9, [1, 2])
    change(context.database, 2, state="paused")
    done = prune(context, BEFORE)
    assert (done.batches, done.kept, done.waits_for) == (0, 2, {ORIGIN: 2})
    # One that is sent alone is made of nothing but itself.
    change(context.database, 2, is_alone=True)
    assert prune(context, BEFORE).batches == 1
    assert ids(context.database) == [2]


def test_those_that_travelled_with_a_batch_that_is_gone_are_sent_again_alone(context: Context) -> None:
    end_batch(context.database, 1)
    end_batch(context.database, 2, days=20, state="dead")
    bundle(context.database, 9, [1, 2])
    prune(context, BEFORE)
    assert number_of(context.database)["bundles"] == 1
    assert service.recover(context) == 3
    left = deliveries(context.database)
    assert [(row["batch_id"], row["bundle_id"], row["is_alone"]) for row in left] == [(2, 9, True)] * 3
    change(context.database, 2, state="dead")
    with context.database.write() as connection:
        connection.execute(update(tables.deliveries).values(state="dead"))
    prune(context, NOW - DAY)
    assert set(number_of(context.database)) <= {"definitions"}


def stopping_after(steps: int) -> Callable[[], bool]:
    """Return what says stop after so many transactions."""
    left = [steps]

    def is_stopped() -> bool:
        left[0] -= 1
        return left[0] < 0

    return is_stopped


def test_a_run_that_ends_in_the_middle_shows_no_part_of_a_batch_and_the_next_goes_on(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPAN", 4)
    end_batch(context.database, 1, count=30, state="dead")
    end_batch(context.database, 2, days=20)
    first = prune(context, BEFORE, is_stopped=stopping_after(3))
    assert (first.batches, 0 < first.items < 30) == (1, True)
    left = number_of(context.database)
    assert (left["items"], left["events"], left["pruned"]) == (33 - first.items, 33 - first.items, 1)
    _assert_gone(context, 1)
    second = prune(context, BEFORE)
    assert (second.batches, first.items + second.items, first.deliveries + second.deliveries) == (0, 30, 30)
    assert number_of(context.database) == {
        "definitions": 1, "batches": 1, "items": 3, "events": 3, "deliveries": 3, "attempts": 4
    }  # fmt: skip


def _assert_gone(context: Context, batch_id: int) -> None:
    name = f"{batch_id:016d}"
    assert [each.batch_id for each in progress.recent(context)] == ["0000000000000002"]
    for look in (progress.progress, progress.labels, service.counts, replay_dead):
        with pytest.raises(NotFound, match="there is no batch"):
            look(context, name)
    for read in (progress.is_complete, lambda context, row: results.page(context, row, 0)):
        with pytest.raises(NotFound, match="pruned"):
            read(context, batch_id)
    assert service.recover(context) == 0
    assert {row["public_id"] for row in delivery_search.newest(context, Wanted(), limit=100)} == {"0000000000000002"}


def test_a_new_batch_takes_nothing_over_from_one_of_which_something_is_left(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPAN", 4)
    definition = make_definition(tmp_path)
    with pipeline.connect(database_url=database_url) as client:
        old = client.submit(make_items(30), definition, idempotency_key="k")
        old.wait(60)
        done = prune(client_context(client), client_context(client).now(), is_stopped=stopping_after(3))
        assert (done.batches, done.items < 30) == (1, True)
        new = client.submit(make_items(30), definition, idempotency_key="k")
        assert (new.is_new, new._row_id != old._row_id) == (True, True)
        assert len(list(new.results(follow=True))) == 30
        with pytest.raises(NotFound):
            old.wait(10)


def test_several_at_once_share_the_work_and_leave_nothing(context: Context) -> None:
    for batch_id in range(1, 31):
        end_batch(context.database, batch_id)
    for number in range(1, 30, 2):
        bundle(context.database, number, [number, number + 1])
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: prune(context, BEFORE), range(4)))
    assert sum(run.batches for run in runs) == 30
    assert sum(run.items for run in runs) == 90
    with context.database.read() as connection:
        assert totals.read(connection) == {totals.SUBMITTED_ITEMS: 90, totals.EVENTS: 90}
    # The definition is of the instant of its first batch.
    assert number_of(context.database) == {}


@on_postgresql
def test_what_is_just_being_sent_again_is_passed_over(context: Context) -> None:
    end_batch(context.database, 1, state="dead")
    end_batch(context.database, 2)
    with context.database.write() as connection:
        assert lock_against_prune(connection, [1, 7]) == [1]
        assert prune(context, BEFORE).batches == 1
    assert ids(context.database) == [1]
    service.replay(context, 1)
    assert prune(context, BEFORE).kept == 1


def test_callbacks_sent_again_meanwhile_go_with_their_batch_or_keep_it(context: Context) -> None:
    for batch_id in range(1, 41):
        end_batch(context.database, batch_id, state="dead")
    for number in range(1, 40, 2):
        bundle(context.database, number, [number, number + 1])
    ended = threading.Event()

    def recover() -> int:
        # From the last on, so that both meet.
        return sum(service.recover(context, batch=f"{batch:016d}") for batch in _there(context) if not ended.is_set())

    with ThreadPoolExecutor(2) as pool:
        recovered = pool.submit(recover)
        done = prune(context, BEFORE)
        ended.set()
        recovered.result()
    kept = ids(context.database)
    left = deliveries(context.database)
    assert len(kept) + done.batches == 40
    assert {row["batch_id"] for row in left} == set(kept)
    # A bundle that is to be sent has all that it ever had.
    waiting = {row["bundle_id"] for row in left if row["state"] == "pending" and not row["is_alone"]}
    members = Counter(row["bundle_id"] for row in left)
    assert {members[bundle_id] for bundle_id in waiting} <= {6}


def _there(context: Context) -> Iterator[int]:
    for batch_id in range(40, 0, -1):
        if batch_id in ids(context.database):
            yield batch_id


def test_definitions_and_notices_go_where_nothing_needs_them(context: Context) -> None:
    end_batch(context.database, 1)
    end_batch(context.database, 2, days=20)
    with context.database.write() as connection:
        _definition(connection, "old", NOW - 40 * DAY)
        _definition(connection, "young", NOW - DAY)
        at = [NOW - 40 * DAY, NOW - 40 * DAY, NOW - DAY]
        notices.add(connection, [Notice(ORIGIN, NoticeType.FAILING, when) for when in at])
    done = prune(context, BEFORE)
    assert (done.definitions, done.notices) == (1, 2)
    with context.database.read() as connection:
        assert set(connection.scalars(select(tables.definitions.c.version))) == {"v", "young"}


def _definition(connection: object, version: str, at: datetime) -> int:
    return definitions.store(connection, name="d", version=version, content={}, stages="classify", now=at)  # type: ignore[arg-type]


@on_postgresql
def test_a_definition_that_a_submission_is_about_to_use_stays(context: Context) -> None:
    with context.database.write() as connection:
        _definition(connection, "old", NOW - 40 * DAY)
    with context.database.write() as connection:
        found = _definition(connection, "old", NOW)
        assert prune(context, BEFORE).definitions == 0
        row = {"public_id": "b", "definition_id": found, "state": "accepting", "total": 0, "fair_key": ""}
        connection.execute(insert(tables.batches).values(**row, created_at=NOW))
    assert prune(context, BEFORE).definitions == 0


def test_submissions_and_prunes_of_one_definition_do_not_fail(database_url: str, tmp_path: Path) -> None:
    submission = Submission(make_definition(tmp_path))
    context = make_context(load(database_url=database_url))
    ended = threading.Event()

    def submit_some() -> None:
        for _ in range(20):
            cancel(context, submit(context, make_items(1), submission).batch_id)

    def repeat() -> int:
        gone = 0
        while not ended.is_set():
            gone += prune(context, context.now()).batches
        return gone

    with ThreadPoolExecutor(4) as pool:
        pruning = [pool.submit(repeat) for _ in range(2)]
        submitting = [pool.submit(submit_some) for _ in range(2)]
        try:
            for each in submitting:
                each.result()
        finally:
            ended.set()
        gone = sum(each.result() for each in pruning)
    # The last step of a cancel may find its batch gone, which ended then.
    assert gone + prune(context, context.now()).batches == 40
    context.database.close()


def test_an_instant_without_a_zone_is_refused(context: Context) -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        prune(context, BEFORE.replace(tzinfo=None))


@pytest.mark.parametrize(("settings", "goes"), [({"retention_days": 30}, True), ({}, False)])
def test_a_control_worker_prunes_by_itself_what_is_older_than_the_retention(
    context: Context, settings: dict[str, float], goes: bool
) -> None:
    end_batch(context.database, 1)
    url = context.database.url.render_as_string(hide_password=False)
    chosen = load(database_url=url, broker_url="redis://127.0.0.1:1/0", **settings)
    sweeps = Sweeps(replace(context, settings=chosen), keep=lambda: None, rescued=lambda: None)
    sweeps.start()
    try:
        if goes:
            wait_for(lambda: not ids(context.database))
    finally:
        sweeps.stop()
    assert ids(context.database) == ([] if goes else [1])


def test_an_embedded_run_prunes_nothing(context: Context, database_url: str, tmp_path: Path) -> None:
    end_batch(context.database, 1_000)
    with pipeline.connect(database_url=database_url, retention_days=1) as client:
        client.submit(make_items(3), make_definition(tmp_path)).wait(60)
    assert 1_000 in ids(context.database)
