"""Open the source of an intake, through a connection if it names one. Libraries are imported only then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from pipeline.connections.connection import ConnectionUse, NamedConnections
from pipeline.domain.urls.connection_url import is_connection_url, parse_connection_url
from pipeline.domain.urls.intake_source import (
    IntakePlace,
    OutboxPlace,
    QueuePlace,
    SqsPlace,
    StreamPlace,
    SubjectPlace,
    TopicPlace,
    check_intake_source,
    parse_intake_place,
)
from pipeline.errors import InvalidSettings
from pipeline.intakes.sources.source import IntakeReader, MessageSource

#: Opens a source for whoever reads it.
OpenSource = Callable[[IntakeReader], MessageSource]


class _Client(NamedTuple):
    """What speaks a protocol.

    Args:
        package, module: of the client; None: pipeline itself needs it.
    """

    source_module: str
    source_class: str
    package: str | None = None
    module: str | None = None
    extra: str | None = None


_CLIENTS: Mapping[type[IntakePlace], _Client] = {
    StreamPlace: _Client("redis_stream", "RedisStream"),
    OutboxPlace: _Client("postgresql_outbox", "PostgresqlOutbox"),
    TopicPlace: _Client("kafka", "KafkaTopic", "confluent-kafka", "confluent_kafka", "kafka"),
    SubjectPlace: _Client("nats_jetstream", "NatsStream", "nats-py", "nats", "nats"),
    QueuePlace: _Client("rabbitmq", "RabbitQueue", "aiormq", "aiormq", "rabbitmq"),
    SqsPlace: _Client("sqs", "SqsQueue", "aiobotocore", "aiobotocore", "sqs"),
}


def locate(url: str, connections: NamedConnections) -> tuple[IntakePlace, OpenSource]:
    """Return what a source is, and what opens it.

    Raises:
        InvalidArgument: messages are not read from there.
        NotFound, InvalidSettings: its connection is unknown, not for intakes, or lacks a variable; or the client of its
            protocol is not installed.
    """
    check_intake_source(url)
    options: Mapping[str, str] = {}
    given = url
    if is_connection_url(url):
        named = parse_connection_url(url, name="SOURCE")
        opened = connections.get(named.name, ConnectionUse.INTAKES).open(named.rest)
        given, options = opened.url, opened.options
    place = parse_intake_place(given, url)
    client = _CLIENTS[type(place)]
    if client.module is not None and find_spec(client.module) is None:
        scheme = given.partition("://")[0]
        raise InvalidSettings(f"{scheme}:// needs {client.package}: pip install 'pipeline[{client.extra}]'")
    return place, lambda reader: _open(client, place, options, url, reader)


def _open(
    client: _Client, place: IntakePlace, options: Mapping[str, str], shown: str, reader: IntakeReader
) -> MessageSource:
    found = getattr(import_module(f"pipeline.intakes.sources.{client.source_module}"), client.source_class)
    opened: MessageSource = found(place, options, shown, reader)
    return opened
