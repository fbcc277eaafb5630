"""Endpoints that are failing or disabled, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.cli.show.output import Messages

#: Number of endpoints that are named; `pipeline endpoints list` names all.
LIMIT = 5


def unhealthy_endpoints(troubled: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the condition of each unhealthy endpoint and the command that shows more; only the first, if many.

    Args:
        troubled: `LIMIT` + 1 of them at most, each with its condition as text.
    """
    for origin, condition in troubled[:LIMIT]:
        yield f"{origin} is {condition}", f"pipeline endpoints show {origin}"
    if len(troubled) > LIMIT:
        yield "more endpoints are failing or disabled", "pipeline endpoints list"


def warn_unhealthy(troubled: Sequence[tuple[str, str]], messages: Messages) -> None:
    """Warn about unhealthy endpoints on standard error."""
    for condition, command in unhealthy_endpoints(troubled):
        messages.warn(f"{condition}; for details run `{command}`")
