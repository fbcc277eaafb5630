"""Change what is configured for an endpoint, for a caller who sees one tenant or all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import endpoints, tenant_view
from pipeline.delivery.endpoints import KnownEndpoint, configured_version
from pipeline.http_api.problems import Problem


def change_endpoint(
    context: Context,
    endpoint: str,
    changes: Mapping[str, Any],
    *,
    sees: str | None,
    headers: Mapping[str, str | None] | None = None,
    expected_version: str | None = None,
) -> KnownEndpoint:
    """Change settings and headers of an endpoint, all or none, and return it as its caller sees it.

    Args:
        changes: settings by name; None restores the default.
        sees: the tenant of the caller; None: it sees all.
        headers: as in `endpoints.configure`.
        expected_version: the version that the caller saw; None: any.

    Raises:
        Problem: precondition_failed: it was changed since.
        EndpointOwned: the change would reach deliveries of other tenants.
        InvalidInput: a setting or header is invalid.
    """

    def check(connection: Connection, row: Row) -> None:
        if expected_version not in (None, configured_version(row)):
            raise Problem("precondition_failed", f"{row['origin']} was changed since you saw it")
        if headers:
            tenant_view.claim(context, connection, row["origin"], sees)
        elif sees is not None:
            tenant_view.refuse_shared(connection, row["origin"], sees)

    found = endpoints.configure(context, endpoint, headers=headers, check=check, **changes)
    return tenant_view.as_seen(context, found, sees)
