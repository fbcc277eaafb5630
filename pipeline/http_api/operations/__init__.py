"""Every operation of the API, by what it is about."""

from __future__ import annotations

from pipeline.http_api.operation import Operation
from pipeline.http_api.operations import batches, classify, parts, server, submit

#: The table that the application, the document, the reference page and the tests are made from.
OPERATIONS: tuple[Operation, ...] = (
    *server.OPERATIONS,
    *submit.OPERATIONS,
    *parts.OPERATIONS,
    *classify.OPERATIONS,
    *batches.OPERATIONS,
)
