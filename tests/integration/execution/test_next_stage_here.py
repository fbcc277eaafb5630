"""A worker that serves both stages takes classified items on to the next one itself, under the same claim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, update

from pipeline.database.engine import Database
from pipeline.database.tables import attempts, batches, items
from pipeline.domain.batch import BatchState
from pipeline.domain.item import Stage
from pipeline.execution import record_thread
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.micro_batch import MicroBatch
from tests.support.factories import make_definition
from tests.support.micro_batch import (
    BY_TEXT,
    Steps,
    all_places,
    costly,
    ids,
    item_rows,
    make_context,
    refuse,
    release_all,
    runtime,
    states,
)
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.worker import wait_for

ADVANCED = Disposition(DispositionKind.ADVANCED)
SUCCEEDED = Disposition(DispositionKind.SUCCEEDED)


class UpdatesOfItems:
    """Counts the statements that change items."""

    def __init__(self, database: Database) -> None:
        self.number = 0
        event.listen(database.engine, "before_cursor_execute", self._look)

    def _look(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        # Not those that renew a lease, on a machine that is slow.
        self.number += "UPDATE items" in statement and "state=" in statement


def test_an_item_is_claimed_once_and_written_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow this machine is.
    monkeypatch.setattr(record_thread, "MERGE_SECONDS", 60.0)
    context = make_context(database)
    with runtime(context) as running:
        refs, following = release_all(context, make_definition(tmp_path)), Steps(database)
        steps, updates = Steps(database, following), UpdatesOfItems(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(following.dispositions) == len(refs))
        assert running.under_way() == []
    assert updates.number == 2, "claimed, and finished"
    assert following.begun == [], "it ended as soon as it had begun"
    assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED)
    assert following.dispositions == dict.fromkeys(ids(refs), SUCCEEDED)
    assert [step for step, *_ in steps.taken + following.taken] == ["acknowledge"] * 6, "nothing is published"
    for row in item_rows(database):
        assert (row["state"], row["stage"], row["attempt"], row["attempts"]) == ("succeeded", "enrich", 1, 2)
        assert row["label"] is not None
        assert None not in (row["classification"], row["enrichment"])
        assert row["started_at"] <= row["classified_at"] <= row["finished_at"]


def test_a_slow_enricher_keeps_no_classification_from_the_database(database: Database, tmp_path: Path) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    given = [{"text": "slow", "gate": str(gate)}, {"text": "quick"}]
    with runtime(context) as running:
        refs, following = release_all(context, make_definition(tmp_path, BY_TEXT), given), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == 2 and len(following.dispositions) == 1)
        slow = item_rows(database)[0]
        assert (slow["state"], slow["stage"], slow["label"]) == ("running", "enrich", "slow")
        assert (slow["attempt"], slow["attempts"], slow["epoch"]) == (1, 2, refs[0].epoch)
        assert following.begun == [refs[0].id]
        assert running.under_way() == [refs[0]]
        gate.touch()
        wait_for(lambda: len(following.dispositions) == 2)
        assert running.under_way() == []
    assert set(states(database).values()) == {("succeeded", "enrich")}


def test_a_failure_of_the_next_stage_is_charged_to_it_and_keeps_the_classification(
    database: Database, tmp_path: Path
) -> None:
    context = make_context(database)
    with runtime(context) as running:
        given = [{"text": "fine"}, {"text": "fails"}, {"text": "dies"}]
        refs, following = release_all(context, make_definition(tmp_path, BY_TEXT), given), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, Steps(database, following)).process()
        wait_for(lambda: len(following.dispositions) == 3)
    fine, fails, dies = item_rows(database)
    assert fine["state"] == "succeeded"
    assert (fails["state"], fails["stage"], fails["label"], fails["error_stage"]) == (
        "pending", "enrich", "fails", "enrich",
    )  # fmt: skip
    assert (fails["attempt"], fails["attempts"]) == (1, 2)
    assert fails["due_at"] is not None
    assert (dies["state"], dies["stage"], dies["label"], dies["error_stage"]) == ("dead", "enrich", "dies", "enrich")
    with database.read() as connection:
        found = list(connection.execute(select(attempts.c.item_id, attempts.c.stage, attempts.c.number)))
    assert sorted(map(tuple, found)) == [(refs[1].id, "enrich", 1), (refs[2].id, "enrich", 1)]


def test_the_next_stage_gets_the_payload_as_it_was_submitted(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, following = release_all(context, make_definition(tmp_path, BY_TEXT), [{"text": "fine"}]), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, Steps(database, following)).process()
        wait_for(lambda: following.dispositions)
    (row,) = item_rows(database)
    assert row["enrichment"] == '{"enrich":{"payload":{"text":"fine"},"label":"fine","attempt":1}}'


def test_a_durable_classification_is_stored_before_the_next_stage_begins(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, following = release_all(context, costly(tmp_path, BY_TEXT), [{"text": "fine"}] * 3), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(following.dispositions) == len(refs))
        assert running.under_way() == []
    # The next stage begins after the acknowledgement.
    assert {each for ref in refs for each in steps.of(ref.id)} == {("acknowledge", "running", "enrich")}
    assert following.dispositions == dict.fromkeys(ids(refs), SUCCEEDED)


def test_what_is_stale_at_its_classification_never_reaches_a_durable_next_stage(
    database: Database, tmp_path: Path
) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    source = BY_TEXT.replace("def classify(item):", WAITING)
    with runtime(context) as running:
        given = [{"text": "fine", "gate": str(gate)}]
        refs, following = release_all(context, costly(tmp_path, source), given), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        _release_again(database, refs[0].id)
        gate.touch()
        wait_for(lambda: steps.dispositions)
        wait_for(lambda: not running.under_way())
        assert running.take_places(1, 10**9) == all_places(context)
    assert steps.dispositions == {refs[0].id: Disposition(DispositionKind.STALE)}
    assert (following.taken, following.begun) == ([], [])


def test_a_durable_next_stage_begins_for_those_that_are_stored_at_it(database: Database, tmp_path: Path) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    source = BY_TEXT.replace("def classify(item):", WAITING)
    with runtime(context) as running:
        given = [{"text": "fine", "gate": str(gate)}]
        refs, following = release_all(context, costly(tmp_path, source), given), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        # Not seen yet by the process: its places are taken before the classification is recorded.
        _set_batch_state(database, BatchState.PAUSED)
        gate.touch()
        wait_for(lambda: steps.dispositions)
        wait_for(lambda: not running.under_way())
        assert running.take_places(1, 10**9) == all_places(context)
    assert steps.dispositions == {refs[0].id: Disposition(DispositionKind.HELD)}
    assert (following.taken, following.begun) == ([], [])


@pytest.mark.parametrize("state", [BatchState.PAUSED, BatchState.CANCELLED])
def test_items_of_a_held_batch_wait_between_the_stages(database: Database, tmp_path: Path, state: BatchState) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    source = BY_TEXT.replace("def classify(item):", WAITING)
    with runtime(context) as running:
        given = [{"text": "fine", "gate": str(gate)}]
        refs, following = release_all(context, make_definition(tmp_path, source), given), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        _set_batch_state(database, state)
        running.look_for_held_batches()
        gate.touch()
        wait_for(lambda: steps.dispositions)
    assert steps.dispositions == {refs[0].id: Disposition(DispositionKind.HELD)}
    assert (steps.of(refs[0].id), following.taken) == ([("acknowledge", "pending", "enrich")], [])
    (row,) = item_rows(database)
    assert (row["label"], row["attempt"], row["attempts"]) == ("fine", 0, 1)
    assert row["due_at"] is not None


def test_beyond_the_places_of_a_process_items_go_through_the_broker(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        refs, following = release_all(context, make_definition(tmp_path)), Steps(database)
        steps = Steps(database, following)
        assert running.take_places(1, all_places(context) - 1) == all_places(context) - 1
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == 3 and len(following.dispositions) == 1)
    published = [id_ for step, id_, *_ in steps.taken if step == "publish"]
    assert sorted([*published, *following.dispositions]) == ids(refs)


def test_a_stop_sends_classified_items_through_the_broker(database: Database, tmp_path: Path) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    source = BY_TEXT.replace("def classify(item):", WAITING)
    with runtime(context) as running:
        given = [{"text": "fine", "gate": str(gate)}]
        refs, following = release_all(context, make_definition(tmp_path, source), given), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        running.close()
        gate.touch()
        wait_for(lambda: steps.dispositions)
    assert steps.of(refs[0].id) == [("publish", "queued", "enrich"), ("acknowledge", "queued", "enrich")]
    assert following.taken == []


@on_sqlite
def test_of_two_stages_written_together_only_the_one_that_cannot_be_stored_fails(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_thread, "MERGE_SECONDS", 60.0)
    context = make_context(database)
    refuse(database, "NEW.enrichment LIKE '%refused%'")
    with runtime(context) as running:
        given = [{"text": "refused"}, {"text": "fine"}]
        refs, following = release_all(context, make_definition(tmp_path, BY_TEXT), given), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(following.dispositions) == 2)
    assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED)
    assert following.dispositions[refs[0].id] == Disposition(DispositionKind.DEAD, "unstorable")
    assert following.dispositions[refs[1].id] == SUCCEEDED
    refused = item_rows(database)[0]
    assert (refused["state"], refused["label"], refused["error_stage"]) == ("dead", "refused", "enrich")


def test_a_suspect_is_stored_at_the_stage_that_may_kill_its_worker(database: Database, tmp_path: Path) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    with runtime(context) as running:
        given = [{"text": "slow", "gate": str(gate)}]
        refs, following = release_all(context, make_definition(tmp_path, BY_TEXT), given), Steps(database)
        with database.write() as connection:
            connection.execute(update(items).values(crashes=1))
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: steps.dispositions)
        assert states(database) == {refs[0].id: ("running", "enrich")}
        gate.touch()
        wait_for(lambda: following.dispositions)


#: A classifier that waits for a file.
WAITING = """async def classify(item):
    while not pathlib.Path(item.payload["gate"]).exists():
        await asyncio.sleep(0.01)"""


def _release_again(database: Database, item: int) -> None:
    """Let a sweep take an item back, and a dispatcher release it once more."""
    with database.write() as connection:
        connection.execute(update(items).where(items.c.id == item).values(state="queued", epoch=items.c.epoch + 1))


def _set_batch_state(database: Database, state: BatchState) -> None:
    with database.write() as connection:
        connection.execute(update(batches).values(state=state.value))
