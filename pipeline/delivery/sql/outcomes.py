"""Recording the outcomes of single deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, TextClause, Update, bindparam, case, text, update

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import sort_by_id, table_rows
from pipeline.database.state_literals import recheck_state, recheck_state_sql
from pipeline.database.tables import deliveries


def delivered_update(given: FromClause, *conditions: ColumnElement[bool]) -> Update:
    """Return the statement that marks deliveries as delivered if the parameter `holder` still sends them.

    A 2xx response holds for any attempt, so checking the holder is enough.

    Args:
        given: a table with `last_status` and `finished_at`.
        conditions: which of its rows a delivery belongs to.
    """
    is_held = recheck_state(deliveries.c.state, "sending"), deliveries.c.worker == bindparam("holder")
    return (
        update(deliveries)
        .where(*conditions, *is_held)
        .values(
            state="delivered",
            lease_until=None,
            last_status=given.c.last_status,
            last_error=None,
            finished_at=given.c.finished_at,
            trigger=None,
        )
    )


@cache
def _delivered(dialect: Dialect) -> Update:
    given = table_rows(deliveries, dialect, "id", "last_status", "finished_at", "started_at", "answer")
    # The first attempt stands on the delivery if no other was counted since.
    is_first = deliveries.c.attempt == 1
    return (
        delivered_update(given, deliveries.c.id == given.c.id)
        .values(started_at=case((is_first, given.c.started_at)), answer=case((is_first, given.c.answer)))
        # Not `started_at`: SQLite would return the given one.
        .returning(deliveries.c.id, deliveries.c.attempt)
    )


# A sender that has lost its lease changes nothing: another one sends, or has sent, the delivery again.
_RECORD_OUTCOME = text(
    f"""
    UPDATE deliveries SET state = :state, attempt = :attempt_after, due_at = coalesce(:due_at, due_at),
        lease_until = NULL, worker = NULL, last_status = :status, last_error = :error, finished_at = :finished_at,
        replays = :replays_after, trigger = :trigger_after
    WHERE id = :id AND {recheck_state_sql("sending")} AND worker = :worker AND attempt = :attempt
    """
).bindparams(bindparam("due_at", type_=Instant), bindparam("finished_at", type_=Instant))

_HELD = f"""
    SELECT id, attempt FROM deliveries
    WHERE %s AND {recheck_state_sql("sending")} AND worker = :worker ORDER BY id %s"""


@cache
def _held(dialect: Dialect) -> TextClause:
    return text(_HELD % (dialect.in_list_sql("id", "ids", "bigint"), dialect.row_lock_sql("FOR UPDATE")))


def mark_delivered(connection: Connection, delivered: Sequence[Mapping[str, Any]], *, worker: str) -> set[int]:
    """Mark deliveries as delivered. Return those that had one attempt, which stands on them if it was given.

    A sender that has lost its lease changes nothing.

    Args:
        delivered: one mapping each with `id`, `last_status` and `finished_at`; and for a first attempt that is to stand
            on its delivery, `started_at` and `answer`.
    """
    dialect = dialect_of(connection)
    given = {"rows": dialect.encode_rows(sort_by_id(delivered)), "holder": worker}
    return {id_ for id_, attempt in connection.execute(_delivered(dialect), given) if attempt == 1}


def record_outcomes(connection: Connection, outcomes: Sequence[Mapping[str, Any]]) -> None:
    """Record what was decided about deliveries after their requests.

    Args:
        outcomes: one mapping each: `id`, `worker` and `attempt` identify the attempt; `state`, `due_at`, `status`,
            `error`, `finished_at`, `attempt_after`, `replays_after` and `trigger_after` are the new values.
    """
    connection.execute(_RECORD_OUTCOME, outcomes)


def find_held(connection: Connection, ids: Sequence[int], worker: str) -> set[tuple[int, int]]:
    """Return (id, attempt) of the deliveries that `worker` still holds, and lock them."""
    dialect = dialect_of(connection)
    found = connection.execute(_held(dialect), {"ids": dialect.encode_list(ids), "worker": worker})
    return {(row.id, row.attempt) for row in found}
