"""A worker that serves both stages takes classified items on to the next one itself, under the same claim."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, update

from pipeline.database.engine import Database
from pipeline.database.tables import attempts, batches, items
from pipeline.definitions import Definition
from pipeline.domain.batch import BatchState
from pipeline.domain.item import Stage
from pipeline.errors import Unreachable
from pipeline.execution import record_thread
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.micro_batch import MicroBatch
from pipeline.execution.stage_runtime import StageRuntime
from pipeline.stages.run.runner import StageRunner
from tests.support.factories import make_definition
from tests.support.micro_batch import Steps, ids, make_context, refuse, release_all, runtime, states
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.worker import wait_for

ADVANCED = Disposition(DispositionKind.ADVANCED)
SUCCEEDED = Disposition(DispositionKind.SUCCEEDED)

#: Classifies by its text; enriches with what it was given, and waits for a file if the text says so.
BY_TEXT = """
import asyncio, pathlib
from pipeline import Permanent

def classify(item):
    item.payload["changed"] = True
    return item.text

async def enrich(item):
    while item.text == "slow" and not pathlib.Path(item.payload["gate"]).exists():
        await asyncio.sleep(0.01)
    if item.text == "fails":
        raise RuntimeError("broken")
    if item.text == "dies":
        raise Permanent("never")
    return {"payload": item.payload, "label": item.label, "attempt": item.attempt}
"""


class UpdatesOfItems:
    """Counts the statements that change items."""

    def __init__(self, database: Database) -> None:
        self.number = 0
        event.listen(database.engine, "before_cursor_execute", self._look)

    def _look(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        self.number += "UPDATE items" in statement


def item_rows(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(select(items).order_by(items.c.id)).mappings()]


def costly(folder: Path, source: str) -> Definition:
    plain = make_definition(folder, source)
    return Definition(
        name=plain.name,
        folder=plain.folder,
        classify={"use": plain.classify.use, "durable": True},
        enrich=list(plain.enrich),
        input=plain.input,
    )


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
        assert running.take_places(1, 10**9) == _all_places(context)
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
        assert running.take_places(1, 10**9) == _all_places(context)
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
        assert running.take_places(1, _all_places(context) - 1) == _all_places(context) - 1
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


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_classification_whose_commit_was_not_heard_of_goes_on(
    database: Database, tmp_path: Path, is_durable: bool
) -> None:
    context, gate = make_context(database), tmp_path / "gate"
    with runtime(context) as running:
        _hear_no_commit(running)
        definition = costly(tmp_path, BY_TEXT) if is_durable else make_definition(tmp_path, BY_TEXT)
        given = [{"text": "slow", "gate": str(gate)}]
        refs, following = release_all(context, definition, given), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: steps.dispositions)
        assert running.under_way() == refs, "its lease is renewed"
        gate.touch()
        wait_for(lambda: following.dispositions)
        assert running.take_places(1, 10**9) == _all_places(context)
    assert steps.dispositions == {refs[0].id: ADVANCED}
    assert following.dispositions == {refs[0].id: SUCCEEDED}
    (row,) = item_rows(database)
    assert (row["state"], row["attempts"], row["crashes"]) == ("succeeded", 2, 0)


def test_a_claim_whose_commit_was_not_heard_of_holds(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, write_once = make_context(database), database.write_once

    @contextmanager
    def unheard() -> Iterator[Connection]:
        with write_once() as connection:
            yield connection
        monkeypatch.undo()
        raise Unreachable("the connection was lost in the commit")

    with runtime(context) as running:
        refs, following = release_all(context, make_definition(tmp_path)), Steps(database)
        monkeypatch.setattr(database, "write_once", unheard)
        MicroBatch(running, Stage.CLASSIFY, refs, Steps(database, following)).process()
        wait_for(lambda: len(following.dispositions) == len(refs))
        # A copy of a message whose item is under way or done is stale all the same.
        copies = Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, copies).process()
    assert copies.dispositions == dict.fromkeys(ids(refs), Disposition(DispositionKind.STALE))
    assert {(row["state"], row["attempts"], row["crashes"]) for row in item_rows(database)} == {("succeeded", 2, 0)}


def test_a_classification_whose_commit_was_not_heard_of_is_published(database: Database, tmp_path: Path) -> None:
    context = make_context(database)
    with runtime(context) as running:
        _hear_no_commit(running)
        refs, steps = release_all(context, make_definition(tmp_path)), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == len(refs))
    assert steps.dispositions == dict.fromkeys(ids(refs), ADVANCED)
    assert sorted(id_ for step, id_, *_ in steps.taken if step == "publish") == ids(refs)


def test_an_error_inside_the_call_loses_only_what_has_no_outcome(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(database)
    original = StageRunner.run

    def fail_after_the_first(self: StageRunner, items: Any, emit: Any) -> None:
        if self.stage is Stage.CLASSIFY:
            original(self, items[:1], emit)
            raise RuntimeError("inside pipeline")
        original(self, items, emit)

    monkeypatch.setattr(StageRunner, "run", fail_after_the_first)
    with runtime(context) as running:
        refs, following = release_all(context, make_definition(tmp_path)), Steps(database)
        steps = Steps(database, following)
        MicroBatch(running, Stage.CLASSIFY, refs, steps).process()
        wait_for(lambda: len(steps.dispositions) == 3 and following.dispositions)
        assert running.under_way() == []
        assert running.take_places(1, 10**9) == _all_places(context)
    lost = Disposition(DispositionKind.LOST)
    assert steps.dispositions == {refs[0].id: ADVANCED, refs[1].id: lost, refs[2].id: lost}
    assert following.dispositions == {refs[0].id: SUCCEEDED}
    assert "publish" not in {step for step, *_ in steps.taken}


def test_an_error_inside_the_next_stage_gives_each_place_back_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(database)
    original = StageRunner.run

    def fail_at_the_end(self: StageRunner, items: Any, emit: Any) -> None:
        original(self, items, emit)
        if self.stage is Stage.ENRICH:
            raise RuntimeError("inside pipeline")

    monkeypatch.setattr(StageRunner, "run", fail_at_the_end)
    with runtime(context) as running:
        refs, following = release_all(context, make_definition(tmp_path)), Steps(database)
        MicroBatch(running, Stage.CLASSIFY, refs, Steps(database, following)).process()
        wait_for(lambda: len(following.dispositions) == len(refs))
        wait_for(lambda: not running.under_way())
        assert running.take_places(1, 10**9) == _all_places(context)


#: A classifier that waits for a file.
WAITING = """async def classify(item):
    while not pathlib.Path(item.payload["gate"]).exists():
        await asyncio.sleep(0.01)"""


def _hear_no_commit(running: StageRuntime) -> None:
    """Let the first transaction of the record thread take effect without its answer."""
    recorder = running.recorder
    original = recorder._transaction

    def unheard(done: Any) -> Any:
        vars(recorder)["_transaction"] = original
        original(done)
        raise Unreachable("the connection was lost in the commit")

    vars(recorder)["_transaction"] = unheard


def _release_again(database: Database, item: int) -> None:
    """Let a sweep take an item back, and a dispatcher release it once more."""
    with database.write() as connection:
        connection.execute(update(items).where(items.c.id == item).values(state="queued", epoch=items.c.epoch + 1))


def _set_batch_state(database: Database, state: BatchState) -> None:
    with database.write() as connection:
        connection.execute(update(batches).values(state=state.value))


def _all_places(context: Any) -> int:
    return 2 * int(context.settings.batch_items) * int(context.settings.concurrency)
