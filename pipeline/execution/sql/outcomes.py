"""Outcomes of running items: on to the next stage, postponed, or final. Each is one conditional statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Update,
    bindparam,
    case,
    func,
    or_,
    select,
    update,
)

from pipeline.batches.sql.items import DEATH_COLUMNS, ERROR_COLUMNS, FINISHED_COLUMNS, NOT_STARTED, RESULT_COLUMNS
from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.json_rows import item_rows, sort_by_id
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import recheck_state
from pipeline.database.tables import batches, items
from pipeline.domain.batch import BatchState
from pipeline.domain.item import ItemState, Stage


def advance(
    connection: Connection, outcomes: Sequence[Mapping[str, Any]], *, now: datetime, lease_until: datetime
) -> dict[int, ItemState]:
    """Move classified items on to the stage `enrich`.

    Return the new states of those that were still running: queued, or running if their worker goes on with them.
    Items of batches that are paused or cancelled become pending, unless the next stage has begun.

    Args:
        outcomes: one mapping each: `id`, `epoch`, `state`, `label`, `confidence`, `classification`, and `has_begun`, 1
            if the next stage has begun.
    """
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(sort_by_id(outcomes)), "now": now, "until": lease_until}
    return {id_: ItemState(state) for id_, state in connection.execute(_advance(dialect), parameters)}


@cache
def _advance(dialect: Dialect) -> Update:
    names = ("id", "epoch", "state", "label", "confidence", "classification")
    given = item_rows(dialect, *names, integers=("has_begun",))
    goes_on = or_(batches.c.state.in_([BatchState.OPEN.value, BatchState.RUNNING.value]), given.c.has_begun == 1)
    state = case((goes_on, given.c.state), else_=ItemState.PENDING.value)
    begins = case((state == ItemState.RUNNING.value, 1), else_=0)
    return (
        update(items)
        .where(
            items.c.id == given.c.id,
            items.c.epoch == given.c.epoch,
            recheck_state(items.c.state, "running"),
            items.c.stage == Stage.CLASSIFY.value,
            batches.c.id == items.c.batch_id,
        )
        .values(
            stage=Stage.ENRICH.value,
            state=state,
            attempt=begins,
            attempts=items.c.attempts + begins,
            snoozes=0,
            crashes=0,
            label=given.c.label,
            confidence=given.c.confidence,
            classification=given.c.classification,
            classified_at=bindparam("now", type_=items.c.classified_at.type),
            due_at=case((goes_on, items.c.due_at), else_=bindparam("now", type_=items.c.due_at.type)),
            lease_until=case((goes_on, bindparam("until", type_=items.c.lease_until.type)), else_=None),
            **dict.fromkeys(ERROR_COLUMNS),
        )
        .returning(items.c.id, items.c.state)
    )


def find_advanced(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> dict[int, ItemState]:
    """Return the states of those items that `advance` has moved on before, in a commit whose answer was lost.

    Nobody else moves an item on under the epoch with which it was claimed, and nothing was published for it.

    Args:
        outcomes: mappings with `id` and `epoch`.
    """
    dialect = dialect_of(connection)
    rows = dialect.encode_rows({"id": each["id"], "epoch": each["epoch"]} for each in outcomes)
    return {id_: ItemState(state) for id_, state in connection.execute(_advanced(dialect), {"rows": rows})}


@cache
def _advanced(dialect: Dialect) -> Select[int, str]:
    given = item_rows(dialect, "id", "epoch")
    return select(items.c.id, items.c.state).where(
        items.c.id == given.c.id,
        items.c.epoch == given.c.epoch,
        items.c.stage == Stage.ENRICH.value,
        # In a form that no index on states serves, as `recheck_state`.
        func.coalesce(items.c.state, "").in_([*NOT_STARTED, ItemState.RUNNING]),
    )


#: What the outcome of a later stage writes as well, if that of the stage before is not stored yet; null: it is stored.
_STAGE_BEFORE = ("label", "confidence", "classification", "classified_at")


def put_off(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> set[int]:
    """Make items pending at the stage that failed until `due_at`. Return the ids of those that were still running.

    Args:
        outcomes: one mapping each: `id`, `epoch`, `stored_stage`, `stage`, `due_at`, `attempt`, `snoozes`, `counted`
            (attempts to add to the item's total), the error columns, and the result columns of a stage that is not
            stored yet.
    """
    dialect = dialect_of(connection)
    return set(connection.scalars(_put_off(dialect), {"rows": dialect.encode_rows(sort_by_id(outcomes))}))


@cache
def _put_off(dialect: Dialect) -> Update:
    names = ("stage", "due_at", "attempt", "snoozes", *ERROR_COLUMNS)
    given = item_rows(dialect, "id", "epoch", *names, *_STAGE_BEFORE, integers=("counted",), texts=("stored_stage",))
    return (
        update(items)
        .where(*_is_running(given))
        .values(
            state=ItemState.PENDING.value,
            lease_until=None,
            worker=None,
            **{name: given.c[name] for name in names},
            **{name: func.coalesce(given.c[name], items.c[name]) for name in _STAGE_BEFORE},
            # It failed without killing its worker.
            crashes=0,
            attempts=items.c.attempts + given.c.counted,
        )
        .returning(items.c.id)
    )


def finish(connection: Connection, outcomes: Sequence[Mapping[str, Any]], *, now: datetime) -> list[Row]:
    """Mark items as succeeded or dead. Return the rows of those that were still running.

    Args:
        outcomes: one mapping each: `id`, `epoch`, `stored_stage`, `stage`, `state`, `attempt`, `snoozes`, `counted`
            (attempts to add to the item's total), the result columns, the error columns and `cause`. A result column
            that is null keeps its stored value; the others do not.
    """
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(sort_by_id(outcomes)), "now": now}
    return rows(connection.execute(_finish(dialect), parameters))


@cache
def _finish(dialect: Dialect) -> Update:
    names = ("stage", "state", "attempt", "snoozes", *DEATH_COLUMNS)
    given = item_rows(dialect, "id", "epoch", *names, *RESULT_COLUMNS, integers=("counted",), texts=("stored_stage",))
    return (
        update(items)
        .where(*_is_running(given))
        .values(
            finished_at=bindparam("now", type_=items.c.finished_at.type),
            lease_until=None,
            **{name: given.c[name] for name in names},
            **{name: func.coalesce(given.c[name], items.c[name]) for name in RESULT_COLUMNS},
            attempts=items.c.attempts + given.c.counted,
        )
        .returning(*(items.c[name] for name in FINISHED_COLUMNS))
    )


def _is_running(given: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that an item still runs under its claim, at the stage that is known to be stored."""
    return (
        items.c.id == given.c.id,
        items.c.epoch == given.c.epoch,
        recheck_state(items.c.state, "running"),
        items.c.stage == given.c.stored_stage,
    )
