"""Endpoints: what is known of each scheme, host and port that receives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select, text, update

from pipeline.storage.instant import Instant
from pipeline.storage.row import Row, rows, upsert
from pipeline.storage.tables import endpoints


def lock(connection: Connection, origins: Sequence[str]) -> None:
    """Lock what is known of endpoints, in the order of their names, before any of it changes."""
    chosen = select(endpoints.c.origin).where(endpoints.c.origin.in_(origins)).order_by(endpoints.c.origin)
    connection.execute(chosen.with_for_update())


def succeeded(connection: Connection, origins: Sequence[str], now: datetime) -> None:
    """Forget the failures of endpoints that took a delivery."""
    connection.execute(_SUCCEEDED, {"origins": origins, "now": now})


# On the path of every group of answers: built once.
_SUCCEEDED = text(
    "UPDATE endpoints SET consecutive_failures = 0, updated_at = :now "
    "WHERE origin IN :origins AND consecutive_failures > 0"
).bindparams(bindparam("origins", expanding=True), bindparam("now", type_=Instant))


def failed(connection: Connection, observed: Sequence[Mapping[str, Any]]) -> None:
    """Count failures and lengthen pauses: origin, consecutive_failures (to add), not_before or None, updated_at."""
    statement = upsert(connection, endpoints)
    given, known = statement.excluded, endpoints.c
    later = case((known.not_before > given.not_before, known.not_before), else_=given.not_before)
    changes = {
        "consecutive_failures": known.consecutive_failures + given.consecutive_failures,
        "not_before": func.coalesce(later, known.not_before),
        "updated_at": given.updated_at,
    }
    connection.execute(statement.on_conflict_do_update(index_elements=[known.origin], set_=changes), observed)


def disable(connection: Connection, origin: str, reason: str, now: datetime) -> bool:
    """Stop calling an endpoint; False where it was disabled before."""
    statement = upsert(connection, endpoints).values(
        origin=origin, disabled_reason=reason, disabled_at=now, updated_at=now
    )
    given = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[endpoints.c.origin],
        set_={name: given[name] for name in ("disabled_reason", "disabled_at", "updated_at")},
        where=endpoints.c.disabled_at.is_(None),
    )
    # Not by rowcount: for an upsert, not every driver knows it.
    return connection.scalar(statement.returning(endpoints.c.origin)) is not None


def enable(connection: Connection, origin: str, now: datetime) -> bool:
    """Call an endpoint again, at once; False where it was not disabled."""
    statement = (
        update(endpoints)
        .where(endpoints.c.origin == origin, endpoints.c.disabled_at.is_not(None))
        .values(disabled_reason=None, disabled_at=None, not_before=None, consecutive_failures=0, updated_at=now)
    )
    return connection.execute(statement).rowcount == 1


def known(connection: Connection) -> list[Row]:
    """Return every endpoint that ever failed or was configured, by origin."""
    return rows(connection.execute(select(endpoints).order_by(endpoints.c.origin)))
