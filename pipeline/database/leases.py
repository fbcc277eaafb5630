"""Leases on work that only one process may do at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.sql.dml import ReturningInsert

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import leases


def acquire(
    connection: Connection, name: str, holder: str, *, now: datetime, until: datetime, dead: Sequence[str] = ()
) -> bool:
    """Acquire a lease, or extend one that is held. Return False if another process holds it.

    Args:
        dead: holders whose leases may be taken over before they expire.
    """
    parameters = {"name": name, "holder": holder, "until": until, "now": now, "dead": list(dead)}
    # Not by rowcount, which some drivers do not report for an upsert.
    return connection.scalar(_acquire(dialect_of(connection)), parameters) is not None


@cache
def _acquire(dialect: Dialect) -> ReturningInsert[Any]:
    statement = dialect.upsert(leases).values({name: bindparam(name) for name in ("name", "holder", "until")})
    new = statement.excluded
    has_expired = leases.c.until < bindparam("now", type_=leases.c.until.type)
    is_free = (leases.c.holder == new.holder) | has_expired | leases.c.holder.in_(bindparam("dead", expanding=True))
    updated = statement.on_conflict_do_update(
        index_elements=[leases.c.name], set_={"holder": new.holder, "until": new.until}, where=is_free
    )
    return updated.returning(leases.c.name)


def extend(connection: Connection, name: str, holder: str, *, until: datetime) -> bool:
    """Extend a lease. Return False if the holder has lost it."""
    statement = update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until=until)
    return connection.execute(statement).rowcount == 1


def take_over(
    connection: Connection, name: str, holder: str, *, now: datetime, until: datetime, dead: Sequence[str]
) -> bool:
    """Take over a lease that has expired, or whose holder is among `dead`. Return False if there is no such lease."""
    statement = (
        update(leases)
        .where(leases.c.name == name, (leases.c.until < now) | leases.c.holder.in_(dead))
        .values(holder=holder, until=until)
    )
    return connection.execute(statement).rowcount == 1


def find_holders(connection: Connection) -> list[str]:
    """Return every process that holds a lease or was the last to hold it."""
    return list(connection.scalars(select(leases.c.holder).distinct()))


def release(connection: Connection, name: str, holder: str) -> None:
    """Release a lease if the holder still has it."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def release_all(connection: Connection, holder: str) -> None:
    """Release every lease of a holder."""
    connection.execute(delete(leases).where(leases.c.holder == holder))


def delete_lease(connection: Connection, name: str) -> None:
    """Delete a lease whose work no longer exists, no matter who holds it."""
    connection.execute(delete(leases).where(leases.c.name == name))


def find(connection: Connection, name: str) -> Row | None:
    """Return a lease; None if there is none of this name."""
    return first(connection.execute(select(leases).where(leases.c.name == name)))


def find_by_prefix(connection: Connection, prefix: str) -> list[Row]:
    """Return the leases whose names start with `prefix`."""
    return rows(connection.execute(select(leases).where(leases.c.name.startswith(prefix, autoescape=True))))


def find_by_names(connection: Connection, names: Sequence[str]) -> list[Row]:
    """Return the leases with these names."""
    dialect = dialect_of(connection)
    query = select(leases).where(dialect.is_in_list(leases.c.name, "names"))
    return rows(connection.execute(query, {"names": dialect.encode_list(names)}))


def delete_stale(
    connection: Connection, dead: Collection[str], *, before: datetime, except_prefixes: Sequence[str]
) -> None:
    """Delete the leases of dead holders and those that expired before an instant.

    Args:
        except_prefixes: leases whose names start with one of them are kept.
    """
    is_stale = leases.c.holder.in_(dead) | (leases.c.until < before)
    kept = [leases.c.name.not_like(f"{prefix}%") for prefix in except_prefixes]
    connection.execute(delete(leases).where(is_stale, *kept))
