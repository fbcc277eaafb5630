"""Confirms of RabbitMQ for groups of messages, over our transport and over kombu's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Queue

from pipeline.broker.confirms import NotConfirmed, confirmed
from pipeline.settings import Transport
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.transports import Bench, Candidate, on

pytestmark = on(Transport.RABBITMQ)

#: Longer than any wait in which something is expected.
LONG = 20.0


@pytest.fixture
def connection(candidate: Candidate, broker_server: RabbitMQ) -> Iterator[Connection]:
    """A connection over one transport, to a server that is empty but for one queue, which takes five messages."""
    broker_server.clear()
    with Bench(candidate, broker_server) as bench:
        made = bench.connect()
        full = {"x-max-length": 5, "x-overflow": "reject-publish"}
        Queue("full", durable=True, queue_arguments=full)(made.default_channel).declare()
        yield made


def publish(producer: Any, number: int) -> None:
    for each in range(number):
        producer.publish(each, routing_key="full", serializer="json")


def test_what_is_stored_is_confirmed(connection: Connection) -> None:
    with connection.Producer() as producer:
        for _ in range(2):
            with confirmed(producer, 2, LONG), producer.batch():
                publish(producer, 2)
        assert Queue("full")(producer.channel).queue_declare(passive=True).message_count == 4


def test_every_message_that_is_refused_is_counted(connection: Connection) -> None:
    with (
        connection.Producer() as producer,
        pytest.raises(NotConfirmed, match="refused 15 messages"),
        confirmed(producer, 20, LONG),
        producer.batch(),
    ):
        publish(producer, 20)


def test_a_server_short_of_memory_confirms_nothing_until_it_has_enough(
    connection: Connection, candidate: Candidate, broker_server: RabbitMQ
) -> None:
    broker_server.run_short()
    try:
        with (
            connection.Producer() as producer,
            pytest.raises(NotConfirmed, match="did not confirm 3 messages"),
            confirmed(producer, 3, 1),
            producer.batch(),
        ):
            publish(producer, 3)
    finally:
        broker_server.have_enough()
    with (
        Bench(candidate, broker_server) as bench,
        bench.connect().Producer() as producer,
        confirmed(producer, 1, LONG),
        producer.batch(),
    ):
        publish(producer, 1)


def test_a_failure_in_between_is_the_end_of_the_count(connection: Connection) -> None:
    def publish_and_fail(producer: Any) -> None:
        publish(producer, 1)
        raise LookupError

    with connection.Producer() as producer, pytest.raises(LookupError), confirmed(producer, 3, LONG):
        publish_and_fail(producer)
    with connection.Producer() as producer, confirmed(producer, 1, LONG), producer.batch():
        publish(producer, 1)
