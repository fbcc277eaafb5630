"""Endpoints that belong to a tenant."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from pipeline.database.dialect import dialect_of
from pipeline.database.tables import endpoints


def find_foreign(connection: Connection, origins: Collection[str], tenant: str) -> list[str]:
    """Return which of these endpoints belong to another tenant."""
    dialect = dialect_of(connection)
    query = select(endpoints.c.origin).where(
        dialect.is_in_list(endpoints.c.origin, "origins"), endpoints.c.tenant.is_not(None), endpoints.c.tenant != tenant
    )
    return sorted(connection.scalars(query, {"origins": dialect.encode_list(sorted(origins))}))
