"""How much of a tenant waits, or is still being uploaded."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from pipeline.database.tables import batch_parts, batches


def count_waiting(connection: Connection, tenant: str, except_batch: int | None = None) -> int:
    """Return how many items of a tenant's open batches are not final, uploaded parts included.

    Args:
        except_batch: a batch that does not count.
    """
    final = batches.c.succeeded + batches.c.dead + batches.c.cancelled
    counted = [batches.c.completed_at.is_(None), batches.c.tenant == tenant]
    if except_batch is not None:
        counted.append(batches.c.id != except_batch)
    accepted = connection.scalar(select(func.sum(batches.c.total - final)).where(*counted))
    of_parts = select(func.sum(batch_parts.c["items"])).join(batches, batches.c.id == batch_parts.c.batch_id)
    uploaded = connection.scalar(of_parts.where(*counted, batches.c.state == "accepting"))
    return int(accepted or 0) + int(uploaded or 0)


def count_accepting(connection: Connection, tenant: str, limit: int) -> int:
    """Return how many batches of a tenant are not accepted yet, `limit` at most."""
    found = select(batches.c.id).where(
        batches.c.completed_at.is_(None), batches.c.tenant == tenant, batches.c.state == "accepting"
    )
    return int(connection.scalar(select(func.count()).select_from(found.limit(limit).subquery())) or 0)


def count_open(connection: Connection, tenant: str, *, total: int, weight: int, limit: int) -> int:
    """Return how many open batches of a tenant have this number of items and this weight, `limit` at most."""
    found = select(batches.c.id).where(
        batches.c.completed_at.is_(None),
        batches.c.tenant == tenant,
        batches.c.total == total,
        batches.c.weight == weight,
    )
    return int(connection.scalar(select(func.count()).select_from(found.limit(limit).subquery())) or 0)
