"""Leases: who does what only one may do at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.sql.dml import ReturningInsert

from pipeline.database.dialect import Dialect, dialect_of
from pipeline.database.row import Row, rows
from pipeline.database.tables import leases


def take(
    connection: Connection, name: str, holder: str, *, now: datetime, until: datetime, dead: Sequence[str] = ()
) -> bool:
    """Take or extend a lease; False while another holds it who is not among `dead`."""
    parameters = {"name": name, "holder": holder, "until": until, "now": now, "dead": list(dead)}
    # Not by rowcount: for an upsert, not every driver knows it.
    return connection.scalar(_take(dialect_of(connection)), parameters) is not None


@cache
def _take(dialect: Dialect) -> ReturningInsert[Any]:
    statement = dialect.upsert(leases).values({name: bindparam(name) for name in ("name", "holder", "until")})
    given = statement.excluded
    is_over = leases.c.until < bindparam("now", type_=leases.c.until.type)
    mine = (leases.c.holder == given.holder) | is_over | leases.c.holder.in_(bindparam("dead", expanding=True))
    updated = statement.on_conflict_do_update(
        index_elements=[leases.c.name], set_={"holder": given.holder, "until": given.until}, where=mine
    )
    return updated.returning(leases.c.name)


def extend(connection: Connection, name: str, holder: str, *, until: datetime) -> bool:
    """Extend a lease that is held; False where it was taken away."""
    statement = update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until=until)
    return connection.execute(statement).rowcount == 1


def replace(
    connection: Connection, name: str, holder: str, *, now: datetime, until: datetime, dead: Sequence[str]
) -> bool:
    """Take over a lease that is over, or whose holder is among `dead`; False where it is neither, or there is none."""
    statement = (
        update(leases)
        .where(leases.c.name == name, (leases.c.until < now) | leases.c.holder.in_(dead))
        .values(holder=holder, until=until)
    )
    return connection.execute(statement).rowcount == 1


def holders(connection: Connection) -> list[str]:
    """Return everyone who holds a lease or held it last."""
    return list(connection.scalars(select(leases.c.holder).distinct()))


def drop(connection: Connection, name: str, holder: str) -> None:
    """Give a lease up, if it is still held."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def forget(connection: Connection, name: str) -> None:
    """Remove a lease together with what it was for, whoever holds it."""
    connection.execute(delete(leases).where(leases.c.name == name))


def drop_all(connection: Connection, holder: str) -> None:
    """Give up every lease of a holder."""
    connection.execute(delete(leases).where(leases.c.holder == holder))


def named(connection: Connection, prefix: str) -> list[Row]:
    """Return the leases whose names begin so."""
    return rows(connection.execute(select(leases).where(leases.c.name.startswith(prefix, autoescape=True))))


def drop_gone(connection: Connection, holders: Collection[str], *, before: datetime, but: str) -> None:
    """Remove leases of these holders, and those that ended before; not those whose names begin with `but`."""
    over = leases.c.holder.in_(holders) | (leases.c.until < before)
    connection.execute(delete(leases).where(over, leases.c.name.not_like(f"{but}%")))
