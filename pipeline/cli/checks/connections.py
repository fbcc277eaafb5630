"""Checks of what message targets need: the file of connections, its variables, and the clients of protocols."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.bootstrap import load_connections
from pipeline.cli.checks.check import Check, fail, ok, warn
from pipeline.connections.connection import ConnectionUse, NamedConnection
from pipeline.delivery.targets.protocols import PROTOCOLS
from pipeline.errors import PipelineError
from pipeline.settings import Settings, variable


def check_connections(settings: Settings) -> Iterator[Check]:
    """Yield each connection, with what this process lacks to open it. Secrets are not read, and nothing is opened."""
    if settings.connections is None:
        return
    try:
        found = load_connections(settings.connections)
    except PipelineError as error:
        yield fail(variable("connections"), str(error), "correct the file as the message says")
        return
    yield from map(_check_connection, found)


def _check_connection(connection: NamedConnection) -> Check:
    name = f"connection {connection.name}"
    # In the order of the documentation, not of a set.
    uses = ", ".join(use for use in ConnectionUse if use in connection.uses)
    value = f"{connection.scheme}, for {uses}"
    missing = connection.missing_variables()
    if missing:
        advice = f"only processes that open it need {', '.join(missing)}; set it there"
        return warn(name, f"{value}; not set here: {', '.join(missing)}", advice)
    protocol = PROTOCOLS.get(connection.scheme)
    if protocol is not None and ConnectionUse.TARGETS in connection.uses and not protocol.is_installed:
        return warn(name, value, protocol.advice(connection.scheme))
    return ok(name, value)
