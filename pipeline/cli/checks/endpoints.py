"""Endpoints' own secrets and headers: whether they can be read here."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checks.check import Check, fail, ok
from pipeline.cli.output import many
from pipeline.services.context import Context
from pipeline.services.endpoint_secrets import describe_all
from pipeline.settings import Settings
from pipeline.storage.engine import Database


def check_endpoints(chosen: Settings, database: Database) -> Iterator[Check]:
    """Yield a line for those that can be read, and one for each that cannot; none where there are none."""
    found = describe_all(Context(chosen, database))
    readable = [each for each in found if each.locked is None]
    if readable:
        yield ok("endpoints", f"{many(len(readable), 'endpoint')} with secrets or headers of their own")
    for each in found:
        if each.locked is not None:
            yield fail("endpoints", f"{each.origin}: its secrets or headers cannot be read", each.locked)
