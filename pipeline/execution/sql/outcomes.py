"""What came of running items: on to the next stage, put off, or final. Each is one conditional statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Update, bindparam, func, update

from pipeline.batches.sql.items import ERROR, FINISHED, RESULT
from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.json_rows import in_order, item_rows
from pipeline.database.row import Row, rows
from pipeline.database.state_literals import is_still
from pipeline.database.tables import items
from pipeline.domain.item import ItemState, Stage


def advance(
    connection: Connection, outcomes: Sequence[Mapping[str, Any]], *, now: datetime, lease_until: datetime
) -> set[int]:
    """Running classify → queued enrich, with the classification. Return the ids that moved.

    `outcomes`: id, epoch, label, confidence, classification.
    """
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(in_order(outcomes)), "now": now, "until": lease_until}
    return set(connection.scalars(_advance(dialect), parameters))


@cache
def _advance(dialect: Dialect) -> Update:
    given = item_rows(dialect, "id", "epoch", "label", "confidence", "classification")
    return (
        update(items)
        .where(
            items.c.id == given.c.id,
            items.c.epoch == given.c.epoch,
            is_still(items.c.state, "running"),
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
    """Running → pending until `due_at`, at the same stage. Return the ids that moved.

    `outcomes`: id, epoch, due_at, attempt, snoozes, error_kind, error_type, error_message, error_stage.
    """
    dialect = dialect_of(connection)
    return set(connection.scalars(_put_off(dialect), {"rows": dialect.encode_rows(in_order(outcomes))}))


@cache
def _put_off(dialect: Dialect) -> Update:
    names = ("due_at", "attempt", "snoozes", "error_kind", "error_type", "error_message", "error_stage")
    given = item_rows(dialect, "id", "epoch", *names)
    return (
        update(items)
        .where(items.c.id == given.c.id, items.c.epoch == given.c.epoch, is_still(items.c.state, "running"))
        .values(
            state=ItemState.PENDING.value,
            lease_until=None,
            worker=None,
            **{name: given.c[name] for name in names},
            # It has answered, if only with an error: it is no killer.
            crashes=0,
            # What is not counted at this stage is not counted in all either.
            attempts=items.c.attempts - (items.c.attempt - given.c.attempt),
        )
        .returning(items.c.id)
    )


def finish(connection: Connection, outcomes: Sequence[Mapping[str, Any]], *, now: datetime) -> list[Row]:
    """In flight → succeeded or dead, with everything that came of it. Return the finished rows.

    `outcomes`: id, epoch, state, label, confidence, classification, classified_at, enrichment and the error columns.
    What is null keeps what is stored, but for the errors.
    """
    dialect = dialect_of(connection)
    parameters = {"rows": dialect.encode_rows(in_order(outcomes)), "now": now}
    return rows(connection.execute(_finish(dialect), parameters))


@cache
def _finish(dialect: Dialect) -> Update:
    given = item_rows(dialect, "id", "epoch", "state", *RESULT, *ERROR)
    return (
        update(items)
        .where(
            items.c.id == given.c.id,
            items.c.epoch == given.c.epoch,
            is_still(items.c.state, "running"),
        )
        .values(
            state=given.c.state,
            finished_at=bindparam("now", type_=items.c.finished_at.type),
            lease_until=None,
            **{name: func.coalesce(given.c[name], items.c[name]) for name in RESULT},
            **{name: given.c[name] for name in ERROR},
        )
        .returning(*(items.c[name] for name in FINISHED))
    )
