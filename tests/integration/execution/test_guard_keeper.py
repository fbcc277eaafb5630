"""What guards cost: nothing for a batch without any, and each outcome is counted once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from pipeline.batches.guards import list_guards, set_guard
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.domain.item import Classification, Stage
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.execution.guard_keeper import GuardKeeper
from pipeline.execution.record import Done, record
from pipeline.settings import load
from tests.integration.execution.test_transitions import Engine


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    context = make_context(load(database_url=database_url))
    yield context
    context.database.close()


@pytest.fixture
def engine(context: Context, tmp_path: Path) -> Engine:
    return Engine(context, tmp_path, 40)


LABEL = Classification("x")


def write(engine: Engine, keeper: GuardKeeper | None, rows: list[Any], outcome: Outcome, stage: Stage) -> list[str]:
    """Record outcomes, and return the statements of the transaction."""
    context, now = engine.context, engine.context.now()
    done = [Done(row, stage, engine.definition, outcome, now, now, "b") for row in rows]
    with context.database.write() as connection, heard(connection) as statements:
        record(
            connection,
            done,
            now=now,
            lease=context.lease,
            worker=context.worker,
            hooks=context.hooks,
            guards=keeper,
        )
    return statements


@contextmanager
def heard(connection: Any) -> Iterator[list[str]]:
    statements: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(connection, "before_cursor_execute", hear)
    yield statements
    event.remove(connection, "before_cursor_execute", hear)


def test_a_batch_without_guards_and_failures_takes_no_statement_more(engine: Engine) -> None:
    rows = engine.claim_next()
    keeper = GuardKeeper(engine.context)
    assert any("guards" in each for each in write(engine, keeper, rows[:8], LABEL, Stage.CLASSIFY))
    # From now on it is known to have none.
    assert len(write(engine, keeper, rows[8:16], LABEL, Stage.CLASSIFY)) == len(
        write(engine, None, rows[16:24], LABEL, Stage.CLASSIFY)
    )


def test_each_outcome_is_counted_once_and_what_only_waits_is_not(engine: Engine) -> None:
    rows, keeper, batch = engine.claim_next(), GuardKeeper(engine.context), "last"
    for of in ("items", "attempts"):
        set_guard(engine.context, batch, of, {"count": 1_000, "of": of})
    set_guard(engine.context, batch, "quota", {"count": 1_000, "of": "attempts", "errors": ["Quota*"]})
    write(engine, keeper, rows[:8], LABEL, Stage.CLASSIFY)
    write(engine, keeper, rows[8:12], Failure(FailureKind.PERMANENT, "QuotaExceeded", "no"), Stage.CLASSIFY)
    # A second time they are stale.
    write(engine, keeper, rows[8:12], Failure(FailureKind.PERMANENT, "QuotaExceeded", "no"), Stage.CLASSIFY)
    write(engine, keeper, rows[12:15], Failure(FailureKind.TRANSIENT, "Broken", "no"), Stage.CLASSIFY)
    write(engine, keeper, rows[15:17], Failure(FailureKind.THROTTLED, "Throttled", "no"), Stage.CLASSIFY)
    counted = {each.guard.name: each.failures for each in list_guards(engine.context, batch)}
    assert counted == {"items": 4, "attempts": 7, "quota": 4}
