"""Open the source of an intake, through a connection if it names one. Libraries are imported only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.connections.connection import ConnectionUse, NamedConnections
from pipeline.domain.urls.connection_url import is_connection_url, parse_connection_url
from pipeline.domain.urls.intake_source import IntakePlace, StreamPlace, check_intake_source, parse_intake_place
from pipeline.intakes.sources.source import MessageSource


def locate(url: str, connections: NamedConnections) -> tuple[IntakePlace, Callable[[], MessageSource]]:
    """Return what a source is, and what opens it.

    Raises:
        InvalidArgument: messages are not read from there.
        NotFound, InvalidSettings: its connection is unknown, not for intakes, or lacks a variable.
    """
    check_intake_source(url)
    options: Mapping[str, str] = {}
    given = url
    if is_connection_url(url):
        named = parse_connection_url(url, name="SOURCE")
        opened = connections.get(named.name, ConnectionUse.INTAKES).open(named.rest)
        given, options = opened.url, opened.options
    place = parse_intake_place(given, url)
    return place, lambda: _open(place, options, url)


def _open(place: IntakePlace, options: Mapping[str, str], shown: str) -> MessageSource:
    if isinstance(place, StreamPlace):
        from pipeline.intakes.sources.redis_stream import RedisStream

        return RedisStream(place, options, shown)
    from pipeline.intakes.sources.postgresql_outbox import PostgresqlOutbox

    return PostgresqlOutbox(place, options, shown)
