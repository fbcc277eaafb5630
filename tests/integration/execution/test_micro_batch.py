"""The steps of a micro-batch, on real databases: claim, run, record, publish the next stage, acknowledge."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from pipeline.database.engine import Database
from pipeline.database.tables import items
from pipeline.domain.item import Stage
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.micro_batch import MicroBatch
from pipeline.execution.sql.releases import Ref
from tests.support.factories import make_definition
from tests.support.micro_batch import Steps, ids, make_context, refuse, release_all, rename, runtime, states
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.worker import wait_for

ADVANCED = Disposition(DispositionKind.ADVANCED)
SUCCEEDED = Disposition(DispositionKind.SUCCEEDED)
STALE = Disposition(DispositionKind.STALE)
LOST = Disposition(DispositionKind.LOST)
HANDED_BACK = Disposition(DispositionKind.HANDED_BACK)

BY_TEXT = """
from pipeline import Permanent

async def classify(item):
    if item.text == "fails":
        raise RuntimeError("broken")
    if item.text == "dies":
        raise Permanent("never")
    return item.text

async def enrich(item):
    return {}
"""

SLOW = """
import asyncio, pathlib

async def classify(item):
    while item.text == "slow" and not pathlib.Path(item.payload["gate"]).exists():
        await asyncio.sleep(0.01)
    return item.text

async def enrich(item):
    return {}
"""


def test_a_claim_takes_the_released_items_and_nothing_else_happens(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        rows = MicroBatch(running, Stage.CLASSIFY, refs[1:], steps).claim(refs[1:])
        assert [(row["id"], row["attempt"]) for row in sorted(rows, key=lambda row: row["id"])] == [
            (ref.id, 1) for ref in refs[1:]
        ]
        assert set(running.under_way()) == set(refs[1:])
        assert states(database) == {ref.id: ("queued" if ref is refs[0] else "running", "classify") for ref in refs}
        assert steps.taken == []


def test_an_item_is_stored_then_published_then_acknowledged(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
        for ref in refs:
            assert steps.of(ref.id) == [("publish", "queued", "enrich"), ("acknowledge", "queued", "enrich")]
        assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED)
        assert running.under_way() == []


def test_nothing_is_published_after_the_last_stage(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path, enrich=False)), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
        for ref in refs:
            assert steps.of(ref.id) == [("acknowledge", "succeeded", "classify")]
    assert steps.dispositions == dict.fromkeys(ids(refs), SUCCEEDED)


def test_a_message_of_another_release_is_dropped_before_anything_runs(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        late = Ref(refs[0].id, refs[0].epoch - 1)
        given = [late, *refs[1:]]
        batch = MicroBatch(running, Stage.CLASSIFY, given, steps)
        rows = batch.claim(given)
        batch.drop_stale(given)
        assert steps.dispositions == {late.id: STALE}
        batch.run(rows)
        wait_for(lambda: len(steps.dispositions) == len(refs))
        assert states(database)[late.id] == ("queued", "classify")
    assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED) | {late.id: STALE}


def test_of_two_releases_of_an_item_the_newer_one_runs(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        late = Ref(refs[0].id, refs[0].epoch - 1)
        MicroBatch(running, Stage.CLASSIFY, [*refs, late], steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
    # The item is stale by one of its messages, and is not reported so: it advanced.
    assert Counter(id_ for step, id_, *_ in steps.taken if step == "acknowledge") == Counter(ids(refs))
    assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED)


def test_a_slow_item_holds_up_no_other(database: Database, tmp_path: Path) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    given = [{"text": "slow" if number == 1 else "quick", "gate": str(gate)} for number in range(4)]
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path, SLOW), given), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs) - 1)
        assert running.under_way() == [refs[1]]
        assert refs[1].id not in steps.dispositions
        gate.touch()
        wait_for(lambda: len(steps.dispositions) == len(refs))
        assert running.under_way() == []
    assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED)


def test_a_failure_is_that_items_own(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        given = [{"text": "fine"}, {"text": "fails"}, {"text": "dies"}]
        refs, steps = release_all(context, make_definition(tmp_path, BY_TEXT), given), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
    put_off = Disposition(DispositionKind.PUT_OFF, "RuntimeError")
    dead = Disposition(DispositionKind.DEAD, "Permanent")
    assert steps.dispositions == dict(zip(ids(refs), [ADVANCED, put_off, dead], strict=True))
    assert [state for state, _ in states(database).values()] == ["queued", "pending", "dead"]


def test_a_definition_that_cannot_be_run_here_fails_its_items_for_now(database: Database, tmp_path: Path) -> None:
    # On workers elsewhere, modules need not be where a batch is submitted.
    context = make_context(database, broker_url="redis://127.0.0.1:1/0")
    definition = make_definition(tmp_path, classify={"use": "nowhere_to_be_found:classify"})
    with runtime(context) as running:
        refs, steps = release_all(context, definition), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
    assert {each.kind for each in steps.dispositions.values()} == {DispositionKind.PUT_OFF}
    assert {each.error for each in steps.dispositions.values()} == {"InvalidDefinition"}


@on_sqlite
def test_of_results_recorded_together_only_the_one_that_cannot_be_stored_fails(
    database: Database, tmp_path: Path
) -> None:
    context = make_context(database)
    refuse(database, "NEW.label = 'refused'")
    with runtime(context) as running:
        given = [{"text": "fine"}, {"text": "refused"}, {"text": "fine"}]
        refs, steps = release_all(context, make_definition(tmp_path, BY_TEXT), given), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
    unstorable = Disposition(DispositionKind.DEAD, "unstorable")
    assert steps.dispositions == dict(zip(ids(refs), [ADVANCED, unstorable, ADVANCED], strict=True))


@on_sqlite
def test_items_that_cannot_be_recorded_at_all_are_left_to_their_leases(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    refuse(database, "OLD.state = 'running'")
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
        assert running.under_way() == []
    assert steps.dispositions == dict.fromkeys(ids(refs), LOST)
    assert {state for state, _ in states(database).values()} == {"running"}


def test_messages_that_cannot_be_acknowledged_hold_up_no_other_micro_batch(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Steps):
        def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
            raise OSError("the connection is gone")

    context = make_context(database)
    with runtime(context) as running:
        refs = release_all(context, make_definition(tmp_path))
        broken, steps = Broken(database), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs[:2], broken).process()
        MicroBatch(running, Stage.CLASSIFY, refs[2:], steps).process()
        wait_for(lambda: steps.dispositions)
        wait_for(lambda: not running.under_way())
    assert {state for state, _ in states(database).values()} == {"queued"}, "what is recorded stays recorded"
    assert any(message.startswith("settle_failed") for message in caplog.messages)


def test_items_whose_batch_cannot_be_read_are_left_to_their_leases(database: Database, tmp_path: Path) -> None:
    context = make_context(database, lease_seconds=1)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        rename(context, "batches", "away")
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        assert steps.dispositions == dict.fromkeys(ids(refs), LOST)
        assert running.under_way() == []


@on_sqlite
def test_a_batch_that_cannot_be_read_for_a_moment_is_waited_for(database: Database, tmp_path: Path) -> None:
    context = make_context(database, lease_seconds=60)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        rename(context, "batches", "away")
        run = threading.Thread(target=MicroBatch(running, Stage.CLASSIFY, refs, steps).process)
        run.start()
        wait_for(running.under_way)
        rename(context, "away", "batches")
        run.join()
        wait_for(lambda: len(steps.dispositions) == len(refs))
    assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED)


def test_items_that_a_stop_finds_waiting_are_made_pending_again(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        running.close()
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
    assert steps.dispositions == dict.fromkeys(ids(refs), HANDED_BACK)
    with database.read() as connection:
        assert set(connection.execute(select(items.c.state, items.c.attempt, items.c.worker))) == {("pending", 0, None)}


@on_sqlite
def test_a_stop_ends_the_wait_for_a_database_that_is_away(database: Database, tmp_path: Path) -> None:
    context = make_context(database, lease_seconds=3_600)
    with runtime(context) as running, ThreadPoolExecutor() as pool:
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        rename(context, "items", "away")
        run = pool.submit(MicroBatch(running, Stage.CLASSIFY, refs, steps).process)
        wait_for(running.is_claiming)
        running.close()
        with pytest.raises(OperationalError):
            run.result(60)
