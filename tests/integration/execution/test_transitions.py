"""Races: whoever comes second changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.batches.reconcile import reconcile
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import batches, items
from pipeline.domain.item import Classification, Enrichment, Stage
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.execution.dispatch import Dispatcher, TaskMessage
from pipeline.execution.disposition import DispositionKind
from pipeline.execution.record import Done, enrichment_json, record
from pipeline.execution.rescue import hand_back, renew, rescue_lost
from pipeline.execution.rules.crash_suspects import MAX_TOGETHER
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from tests.support.clock import Clock
from tests.support.factories import make_definition, make_items
from tests.support.invariants import assert_complete


class Engine:
    """The statements of a worker, one at a time."""

    def __init__(self, context: Context, folder: Path, number: int) -> None:
        self.context = context
        self.definition = make_definition(folder, retry={"base_seconds": 1, "cap_seconds": 1, "max_attempts": 2})
        self.batch_id = submit(context, make_items(number), Submission(self.definition)).batch_id
        self.messages: list[TaskMessage] = []

    def dispatch(self, publish: Callable[[list[TaskMessage]], None] | None = None) -> int:
        dispatcher = Dispatcher(self.context, publish or self.messages.extend)
        return dispatcher.dispatch().released

    def refs(self) -> list[Ref]:
        return [Ref(message.id, message.epoch) for message in self.messages]

    def claim(self, stage: Stage, refs: list[Ref]) -> list[Row]:
        now = self.context.now()
        with self.context.database.write() as connection:
            return releases.claim(
                connection,
                stage,
                refs,
                now=now,
                lease_until=now + self.context.lease,
                worker=self.context.worker,
            )

    def claim_next(self) -> list[Row]:
        """Dispatch, and claim what that releases."""
        self.messages.clear()
        self.dispatch()
        return self.claim(Stage.CLASSIFY, self.refs())

    def rows(self) -> list[Row]:
        with self.context.database.read() as connection:
            return [dict(row) for row in connection.execute(select(items).order_by(items.c.id)).mappings()]

    def is_complete(self) -> bool:
        return not {"pending", "queued", "running"} & set(self.states())

    def record(self, stage: Stage, rows: list[Row], outcome: Outcome) -> dict[int, DispositionKind]:
        now = self.context.now()
        done = [Done(row, stage, self.definition, outcome, now, now, "b", enrichment_json(outcome)) for row in rows]
        with self.context.database.write() as connection:
            dispositions = record(
                connection,
                done,
                now=self.context.now(),
                lease=self.context.lease,
                worker=self.context.worker,
                hooks=self.context.hooks,
            )
        return {id_: each.kind for id_, each in dispositions.items()}

    def states(self) -> list[str]:
        with self.context.database.read() as connection:
            return list(connection.scalars(select(items.c.state).order_by(items.c.id)))

    def run_to_the_end(self) -> None:
        for row in self.claim(Stage.CLASSIFY, self.refs()):
            self.record(Stage.CLASSIFY, [row], LABEL)
        self.record(Stage.ENRICH, self.claim(Stage.ENRICH, self.refs()), ANSWER)


LABEL = Classification("x", 0.5)
ANSWER = Enrichment({})
BROKEN = Failure(FailureKind.TRANSIENT, "Broken", "broken")


@pytest.fixture
def engine(context: Context, tmp_path: Path) -> Engine:
    return Engine(context, tmp_path, 5)


def test_a_message_that_comes_twice_is_claimed_once(engine: Engine) -> None:
    assert engine.dispatch() == 5
    assert len(engine.claim(Stage.CLASSIFY, engine.refs())) == 5
    assert engine.claim(Stage.CLASSIFY, engine.refs()) == []


def test_a_message_of_another_stage_or_epoch_claims_nothing(engine: Engine) -> None:
    engine.dispatch()
    assert engine.claim(Stage.ENRICH, engine.refs()) == []
    assert engine.claim(Stage.CLASSIFY, [Ref(ref.id, ref.epoch + 1) for ref in engine.refs()]) == []


def test_recording_twice_changes_nothing_the_second_time(engine: Engine, context: Context) -> None:
    engine.dispatch()
    rows = engine.claim(Stage.CLASSIFY, engine.refs())
    assert set(engine.record(Stage.CLASSIFY, rows, LABEL).values()) == {DispositionKind.ADVANCED}
    recorded = engine.rows()
    # As after a commit whose answer was lost: nobody has published what follows.
    assert set(engine.record(Stage.CLASSIFY, rows, LABEL).values()) == {DispositionKind.ADVANCED}
    assert engine.rows() == recorded
    enriching = engine.claim(Stage.ENRICH, engine.refs())
    assert set(engine.record(Stage.ENRICH, enriching, ANSWER).values()) == {DispositionKind.SUCCEEDED}
    assert set(engine.record(Stage.ENRICH, enriching, ANSWER).values()) == {DispositionKind.STALE}
    assert assert_complete(context.database, engine.batch_id, 5) == {"succeeded": 5}


def test_a_worker_that_comes_back_after_its_lease_records_nothing(
    engine: Engine, context: Context, clock: Clock
) -> None:
    engine.dispatch()
    late = engine.claim(Stage.CLASSIFY, engine.refs())
    clock.forward(31)
    assert rescue_lost(context).taken_back == 5
    assert set(engine.record(Stage.CLASSIFY, late, LABEL).values()) == {DispositionKind.STALE}
    engine.messages.clear()
    assert engine.dispatch() == 5
    # Released again: whoever held the item before has an old epoch.
    assert set(engine.record(Stage.CLASSIFY, late, LABEL).values()) == {DispositionKind.STALE}


def test_a_lease_that_is_renewed_is_not_taken_back(engine: Engine, context: Context, clock: Clock) -> None:
    engine.dispatch()
    engine.claim(Stage.CLASSIFY, engine.refs())
    for _ in range(5):
        clock.forward(20)
        assert renew(context, engine.refs()) == 5
        assert rescue_lost(context).taken_back == 0


def test_messages_that_are_lost_between_commit_and_publish_are_sent_again(
    engine: Engine, context: Context, clock: Clock
) -> None:
    def broken(_: list[TaskMessage]) -> None:
        raise ConnectionError("no broker")

    def silent(_: list[TaskMessage]) -> None:
        """Take messages and lose them."""

    with pytest.raises(ConnectionError):
        engine.dispatch(broken)
    # What is known to be unpublished waits for no lease; what is not known to be lost does.
    assert engine.states() == ["pending"] * 5
    assert engine.dispatch(silent) == 5
    assert engine.dispatch() == 0
    clock.forward(31)
    assert rescue_lost(context).taken_back == 5
    assert engine.dispatch() == 5
    engine.run_to_the_end()
    assert assert_complete(context.database, engine.batch_id, 5) == {"succeeded": 5}


def test_suspects_run_in_company_and_then_alone_until_the_killer_is_found(
    engine: Engine, context: Context, clock: Clock
) -> None:
    for _ in range(2):
        # All that ran are suspects once, then those that ran in company with the killer.
        rows = engine.claim_next()
        assert len(rows) == 5
        clock.forward(31)
        assert rescue_lost(context).taken_back == 5
    killer = rows[0]["id"]
    ends = []
    while not engine.is_complete():
        (row,) = engine.claim_next()
        assert engine.dispatch() == 0, "another one runs beside a suspect that is to be alone"
        if row["id"] != killer:
            engine.record(Stage.CLASSIFY, [row], LABEL)
            # A stage that succeeded has cleared it of suspicion.
            engine.record(Stage.ENRICH, engine.claim(Stage.ENRICH, engine.refs()), ANSWER)
            continue
        clock.forward(31)
        ends.append(rescue_lost(context).given_up)
    assert ends == [0, 1]
    assert assert_complete(context.database, engine.batch_id, 5) == {"succeeded": 4, "dead": 1}


def test_suspects_do_not_hold_up_their_batch(context: Context, clock: Clock, tmp_path: Path) -> None:
    engine = Engine(context, tmp_path, 300)
    assert len(engine.claim_next()) == 256
    clock.forward(31)
    assert rescue_lost(context).taken_back == 256
    assert engine.dispatch() == MAX_TOGETHER + 44
    assert engine.dispatch() == 0


def test_an_item_that_fails_is_no_suspect(engine: Engine, context: Context, clock: Clock) -> None:
    engine.claim_next()
    clock.forward(31)
    rescue_lost(context)
    engine.record(Stage.CLASSIFY, engine.claim_next(), BROKEN)
    with context.database.read() as connection:
        assert set(connection.scalars(select(items.c.crashes))) == {0}


def test_a_stop_in_good_order_counts_neither_attempt_nor_crash(engine: Engine, context: Context) -> None:
    engine.dispatch()
    engine.claim(Stage.CLASSIFY, engine.refs())
    assert hand_back(context) == 5
    engine.messages.clear()
    engine.dispatch()
    assert [row["attempt"] for row in engine.claim(Stage.CLASSIFY, engine.refs())] == [1] * 5


def test_a_retry_is_due_when_its_backoff_is_over_and_not_before(engine: Engine, clock: Clock) -> None:
    engine.dispatch()
    engine.record(Stage.CLASSIFY, engine.claim(Stage.CLASSIFY, engine.refs()), BROKEN)
    assert engine.states() == ["pending"] * 5
    clock.forward(1)
    assert engine.dispatch() == 5


def test_attempts_end_dead_with_their_history(engine: Engine, context: Context, clock: Clock) -> None:
    for _ in range(2):
        engine.messages.clear()
        engine.dispatch()
        engine.record(Stage.CLASSIFY, engine.claim(Stage.CLASSIFY, engine.refs()), BROKEN)
        clock.forward(1)
    assert assert_complete(context.database, engine.batch_id, 5) == {"dead": 5}
    with context.database.read() as connection:
        outcomes = connection.exec_driver_sql(
            "SELECT number, outcome, count(*) FROM attempts GROUP BY 1, 2 ORDER BY 1"
        ).all()
    assert outcomes == [(1, "retry", 5), (2, "dead", 5)]


def test_one_dispatcher_works_at_a_time(engine: Engine, context: Context, clock: Clock) -> None:
    other = replace(context, worker="other")
    assert engine.dispatch() == 5
    assert Dispatcher(other, engine.messages.extend).dispatch().is_holder is False
    clock.forward(31)
    assert Dispatcher(other, engine.messages.extend).dispatch().is_holder is True


def test_no_more_is_in_flight_than_the_window_allows(context: Context, tmp_path: Path) -> None:
    engine = Engine(context, tmp_path, 20_000)
    dispatcher = Dispatcher(context, engine.messages.extend)
    while dispatcher.dispatch().released:
        pass
    assert len(engine.messages) == dispatcher.window < 20_000


def test_counters_that_drifted_are_made_to_agree_with_the_rows(engine: Engine, context: Context) -> None:
    engine.dispatch()
    engine.run_to_the_end()
    with context.database.write() as connection:
        connection.execute(batches.update().values(succeeded=3, dead=1))
    row_id = engine.messages[0].id // 2**32
    assert reconcile(context, row_id) == {"succeeded": (3, 5), "dead": (1, 0)}
    assert reconcile(context, row_id) == {}
    assert assert_complete(context.database, engine.batch_id, 5) == {"succeeded": 5}
