"""What an intake has received: how far its partitions are, the ids of messages, and those that were refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, tuple_, update

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import intake_positions, intake_rejects, intake_seen


def positions(connection: Connection, intake_id: int) -> dict[str, str]:
    """Return up to where each partition of an intake is accepted."""
    found = select(intake_positions.c.partition, intake_positions.c.next_offset)
    found = found.where(intake_positions.c.intake_id == intake_id).order_by(intake_positions.c.partition)
    return {partition: offset for partition, offset in connection.execute(found)}


def begin_partition(connection: Connection, intake_id: int, partition: str, offset: str) -> None:
    """Record where a partition begins, unless it has begun."""
    row = {"intake_id": intake_id, "partition": partition, "next_offset": offset}
    connection.execute(dialect_of(connection).upsert(intake_positions).values(**row).on_conflict_do_nothing())


def lock_position(connection: Connection, intake_id: int, partition: str) -> str:
    """Lock a partition until the transaction ends. Return up to where it is accepted."""
    query = select(intake_positions.c.next_offset).where(*_is(intake_id, partition)).with_for_update()
    return str(connection.execute(query).scalar_one())


def move_position(connection: Connection, intake_id: int, partition: str, offset: str) -> None:
    """Set up to where a partition is accepted."""
    connection.execute(update(intake_positions).where(*_is(intake_id, partition)).values(next_offset=offset))


def _is(intake_id: int, partition: str) -> tuple[Any, Any]:
    return intake_positions.c.intake_id == intake_id, intake_positions.c.partition == partition


def add_seen(connection: Connection, intake_id: int, ids: Sequence[str], now: datetime) -> set[str]:
    """Record ids of messages. Return those that were not known."""
    if not ids:
        return set()
    given = [{"intake_id": intake_id, "message_id": each, "seen_at": now} for each in ids]
    statement = dialect_of(connection).upsert(intake_seen).values(given).on_conflict_do_nothing()
    return set(connection.scalars(statement.returning(intake_seen.c.message_id)))


def add_rejects(connection: Connection, rejects: Sequence[Mapping[str, Any]]) -> None:
    """Insert refused messages."""
    if rejects:
        connection.execute(insert(intake_rejects), list(rejects))


def find_rejects(connection: Connection, intake_id: int, limit: int) -> list[Row]:
    """Return refused messages, newest first."""
    query = select(intake_rejects).where(intake_rejects.c.intake_id == intake_id)
    return rows(connection.execute(query.order_by(intake_rejects.c.id.desc()).limit(limit)))


def delete_seen(connection: Connection, before: datetime, limit: int) -> int:
    """Delete ids that were recorded before an instant. Return their number."""
    key = tuple_(intake_seen.c.intake_id, intake_seen.c.message_id)
    chosen = select(intake_seen.c.intake_id, intake_seen.c.message_id).where(intake_seen.c.seen_at < before)
    return _delete(connection, intake_seen, key.in_(chosen.limit(limit)))


def delete_rejects(connection: Connection, before: datetime, limit: int) -> int:
    """Delete messages that were refused before an instant. Return their number."""
    chosen = select(intake_rejects.c.id).where(intake_rejects.c.rejected_at < before).limit(limit)
    return _delete(connection, intake_rejects, intake_rejects.c.id.in_(chosen))


def _delete(connection: Connection, table: Table, condition: Any) -> int:
    return connection.execute(delete(table).where(condition)).rowcount
