"""Fresh items are released by range: no row of theirs changes until a worker claims them."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.batches import progress, throughput
from pipeline.batches.control import cancel, pause, resume
from pipeline.batches.reconcile import make_releasable
from pipeline.batches.replays.replay import replay
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, items, spans, unreleased
from pipeline.domain.item import ItemState, Stage
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.liveness import are_left_waiting, are_released, count_waiting
from pipeline.execution.rescue import hand_back, holders, rescue_lost, unsent
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.retention.prune import prune
from pipeline.settings import load
from tests.support.clock import START, Clock
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_postgresql


class Batch:
    """A batch, the messages that were published for it, and workers to claim them."""

    def __init__(self, context: Context, folder: Path, given: int | list[dict[str, Any]] = 5, **options: Any) -> None:
        self.context = context
        rows = make_items(given) if isinstance(given, int) else given
        definition = make_definition(folder)
        self.id = submit(context, rows, Submission(definition), **options).batch_id
        self.sent: list[TaskMessage] = []

    def dispatch(self, **options: Any) -> int:
        return Dispatcher(self.context, self.sent.extend, **options).dispatch().released

    def refs(self) -> list[Ref]:
        return [Ref(message.id, message.epoch) for message in self.sent]

    def claim(self, refs: list[Ref]) -> list[Row]:
        now = self.context.now()
        with self.context.database.write() as connection:
            until = now + self.context.lease
            return releases.claim(connection, Stage.CLASSIFY, refs, now=now, lease_until=until, worker="worker")

    def rows(self, *names: str) -> list[tuple[Any, ...]]:
        with self.context.database.read() as connection:
            query = select(*(items.c[name] for name in names)).order_by(items.c.id)
            return [tuple(row) for row in connection.execute(query)]

    def ranges(self) -> list[tuple[int, int]]:
        with self.context.database.read() as connection:
            return [tuple(row) for row in connection.execute(select(spans.c.first, spans.c.last))]

    def shown(self, position: int = 1) -> Row:
        found = progress.details(self.context, f"{self.id}-{position}")
        assert found is not None
        return found.item


@pytest.fixture
def batch(context: Context, tmp_path: Path) -> Batch:
    return Batch(context, tmp_path)


FRESH = ("pending", 0, None, None)


def test_a_release_changes_no_item_and_the_claim_writes_what_it_left(batch: Batch, clock: Clock) -> None:
    assert batch.dispatch() == 5
    assert batch.rows("state", "epoch", "due_at", "queued_at") == [FRESH] * 5
    assert [(message.epoch, message.stage, message.then) for message in batch.sent] == [
        (1, Stage.CLASSIFY, Stage.ENRICH)
    ] * 5
    clock.forward(1)
    assert {row["epoch"] for row in batch.claim(batch.refs()[:2])} == {1}
    assert (
        batch.rows("state", "epoch", "queued_at", "started_at")
        == [("running", 1, START, START + timedelta(seconds=1))] * 2 + [("pending", 0, None, None)] * 3
    )


def test_a_forged_message_of_an_item_that_is_not_released_claims_nothing(batch: Batch) -> None:
    assert batch.claim([Ref(POSITIONS_PER_BATCH + 1, 1)]) == []
    pause(batch.context, batch.id)
    batch.dispatch()
    assert batch.claim([Ref(POSITIONS_PER_BATCH + 1, 1)]) == []


def test_a_span_goes_when_nothing_of_it_is_unclaimed(batch: Batch) -> None:
    batch.dispatch()
    batch.claim(batch.refs()[:4])
    batch.dispatch()
    assert batch.ranges() == [(1, 5)]
    batch.claim(batch.refs()[4:])
    batch.dispatch()
    assert batch.ranges() == []


def test_what_is_shown_of_a_released_item_is_what_it_would_be_by_row(batch: Batch, clock: Clock) -> None:
    context = batch.context
    shown = progress.progress(context, batch.id)
    assert (shown.waiting, shown.in_flight, shown.running) == (5, 0, 0)
    assert batch.shown()["state"] == ItemState.PENDING
    assert count_waiting(context, batch.id, limit=100) == {"control": 5, "classify": 5}
    assert throughput.measure(context, batch.id).stands_still_since is None
    batch.dispatch()
    batch.claim(batch.refs()[:2])
    shown = progress.progress(context, batch.id)
    assert (shown.waiting, shown.in_flight, shown.running) == (0, 5, 2)
    item = batch.shown(3)
    assert (item["state"], item["epoch"], item["queued_at"]) == (ItemState.QUEUED, 1, START)
    assert item["lease_until"] == START + context.lease
    assert batch.shown(1)["state"] == ItemState.RUNNING
    assert count_waiting(context, batch.id, limit=100) == {"control": 0, "classify": 3}
    assert count_waiting(context, None, limit=100) == {"control": 0, "classify": 3}
    clock.forward(1_000)
    assert throughput.measure(context, batch.id).stands_still_since == START


def test_who_looks_after_workers_sees_unclaimed_items_of_spans(batch: Batch, clock: Clock) -> None:
    context = batch.context
    assert not are_released(context, ["classify"])
    batch.dispatch()
    assert are_released(context, ["classify"])
    assert not are_released(context, ["enrich"])
    assert not are_left_waiting(context, ["classify"])
    clock.forward(context.settings.lease_seconds * 0.6)
    assert are_left_waiting(context, ["classify"])
    batch.claim(batch.refs())
    assert not are_released(context, ["classify"])


def test_lost_messages_come_back_with_the_lease_of_their_span_and_the_old_ones_are_stale(
    batch: Batch, clock: Clock
) -> None:
    batch.dispatch()
    old = batch.refs()
    batch.claim(old[:1])
    clock.forward(batch.context.settings.lease_seconds - 1)
    assert rescue_lost(batch.context).taken_back == 0
    clock.forward(2)
    # One was running: its worker is counted as dead.
    assert rescue_lost(batch.context).taken_back == 5
    assert batch.ranges() == []
    assert batch.rows("state", "epoch", "queued_at", "crashes")[1:] == [("pending", 1, START, 0)] * 4
    assert batch.claim(old) == []
    batch.sent.clear()
    assert batch.dispatch() == 5
    assert batch.claim(old) == []
    assert {ref.epoch for ref in batch.refs()} == {2}
    assert len(batch.claim(batch.refs())) == 5


def test_what_cannot_be_published_is_released_again_at_once(batch: Batch) -> None:
    def refuse(_: Any) -> None:
        raise ConnectionError("no broker")

    with pytest.raises(ConnectionError):
        Dispatcher(batch.context, refuse).dispatch()
    assert batch.rows("state", "epoch", "queued_at") == [("pending", 1, START)] * 5
    assert batch.dispatch() == 5
    assert batch.ranges() == []


def test_a_worker_that_stops_gives_back_the_messages_it_has_not_claimed(batch: Batch) -> None:
    batch.dispatch()
    claimed = batch.claim(batch.refs()[:2])
    assert unsent(batch.context, batch.refs()) == 3
    assert [row[0] for row in batch.rows("state")] == ["running"] * len(claimed) + ["pending"] * 3
    old = batch.refs()
    batch.sent.clear()
    assert batch.dispatch() == 3
    assert batch.claim(old) == []


def test_spans_in_the_memory_of_a_process_end_with_it(batch: Batch) -> None:
    context = batch.context
    batch.dispatch(owns_messages=True)
    assert context.worker in holders(context)
    assert rescue_lost(context, ["another"]).taken_back == 0
    assert rescue_lost(context, [context.worker]).taken_back == 5
    batch.dispatch(owns_messages=True)
    assert hand_back(context) == 5


def test_a_process_that_stops_hands_back_only_its_own_spans(batch: Batch, tmp_path: Path) -> None:
    other = replace(batch.context, worker="other")
    Dispatcher(other, batch.sent.extend, owns_messages=True).dispatch()
    assert hand_back(batch.context) == 0
    assert hand_back(other) == 5
    assert batch.ranges() == []


def test_positions_of_refused_items_are_passed_over(context: Context, tmp_path: Path) -> None:
    given = [{"text": f"text {n}"} if n % 3 == 0 else {"wrong": n} for n in range(1, 1_001)]
    batch = Batch(context, tmp_path, given, on_reject=lambda _: None, all_or_none=False)
    dispatcher = Dispatcher(context, batch.sent.extend)
    released = 0
    while (number := dispatcher.dispatch().released) > 0:
        released += number
        assert len(batch.claim([Ref(each.id, each.epoch) for each in batch.sent[-number:]])) == number
    assert released == 333
    assert [message.id % POSITIONS_PER_BATCH for message in batch.sent] == list(range(3, 1_001, 3))
    assert count_waiting(context, batch.id, limit=1_000) == {"control": 0}


def test_a_paused_batch_has_nothing_in_the_broker_that_could_start(batch: Batch) -> None:
    batch.dispatch()
    running = batch.claim(batch.refs()[:1])
    pause(batch.context, batch.id)
    assert batch.claim(batch.refs()) == []
    shown = progress.progress(batch.context, batch.id)
    assert (shown.waiting, shown.in_flight, shown.running) == (4, 1, len(running))
    assert batch.dispatch() == 0
    resume(batch.context, batch.id)
    old = batch.refs()
    batch.sent.clear()
    assert batch.dispatch() == 4
    assert batch.claim(old) == []
    # Now by row: they are recalled as well.
    pause(batch.context, batch.id)
    assert batch.claim(batch.refs()) == []
    resume(batch.context, batch.id)
    batch.sent.clear()
    assert batch.dispatch() == 4
    assert len(batch.claim(batch.refs())) == 4


def test_a_pause_leaves_other_batches_alone(batch: Batch, tmp_path: Path) -> None:
    other = Batch(batch.context, tmp_path, 3)
    batch.dispatch()
    pause(batch.context, other.id)
    assert len(batch.claim(batch.refs())) == 5
    assert batch.ranges() == [(1, 5)]


def test_a_cancelled_batch_releases_its_replayed_items_once(context: Context, tmp_path: Path) -> None:
    batch = Batch(context, tmp_path, 400)
    released = batch.dispatch()
    assert 0 < released < 400
    assert cancel(context, batch.id) == 400
    old = batch.refs()
    assert replay(context, batch.id, ItemState.CANCELLED) == 400
    assert batch.rows("queued_at").count((START,)) == released
    batch.sent.clear()
    dispatcher = Dispatcher(context, batch.sent.extend)
    while dispatcher.dispatch().released:
        # Nothing new is released by range, and what was sent before the cancellation is stale.
        assert batch.ranges() == []
        assert batch.claim(old) == []
        batch.claim(batch.refs())
    assert sorted(message.id for message in batch.sent) == [POSITIONS_PER_BATCH + n for n in range(1, 401)]


@pytest.mark.parametrize("stop", [pause, cancel])
def test_a_round_that_has_not_seen_the_pause_publishes_nothing_after_it(
    stop: Any, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = Dispatcher(batch.context, batch.sent.extend)
    original = dispatcher._without_recalled

    def stop_first(messages: Any) -> Any:
        # Between the commit of the round and its publishing.
        stop(batch.context, batch.id)
        return original(messages)

    monkeypatch.setattr(dispatcher, "_without_recalled", stop_first)
    assert dispatcher.dispatch().released == 0
    assert batch.sent == []


@on_postgresql  # SQLite has one writer at a time
def test_what_a_pause_does_not_see_of_a_round_is_taken_back_by_the_round(batch: Batch) -> None:
    dispatcher = Dispatcher(batch.context, batch.sent.extend)
    reached, paused = threading.Event(), threading.Event()
    original = dispatcher._release_suspects

    def wait_for_pause(*arguments: Any) -> Any:
        reached.set()
        assert paused.wait(20)
        return original(*arguments)

    vars(dispatcher)["_release_suspects"] = wait_for_pause
    released: list[int] = []
    round_ = threading.Thread(target=lambda: released.append(dispatcher.dispatch().released))
    round_.start()
    assert reached.wait(20)
    pause(batch.context, batch.id)
    paused.set()
    round_.join()
    assert (released, batch.sent) == ([0], [])
    resume(batch.context, batch.id)
    assert batch.dispatch() == 5
    assert len(batch.claim(batch.refs())) == 5


@on_postgresql  # SQLite has one writer at a time
def test_an_item_that_is_being_claimed_stays_in_its_span_until_that_is_decided(batch: Batch, clock: Clock) -> None:
    context = batch.context
    batch.dispatch()
    clock.forward(context.settings.lease_seconds + 1)
    until = context.now() + context.lease
    with context.database.engine.connect() as connection:
        releases.claim(connection, "classify", batch.refs()[:1], now=context.now(), lease_until=until, worker="worker")
        assert rescue_lost(context).taken_back == 4
        assert batch.ranges() == [(1, 5)]
        # The claim comes to nothing.
        connection.rollback()
    assert rescue_lost(context).taken_back == 1
    assert batch.ranges() == []


@on_postgresql  # The other database has the clock of its only machine
def test_the_lease_of_a_span_is_told_by_the_clock_of_the_server(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AnyInstant(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, datetime)

    class Ahead(metaclass=AnyInstant):
        @staticmethod
        def now(tz: Any = None) -> datetime:
            return datetime.now(tz) + timedelta(minutes=5)

    monkeypatch.setattr("pipeline.database.clock.datetime", Ahead)
    monkeypatch.setattr("pipeline.context.datetime", Ahead)
    wrong = make_context(load(database_url=database_url))
    batch = Batch(wrong, tmp_path)
    batch.dispatch()
    with wrong.database.read() as connection:
        ahead = connection.exec_driver_sql("SELECT lease_until - clock_timestamp() FROM spans").scalar_one()
    assert timedelta() < ahead <= wrong.lease
    wrong.database.close()


def test_a_batch_that_an_older_program_accepts_after_the_migration_is_released(batch: Batch) -> None:
    with batch.context.database.write() as connection:
        connection.execute(batches.update().values(last_position=None))
        connection.execute(unreleased.delete())
    assert batch.dispatch() == 0
    assert make_releasable(batch.context) == 1
    assert make_releasable(batch.context) == 0
    assert batch.dispatch() == 5


def test_the_rest_of_a_batch_that_an_older_program_has_begun_is_released(batch: Batch) -> None:
    with batch.context.database.write() as connection:
        connection.execute(batches.update().values(last_position=None, next_seq=2, succeeded=1))
        connection.execute(unreleased.delete())
        done = items.update().where(items.c.position == 1)
        connection.execute(done.values(state="succeeded", epoch=1, finished_at=START))
    assert make_releasable(batch.context) == 1
    assert batch.dispatch() == 4
    assert len(batch.claim(batch.refs())) == 4


def test_a_batch_of_before_that_is_replayed_has_nothing_fresh(batch: Batch) -> None:
    with batch.context.database.write() as connection:
        connection.execute(batches.update().values(last_position=None, next_seq=7))
        connection.execute(unreleased.delete())
        connection.execute(items.update().values(epoch=2, due_at=START))
    assert make_releasable(batch.context) == 0
    assert batch.dispatch() == 5
    assert {message.epoch for message in batch.sent} == {3}
    assert batch.ranges() == []


def test_nothing_is_left_of_the_ranges_of_a_pruned_batch(batch: Batch, clock: Clock) -> None:
    batch.dispatch()
    with batch.context.database.write() as connection:
        connection.execute(batches.update().values(state="completed", completed_at=START))
    clock.forward(60)
    assert prune(batch.context, batch.context.now()).batches == 1
    assert batch.ranges() == []
