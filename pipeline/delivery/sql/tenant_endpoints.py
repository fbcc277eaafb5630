"""Which endpoints a tenant's batches name, and what its own deliveries to them are waiting for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.tables import batches, deliveries, endpoints
from pipeline.delivery.sql.recent_successes import SCANNED_DELIVERIES, RecentSuccesses
from pipeline.domain.callback_url import parse_origin

_URLS = (batches.c.callback_url, batches.c.batch_callback_url, batches.c.fallback_url)
_SHOWN = ("pending", "sending", "paused", "dead")


def owner(connection: Connection, origin: str) -> str | None:
    """Return whose an endpoint is; None: everybody's."""
    found: str | None = connection.scalar(select(endpoints.c.tenant).where(endpoints.c.origin == origin))
    return found


def claim(connection: Connection, origin: str, tenant: str, now: datetime) -> None:
    """Make an endpoint a tenant's, which has neither secrets nor headers yet."""
    is_free = endpoints.c.tenant.is_(None) & endpoints.c.secrets.is_(None) & endpoints.c.headers.is_(None)
    values = {"tenant": tenant, "updated_at": now}
    inserted = dialect_of(connection).upsert(endpoints).values(origin=origin, **values)
    statement = inserted.on_conflict_do_nothing(index_elements=[endpoints.c.origin])
    connection.execute(statement)
    connection.execute(update(endpoints).where(endpoints.c.origin == origin, is_free).values(**values))


def is_configured_for_all(connection: Connection, origin: str) -> bool:
    """Return whether an endpoint has secrets or headers of its own, and is nobody's."""
    has_any = or_(endpoints.c.secrets.is_not(None), endpoints.c.headers.is_not(None))
    query = select(endpoints.c.origin).where(endpoints.c.origin == origin, endpoints.c.tenant.is_(None), has_any)
    return connection.scalar(query) is not None


def find_named(connection: Connection, tenant: str) -> set[str]:
    """Return the endpoints that a tenant's batches name, that it owns, and that its newest deliveries go to."""
    found = set(connection.scalars(select(endpoints.c.origin).where(endpoints.c.tenant == tenant)))
    for url in _URLS:
        urls = select(url).where(batches.c.tenant == tenant, url.is_not(None)).distinct()
        found.update(map(parse_origin, connection.scalars(urls)))
    newest = select(func.max(deliveries.c.id) - SCANNED_DELIVERIES).scalar_subquery()
    recent = _of_tenant(select(deliveries.c.origin).distinct(), batches.c.tenant == tenant)
    found.update(connection.scalars(recent.where(deliveries.c.id > newest)))
    return found


def has_delivery(connection: Connection, origin: str, tenant: str) -> bool:
    """Return whether any delivery of a tenant's batches goes to an endpoint. If none does, this scans all of them."""
    query = _of_tenant(select(deliveries.c.id), batches.c.tenant == tenant)
    return connection.scalar(query.where(deliveries.c.origin == origin).limit(1)) is not None


def is_named_by_others(connection: Connection, origin: str, tenant: str) -> bool:
    """Return whether batches of other tenants name an endpoint, or have deliveries to it."""
    # As two ranges of the index, which end at once where there is one tenant.
    others = or_(batches.c.tenant < tenant, batches.c.tenant > tenant)
    if connection.scalar(select(batches.c.id).where(others).limit(1)) is None:
        return False
    for url in _URLS:
        urls = select(url).where(others, url.is_not(None)).distinct()
        if any(parse_origin(each) == origin for each in connection.scalars(urls)):
            return True
    query = _of_tenant(select(deliveries.c.id), others).where(deliveries.c.origin == origin)
    return connection.scalar(query.limit(1)) is not None


def count_by_state(connection: Connection, origins: Sequence[str], tenant: str) -> dict[str, dict[str, int]]:
    """Return how many of a tenant's deliveries to each of these endpoints are pending, being sent, paused or dead."""
    query = _of_tenant(select(deliveries.c.origin, deliveries.c.state, func.count()), batches.c.tenant == tenant)
    query = query.where(deliveries.c.origin.in_(origins), deliveries.c.state.in_(_SHOWN))
    found: dict[str, dict[str, int]] = {}
    for origin, state, number in connection.execute(query.group_by(deliveries.c.origin, deliveries.c.state)):
        found.setdefault(origin, {})[state] = number
    return found


def find_oldest_due(connection: Connection, origins: Sequence[str], tenant: str) -> dict[str, datetime]:
    """Return when the first of a tenant's pending deliveries to each of these endpoints is due."""
    query = _of_tenant(select(deliveries.c.origin, func.min(deliveries.c.due_at)), batches.c.tenant == tenant)
    query = query.where(deliveries.c.origin.in_(origins), deliveries.c.state == "pending")
    return {origin: due_at for origin, due_at in connection.execute(query.group_by(deliveries.c.origin))}


def find_recent(connection: Connection, tenant: str) -> dict[str, RecentSuccesses]:
    """Return a tenant's successes among the newest deliveries, by endpoint."""
    newest = select(func.max(deliveries.c.id) - SCANNED_DELIVERIES).scalar_subquery()
    columns = deliveries.c.origin, func.count(), func.max(deliveries.c.finished_at)
    query = _of_tenant(select(*columns), batches.c.tenant == tenant)
    query = query.where(deliveries.c.id > newest, deliveries.c.state == "delivered").group_by(deliveries.c.origin)
    return {origin: RecentSuccesses(number, last_at) for origin, number, last_at in connection.execute(query)}


def _of_tenant(query: Select[Any], tenants: ColumnElement[bool]) -> Select[Any]:
    return query.join(batches, batches.c.id == deliveries.c.batch_id).where(tenants)
