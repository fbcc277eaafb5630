"""Endpoints that are failing or disabled, one line each."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.show.endpoint import condition_text
from pipeline.cli.show.output import Messages
from pipeline.context import Context
from pipeline.delivery.endpoints import troubled

#: Number of endpoints that are named; `pipeline endpoints list` names all.
LIMIT = 5


def unhealthy_endpoints(context: Context) -> Iterator[tuple[str, str]]:
    """Yield the condition of each unhealthy endpoint and the command that shows more; only the first, if many."""
    endpoints = troubled(context, LIMIT + 1)
    for endpoint in endpoints[:LIMIT]:
        yield f"{endpoint.origin} is {condition_text(endpoint.condition)}", f"pipeline endpoints show {endpoint.origin}"
    if len(endpoints) > LIMIT:
        yield "more endpoints are failing or disabled", "pipeline endpoints list"


def warn_unhealthy(context: Context, messages: Messages) -> None:
    """Warn about unhealthy endpoints on standard error."""
    for condition, command in unhealthy_endpoints(context):
        messages.warn(f"{condition}; for details run `{command}`")
