"""Definitions made runnable: built once, and not kept for ever."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.batches import prepare
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.tables import batches
from pipeline.domain.item import Stage
from pipeline.execution.breaker_board import BreakerBoard
from pipeline.execution.runner_cache import RunnerCache, Work
from pipeline.settings import load
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.worker import wait_for

pytestmark = on_sqlite


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = make_context(load(database_url=database_url))
    yield context
    context.database.close()


def test_the_least_recently_used_definition_is_forgotten(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.execution.runner_cache.MAX_DEFINITIONS", 2)
    runners = RunnerCache(context, Executor(), BreakerBoard(context))
    first, second, third = (a_batch(context, tmp_path) for _ in range(3))
    built = [runner_of(runners, first), runner_of(runners, second)]
    assert runner_of(runners, first)() is built[0]() is not None
    built.append(runner_of(runners, third))
    # Whoever built it may still be about to end.
    wait_for(lambda: built[1]() is None)
    assert built[0]() is not None
    assert built[2]() is not None
    assert runner_of(runners, second)() is not None


def test_what_is_prepared_at_submission_is_not_kept_for_ever(context: Context, tmp_path: Path) -> None:
    for _ in range(prepare.MAX_KEPT_STAGES):
        a_batch(context, tmp_path)
    assert len(context.prepared) == prepare.MAX_KEPT_STAGES


def a_batch(context: Context, folder: Path) -> int:
    """Submit a batch with a definition of its own."""
    submitted = submit(context, make_items(1), Submission(make_definition(folder)))
    with context.database.read() as connection:
        id_ = connection.scalar(select(batches.c.id).where(batches.c.public_id == submitted.batch_id))
    assert id_ is not None
    return int(id_)


def runner_of(runners: RunnerCache, batch_id: int) -> weakref.ref[StageRunner]:
    """Return what runs a batch's first stage, without keeping it alive."""
    found: list[weakref.ref[StageRunner]] = []
    answered = threading.Event()

    def ready(work: Work | Exception) -> None:
        assert isinstance(work, Work)
        runner = work.runners[Stage.CLASSIFY]
        assert isinstance(runner, StageRunner)
        found.append(weakref.ref(runner))
        answered.set()

    runners.when_ready(batch_id, ready)
    assert answered.wait(30)
    return found[0]
