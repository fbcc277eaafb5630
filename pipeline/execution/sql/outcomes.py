"""Outcomes of running items: on to the next stage, postponed, or final. Each is one conditional statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Update, bindparam, func, update

from pipeline.batches.sql.items import ERROR_COLUMNS, FINISHED_COLUMNS, RESULT_COLUMNS
from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.json_rows import item_rows, sort_by_id
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import recheck_state
from pipeline.database.tables import items
from pipeline.domain.item import ItemState, Stage


def advance(
    connection: Connection, outcomes: Sequence[Mapping[str, Any]], *, now: datetime, lease_until: datetime
) -> set[int]:
    """Queue classified items for the stage `enrich`. Return the ids of those that were still running.

    Args:
        outcomes: one mapping each: `id`, `epoch`, `label`, `confidence` and `classification`.
    """
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(sort_by_id(outcomes)), "now": now, "until": lease_until}
    return set(connection.scalars(_advance(dialect), parameters))


@cache
def _advance(dialect: Dialect) -> Update:
    given = item_rows(dialect, "id", "epoch", "label", "confidence", "classification")
    return (
        update(items)
        .where(
            items.c.id == given.c.id,
            items.c.epoch == given.c.epoch,
            recheck_state(items.c.state, "running"),
            items.c.stage == Stage.CLASSIFY.value,
        )
        .values(
            stage=Stage.ENRICH.value,
            state=ItemState.QUEUED.value,
            attempt=0,
            snoozes=0,
            crashes=0,
            label=given.c.label,
            confidence=given.c.confidence,
            classification=given.c.classification,
            classified_at=bindparam("now", type_=items.c.classified_at.type),
            lease_until=bindparam("until"),
            error_kind=None,
            error_type=None,
            error_message=None,
            error_stage=None,
        )
        .returning(items.c.id)
    )


def put_off(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> set[int]:
    """Make items pending at the same stage until `due_at`. Return the ids of those that were still running.

    Args:
        outcomes: one mapping each: `id`, `epoch`, `due_at`, `attempt`, `snoozes` and the error columns.
    """
    dialect = dialect_of(connection)
    return set(connection.scalars(_put_off(dialect), {"rows": dialect.encode_rows(sort_by_id(outcomes))}))


@cache
def _put_off(dialect: Dialect) -> Update:
    names = ("due_at", "attempt", "snoozes", "error_kind", "error_type", "error_message", "error_stage")
    given = item_rows(dialect, "id", "epoch", *names)
    return (
        update(items)
        .where(items.c.id == given.c.id, items.c.epoch == given.c.epoch, recheck_state(items.c.state, "running"))
        .values(
            state=ItemState.PENDING.value,
            lease_until=None,
            worker=None,
            **{name: given.c[name] for name in names},
            # It failed without killing its worker.
            crashes=0,
            # An attempt that is not counted at this stage is not counted in the total either.
            attempts=items.c.attempts - (items.c.attempt - given.c.attempt),
        )
        .returning(items.c.id)
    )


def finish(connection: Connection, outcomes: Sequence[Mapping[str, Any]], *, now: datetime) -> list[Row]:
    """Mark items as succeeded or dead. Return the rows of those that were still running.

    Args:
        outcomes: one mapping each: `id`, `epoch`, `state`, the result columns and the error columns. A result column
            that is null keeps its stored value; an error column does not.
    """
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(sort_by_id(outcomes)), "now": now}
    return rows(connection.execute(_finish(dialect), parameters))


@cache
def _finish(dialect: Dialect) -> Update:
    given = item_rows(dialect, "id", "epoch", "state", *RESULT_COLUMNS, *ERROR_COLUMNS)
    return (
        update(items)
        .where(
            items.c.id == given.c.id,
            items.c.epoch == given.c.epoch,
            recheck_state(items.c.state, "running"),
        )
        .values(
            state=given.c.state,
            finished_at=bindparam("now", type_=items.c.finished_at.type),
            lease_until=None,
            **{name: func.coalesce(given.c[name], items.c[name]) for name in RESULT_COLUMNS},
            **{name: given.c[name] for name in ERROR_COLUMNS},
        )
        .returning(*(items.c[name] for name in FINISHED_COLUMNS))
    )
