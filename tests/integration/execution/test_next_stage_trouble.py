"""Commits whose answer is lost, and errors inside pipeline, while a worker takes items on to the next stage itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from pipeline.database.engine import Database
from pipeline.domain.item import Stage
from pipeline.errors import Unreachable
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.micro_batch import MicroBatch
from pipeline.execution.stage_runtime import StageRuntime
from pipeline.stages.run.runner import StageRunner
from tests.support.factories import make_definition
from tests.support.micro_batch import (
    BY_TEXT,
    Steps,
    all_places,
    costly,
    ids,
    item_rows,
    make_context,
    release_all,
    runtime,
)
from tests.support.servers.worker import wait_for

ADVANCED = Disposition(DispositionKind.ADVANCED)
SUCCEEDED = Disposition(DispositionKind.SUCCEEDED)


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
        assert running.take_places(1, 10**9) == all_places(context)
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
        assert running.take_places(1, 10**9) == all_places(context)
    lost = Disposition(DispositionKind.LOST)
    assert steps.dispositions == {refs[0].id: ADVANCED, refs[1].id: lost, refs[2].id: lost}
    assert following.dispositions == {refs[0].id: SUCCEEDED}
    # The message of the item with an outcome may be published as well, if the error comes first: its claim drops it.
    assert {id_ for step, id_, *_ in steps.taken if step == "publish"} <= {refs[0].id}


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
        assert running.take_places(1, 10**9) == all_places(context)


def _hear_no_commit(running: StageRuntime) -> None:
    """Let the first transaction of the record thread take effect without its answer."""
    recorder = running.recorder
    original = recorder._transaction

    def unheard(done: Any) -> Any:
        vars(recorder)["_transaction"] = original
        original(done)
        raise Unreachable("the connection was lost in the commit")

    vars(recorder)["_transaction"] = unheard
