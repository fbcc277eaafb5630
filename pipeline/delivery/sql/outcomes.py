"""Recording the outcomes of single deliveries, and delivery attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, TextClause, bindparam, insert, literal_column, select, text

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.instant import Instant
from pipeline.database.json_rows import table_rows
from pipeline.database.state_literals import recheck_state_sql
from pipeline.database.tables import attempts

# A 2xx response holds for any attempt: checking the holder is enough, so one statement serves a group.
_DELIVERED = f"""
    UPDATE deliveries SET state = 'delivered', lease_until = NULL, worker = NULL, last_status = :status,
        last_error = NULL, finished_at = :now, trigger = NULL
    WHERE %s AND {recheck_state_sql("sending")} AND worker = :worker"""


@cache
def _delivered(dialect: Dialect) -> TextClause:
    return text(_DELIVERED % dialect.in_list_sql("id", "ids", "bigint")).bindparams(bindparam("now", type_=Instant))


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


def mark_delivered(connection: Connection, ids: Sequence[int], *, worker: str, status: int, now: datetime) -> None:
    """Mark deliveries that received the same response status as delivered."""
    dialect = dialect_of(connection)
    given = {"ids": dialect.encode_list(ids), "worker": worker, "status": status, "now": now}
    connection.execute(_delivered(dialect), given)


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


def add_attempts(connection: Connection, added: Sequence[Mapping[str, Any]]) -> None:
    """Add delivery attempts."""
    dialect = dialect_of(connection)
    connection.execute(_add_attempts(dialect), {"rows": dialect.encode_rows(added)})


@cache
def _add_attempts(dialect: Dialect) -> Insert:
    names = (
        "delivery_id", "bundle_id", "number", "trigger", "outcome", "status", "error_type", "error_message",
        "started_at", "ended_at", "worker", "answer",
    )  # fmt: skip
    given = table_rows(attempts, dialect, *names)
    chosen = select(*(given.c[name] for name in names), literal_column("'deliver'"))
    return insert(attempts).from_select([*names, "stage"], chosen)
