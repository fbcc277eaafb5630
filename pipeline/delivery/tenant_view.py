"""Deliveries and endpoints as a tenant sees them: its own, and what its own batches name."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import deliveries, delivery_search, endpoints
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.delivery.sql import search, tenant_endpoints
from pipeline.delivery.sql.recent_successes import RecentSuccesses
from pipeline.domain.bounds import TEXT, shown
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.ids import WEBHOOK_PREFIX
from pipeline.domain.tenant import DEFAULT_TENANT
from pipeline.errors import EndpointOwned, NotFound


def find_delivery(context: Context, name: str, tenant: str | None) -> Row:
    """Return the delivery with this id, or with the webhook id of its event or bundle.

    Args:
        tenant: only a delivery of its batches is found; None: any.

    Raises:
        NotFound: there is none. A delivery of another tenant is answered in the same words.
        InvalidInput: several deliveries have that webhook id.
    """
    if TEXT.find_problem(name) or not (name.isdecimal() or name.startswith(WEBHOOK_PREFIX)):
        raise _unknown_delivery(name)
    try:
        number = delivery_search.number(context, name, tenant=tenant)
    except NotFound:
        raise _unknown_delivery(name) from None
    with context.database.read() as connection:
        row = search.get(connection, number)
    if row is None or tenant not in (None, row["tenant"]):
        raise _unknown_delivery(name)
    return row


def replay_missing(
    context: Context, url: str, batch: str, *, tenant: str, batch_events: bool = False, dry_run: bool = False
) -> int:
    """Send to a URL the events of a tenant's batch that were never owed to it; see `deliveries.replay_missing`.

    Raises:
        EndpointOwned: the URL is at another tenant's endpoint.
        ForbiddenCallbackUrl: it is at a connection that is not for the tenant.
    """
    context.destinations.for_tenant(tenant).check(url, name="the URL")
    with context.database.read() as connection:
        _refuse_owned(connection, parse_callback_url(url, name="the URL").origin, tenant)
    return deliveries.replay_missing(context, url, batch, batch_events=batch_events, dry_run=dry_run)


def find_endpoint(context: Context, endpoint: str, tenant: str | None) -> KnownEndpoint:
    """Return an endpoint.

    Args:
        tenant: only an endpoint that its batches name is found, with the numbers of its own deliveries; None: any.

    Raises:
        NotFound: there is none. An endpoint that only other tenants name is answered in the same words.
    """
    origin = check_visible(context, endpoint, tenant)
    try:
        found = endpoints.show(context, origin)
    except NotFound:
        if tenant is None:
            raise _unknown_endpoint(origin) from None
        # Its batches name it, and nothing has happened there yet.
        found = endpoints.unused(context, origin)
    return as_seen(context, found, tenant)


def as_seen(context: Context, found: KnownEndpoint, tenant: str | None) -> KnownEndpoint:
    """Return an endpoint with the numbers of a tenant's own deliveries instead of everybody's; None: everybody's."""
    return found if tenant is None else _own(context, [found], tenant)[0]


def list_endpoints(
    context: Context, tenant: str | None, *, state: str | None, after: str | None, limit: int
) -> list[KnownEndpoint]:
    """Return endpoints by name: those that a tenant's batches name, or all; see `endpoints.every`."""
    if tenant is None:
        return endpoints.every(context, state=state, after=after, limit=limit)
    with context.database.read() as connection:
        named = tenant_endpoints.find_named(connection, tenant)
    found = endpoints.every(context, state=state, after=after, limit=limit, only=named)
    return _own(context, found, tenant)


def check_visible(context: Context, endpoint: str, tenant: str | None) -> str:
    """Return the name of an endpoint that a tenant may see.

    Raises:
        NotFound: none of its batches names it.
    """
    origin = parse_callback_url(endpoint, name="the endpoint").origin
    if tenant is None:
        return origin
    with context.database.read() as connection:
        is_named = origin in tenant_endpoints.find_named(connection, tenant)
        if is_named or tenant_endpoints.has_delivery(connection, origin, tenant):
            return origin
    raise _unknown_endpoint(origin)


def check_operable(context: Context, endpoint: str, tenant: str | None) -> str:
    """Return the name of an endpoint that a tenant may enable and disable: it sees it, and nobody else uses it.

    Raises:
        NotFound: none of its batches names it.
        EndpointOwned: it is another tenant's, or another tenant's batches name it as well.
    """
    origin = check_visible(context, endpoint, tenant)
    if tenant is not None:
        with context.database.read() as connection:
            refuse_shared(connection, origin, tenant)
    return origin


def claim(context: Context, connection: Connection, origin: str, tenant: str | None) -> None:
    """Make an endpoint a tenant's before it gets secrets or headers, which would sign for everybody otherwise.

    Args:
        tenant: None: an operator, for whom it stays whose it is.

    Raises:
        EndpointOwned: it is another tenant's, other tenants' batches name it, or an operator configured it for all.
    """
    if tenant is None:
        return
    refuse_shared(connection, origin, tenant)
    if tenant_endpoints.is_configured_for_all(connection, origin):
        return
    tenant_endpoints.claim(connection, origin, tenant, context.now())
    # Another tenant may have been first.
    if tenant_endpoints.owner(connection, origin) != tenant:
        raise _owned(origin)


def refuse_shared(connection: Connection, origin: str, tenant: str) -> None:
    """Raise `EndpointOwned` if a change of an endpoint would reach deliveries of another tenant."""
    _refuse_owned(connection, origin, tenant)
    # What the command line configured is the default tenant's, too: often there is no other.
    if tenant != DEFAULT_TENANT and tenant_endpoints.is_configured_for_all(connection, origin):
        raise _owned(origin)
    if tenant_endpoints.is_named_by_others(connection, origin, tenant):
        raise EndpointOwned(f"batches of other tenants call {origin} as well; only an operator can change it")


def _refuse_owned(connection: Connection, origin: str, tenant: str) -> None:
    if tenant_endpoints.owner(connection, origin) not in (None, tenant):
        raise _owned(origin)


def _own(context: Context, found: list[KnownEndpoint], tenant: str) -> list[KnownEndpoint]:
    """Return endpoints with the numbers of a tenant's own deliveries instead of everybody's."""
    origins = [each.origin for each in found]
    with context.database.read() as connection:
        waits = tenant_endpoints.count_by_state(connection, origins, tenant)
        due = tenant_endpoints.find_oldest_due(connection, origins, tenant)
        took = tenant_endpoints.find_recent(connection, tenant)
    return [
        replace(
            each,
            backlog=waits.get(each.origin, {}),
            oldest_due_at=due.get(each.origin),
            taken=took.get(each.origin, RecentSuccesses()),
        )
        for each in found
    ]


def _owned(origin: str) -> EndpointOwned:
    return EndpointOwned(f"the endpoint {origin} is configured for others; use another one, or ask an operator")


def _unknown_delivery(name: str) -> NotFound:
    return NotFound(f"there is no delivery {shown(name)}")


def _unknown_endpoint(origin: str) -> NotFound:
    return NotFound(f"the endpoint {origin} is unknown: no batch names it")
