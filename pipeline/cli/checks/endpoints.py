"""Endpoints: whether their own secrets and headers can be read here, and which fail or are disabled."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.bootstrap import make_hooks
from pipeline.cli.checks.check import Check, fail, ok, warn
from pipeline.cli.show.endpoint_trouble import in_trouble
from pipeline.cli.show.output import many
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.delivery.endpoint_secrets import describe_all
from pipeline.settings import Settings


def check_endpoints(chosen: Settings, database: Database) -> Iterator[Check]:
    """Yield a line for those that can be read, one for each that cannot, and one for each that is in trouble."""
    context = Context(chosen, database, make_hooks(database))
    found = describe_all(context)
    readable = [each for each in found if each.locked is None]
    if readable:
        yield ok("endpoints", f"{many(len(readable), 'endpoint')} with secrets or headers of their own")
    for each in found:
        if each.locked is not None:
            yield fail("endpoints", f"{each.origin}: its secrets or headers cannot be read", each.locked)
    for said, advice in in_trouble(context):
        yield warn("endpoint", said, f"{advice} says more")
