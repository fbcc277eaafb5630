"""Exports: finding those with something to do, leases on them, and what they have reached.

A transaction that locks a batch and its exports locks the batch first, as replays and the sweeps do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Update, select, update

from pipeline.database.row import Row, first, rows
from pipeline.database.tables import batches, definitions, exports

_OF_BATCH = (
    batches.c.public_id,
    batches.c.next_seq.label("batch_next_seq"),
    batches.c.completed_at.label("batch_completed_at"),
    batches.c.state.label("batch_state"),
)


def _rows() -> Select[Any]:
    return select(exports, *_OF_BATCH).join(batches, batches.c.id == exports.c.batch_id)


def find_due(connection: Connection, now: datetime, *, dead: Sequence[str], batch_id: int | None) -> list[Row]:
    """Return the running exports that may be worked on now, each with how far its batch is, earliest due first.

    Args:
        dead: holders whose leases may be taken over before they expire.
        batch_id: only exports of this batch; None: of any.
    """
    query = _rows().where(exports.c.state == "running", exports.c.due_at <= now, _is_free(now, dead))
    if batch_id is not None:
        query = query.where(exports.c.batch_id == batch_id)
    return rows(connection.execute(query.order_by(exports.c.due_at, exports.c.id)))


def is_any_running(connection: Connection, batch_id: int | None) -> bool:
    """Return whether any export is running, of this batch or of all. Cheap enough to poll."""
    query = select(exports.c.id).where(exports.c.state == "running")
    if batch_id is not None:
        query = query.where(exports.c.batch_id == batch_id)
    return connection.scalar(query.limit(1)) is not None


def take(
    connection: Connection, export_id: int, worker: str, *, now: datetime, until: datetime, dead: Sequence[str]
) -> bool:
    """Take the lease on a running export. Return False if another process has it."""
    statement = (
        update(exports)
        .where(exports.c.id == export_id, exports.c.state == "running", _is_free(now, dead))
        .values(worker=worker, lease_until=until)
    )
    return connection.execute(statement).rowcount == 1


def extend(connection: Connection, export_id: int, worker: str, until: datetime) -> bool:
    """Extend the lease on an export. Return False if it is lost."""
    return connection.execute(_held(export_id, worker).values(lease_until=until)).rowcount == 1


def release(connection: Connection, export_id: int, worker: str) -> None:
    """Release the lease on an export, if it is still held."""
    connection.execute(_held(export_id, worker).values(worker=None, lease_until=None))


def release_all(connection: Connection, worker: str) -> None:
    """Release the leases of a process that ends."""
    connection.execute(update(exports).where(exports.c.worker == worker).values(worker=None, lease_until=None))


def find_holders(connection: Connection) -> set[str]:
    """Return the processes that hold running exports."""
    held = exports.c.state == "running", exports.c.worker.is_not(None)
    return {each for each in connection.scalars(select(exports.c.worker).where(*held).distinct()) if each}


def move(connection: Connection, export_id: int, worker: str, *, from_seq: int, next_seq: int) -> bool:
    """Move the beginning of what is in no part yet. Return False if the lease is lost, or somebody else moved it."""
    statement = _held(export_id, worker).where(exports.c.next_seq == from_seq).values(next_seq=next_seq)
    return connection.execute(statement).rowcount == 1


def count_stored(connection: Connection, export_id: int, worker: str, *, parts: int, rows_: int) -> bool:
    """Add what was stored, and forget failures before it. Return False if the lease is lost."""
    values = {"parts": exports.c.parts + parts, "rows": exports.c.rows + rows_}
    return connection.execute(_held(export_id, worker).values(**values, **_NO_FAILURE)).rowcount == 1


def set_reached(connection: Connection, export_id: int, worker: str, *, next_seq: int, added: int) -> bool:
    """Note how far a table is, which its own database decides. Return False if the lease is lost."""
    statement = _held(export_id, worker).values(next_seq=next_seq, rows=exports.c.rows + added, **_NO_FAILURE)
    return connection.execute(statement).rowcount == 1


_NO_FAILURE = {"attempts": 0, "failing_since": None, "last_error": None}


def put_off(
    connection: Connection, export_id: int, worker: str, *, error: str, since: datetime, due_at: datetime
) -> None:
    """Note a failed attempt, when the next one is due, and release the lease."""
    values = {"attempts": exports.c.attempts + 1, "failing_since": since, "last_error": error, "due_at": due_at}
    connection.execute(_held(export_id, worker).values(**values, worker=None, lease_until=None))


def fail(connection: Connection, export_id: int, worker: str, *, error: str, now: datetime) -> None:
    """Give an export up until somebody asks for it again."""
    values = {"state": "failed", "last_error": error, "finished_at": now, "attempts": exports.c.attempts + 1}
    connection.execute(_held(export_id, worker).values(**values, worker=None, lease_until=None))


def complete(
    connection: Connection, export_id: int, worker: str, *, completion: int, goes_on: bool, now: datetime
) -> Row | None:
    """Note that everything is written. Return the changed row; None if the lease is lost.

    Args:
        goes_on: the batch runs again meanwhile, so the export does as well.
    """
    state = {} if goes_on else {"state": "complete", "finished_at": now, "worker": None, "lease_until": None}
    statement = _held(export_id, worker).where(exports.c.completions == completion - 1)
    changed = statement.values(completions=completion, **state, **_NO_FAILURE).returning(exports)
    return first(connection.execute(changed))


def retry(connection: Connection, export_id: int, now: datetime) -> bool:
    """Make an export that failed, or waits for its next attempt, due now. Return False if it is complete."""
    statement = update(exports).where(exports.c.id == export_id, exports.c.state != "complete")
    values = {"state": "running", "due_at": now, "attempts": 0, "failing_since": None, "finished_at": None}
    return connection.execute(statement.values(**values)).rowcount == 1


def find_by_id(connection: Connection, export_id: int) -> Row | None:
    """Return an export with how far its batch is."""
    return first(connection.execute(_rows().where(exports.c.id == export_id)))


def find_of_batch(connection: Connection, batch_id: int) -> list[Row]:
    """Return the exports of a batch, in the order in which they were given."""
    query = _rows().where(exports.c.batch_id == batch_id).order_by(exports.c.number)
    return rows(connection.execute(query))


def find_newest(connection: Connection, limit: int, *, state: str | None = None) -> list[Row]:
    """Return exports, newest first."""
    query = _rows() if state is None else _rows().where(exports.c.state == state)
    return rows(connection.execute(query.order_by(exports.c.id.desc()).limit(limit)))


def find_awaited(connection: Connection, batch_id: int, completed_before: datetime) -> list[str]:
    """Return the targets of a batch's incomplete exports; none, if the batch completed before an instant."""
    is_awaited = exports.c.batch_id == batch_id, exports.c.state != "complete"
    query = select(exports.c.target).join(batches, batches.c.id == exports.c.batch_id)
    return list(connection.scalars(query.where(*is_awaited, batches.c.completed_at >= completed_before)))


def find_batch(connection: Connection, batch_id: int, *, lock: bool = False) -> Row | None:
    """Return the batch of an export with the name of its definition; None if it was pruned.

    Args:
        lock: keep others from changing it until the transaction ends.
    """
    query = select(batches, definitions.c.name.label("definition")).join(definitions).where(batches.c.id == batch_id)
    return first(connection.execute(query.with_for_update(of=batches) if lock else query))


def _held(export_id: int, worker: str) -> Update:
    return update(exports).where(exports.c.id == export_id, exports.c.worker == worker)


def _is_free(now: datetime, dead: Sequence[str]) -> Any:
    return exports.c.lease_until.is_(None) | (exports.c.lease_until < now) | exports.c.worker.in_(dead)
