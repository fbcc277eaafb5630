"""Every operation of the API, by what it is about."""

from __future__ import annotations

from pipeline.http_api.operation import Operation
from pipeline.http_api.operations import (
    alerts,
    batches,
    classify,
    dead,
    definitions,
    deliveries,
    document,
    endpoints,
    events,
    guards,
    items,
    keys,
    metrics,
    parts,
    results,
    server,
    sockets,
    submit,
)

#: The table that the application, the document, the reference page and the tests are made from.
OPERATIONS: tuple[Operation, ...] = (
    *server.OPERATIONS,
    *metrics.OPERATIONS,
    *document.OPERATIONS,
    *batches.OPERATIONS,
    *guards.OPERATIONS,
    *items.OPERATIONS,
    *results.OPERATIONS,
    *events.OPERATIONS,
    *sockets.OPERATIONS,
    *dead.OPERATIONS,
    *deliveries.OPERATIONS,
    *endpoints.OPERATIONS,
    *definitions.OPERATIONS,
    *keys.OPERATIONS,
    *alerts.OPERATIONS,
    *submit.OPERATIONS,
    *parts.OPERATIONS,
    *classify.OPERATIONS,
)
