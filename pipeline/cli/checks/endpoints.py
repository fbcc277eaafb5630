"""Checks of the endpoints: their secrets and headers can be decrypted, and none is failing or disabled."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.checks.check import Check, fail, ok, warn
from pipeline.cli.show.endpoint import condition_text
from pipeline.cli.show.output import pluralize
from pipeline.cli.show.unhealthy_endpoints import LIMIT, unhealthy_endpoints
from pipeline.context import Context
from pipeline.delivery import endpoints
from pipeline.delivery.endpoint_secrets import describe_all


def check_endpoints(context: Context) -> Iterator[Check]:
    """Yield one check for all endpoints that can be decrypted, and one for each that cannot or is unhealthy."""
    described = describe_all(context)
    readable = [endpoint for endpoint in described if endpoint.locked is None]
    if readable:
        yield ok("endpoints", f"{pluralize(len(readable), 'endpoint')} with own secrets or headers")
    for endpoint in described:
        if endpoint.locked is not None:
            yield fail("endpoints", f"{endpoint.origin}: its secrets or headers cannot be decrypted", endpoint.locked)
    troubled = [(each.origin, condition_text(each.condition)) for each in endpoints.troubled(context, LIMIT + 1)]
    for condition, command in unhealthy_endpoints(troubled):
        yield warn("endpoint", condition, f"for details run `{command}`")
