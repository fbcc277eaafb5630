"""Messages that are published together on RabbitMQ, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from amqp.exceptions import AMQPError, NotFound, RecoverableConnectionError
from kombu import Connection, Queue
from kombu.asynchronous import Hub

from pipeline.broker.confirms import confirmed
from tests.support.servers.fixtures import on_rabbitmq
from tests.support.servers.rabbitmq import RabbitMQ
from workers.transports.rabbitmq import frames, transport

pytestmark = on_rabbitmq

MESSAGES = 1_000
#: Longer than any wait in which something is expected.
LONG = 20.0
Connect = Callable[..., Connection]


class Counted(frames.FrameSocket):
    """Counts how often it writes."""

    writes = 0

    def write(self, s: Any) -> None:
        self.writes += 1
        super().write(s)


@pytest.fixture
def connect(broker: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Return what connects over the transport, with options of it, to a server with a queue."""
    monkeypatch.setattr(transport, "FrameSocket", Counted)
    made: list[Connection] = []

    def connect(**options: Any) -> Connection:
        made.append(
            Connection(
                broker.url,
                transport="workers.transports.rabbitmq.transport:RabbitMQTransport",
                transport_options=options,
            )
        )
        Queue("one", durable=True)(made[-1].default_channel).declare()
        return made[-1]

    yield connect
    for connection in made:
        with suppress(AMQPError, OSError):
            connection.release()


def waiting(connection: Connection, queue: str = "one") -> list[Any]:
    """Take what is in a queue."""
    found = []
    with connection.channel() as channel:
        while message := Queue(queue)(channel).get(no_ack=True, accept=["json"]):
            found.append(message.payload)
    return found


def publish(producer: Any, bodies: Any, **options: Any) -> None:
    for body in bodies:
        producer.publish(body, **{"routing_key": "one", "serializer": "json"} | options)


def test_a_batch_arrives_whole_and_in_order_and_few_writes_send_it(connect: Connect) -> None:
    connection = connect()
    transport = connection.connection.transport
    with connection.Producer() as producer:
        assert producer.supports_batch_publish
        before = transport.writes
        with confirmed(producer, MESSAGES, LONG), producer.batch(max_size=MESSAGES):
            publish(producer, range(MESSAGES), headers={"task": "items.classify", "id": "x" * 36})
        assert transport.writes - before < MESSAGES / 50
    assert waiting(connect()) == list(range(MESSAGES))


def waiting_soon(connection: Connection, number: int) -> list[Any]:
    found: list[Any] = []
    while len(found) < number:
        found += waiting(connection)
    return found


def test_large_messages_among_small_ones_are_published_whole(connect: Connect) -> None:
    bodies = [str(number) * (300_000 if number % 3 == 0 else 10) for number in range(12)]
    connection = connect()
    with connection.Producer() as producer, confirmed(producer, len(bodies), LONG), producer.batch():
        publish(producer, bodies)
    assert waiting(connect()) == bodies


def test_what_is_sent_is_byte_for_byte_what_kombu_sends(connect: Connect, broker: RabbitMQ) -> None:
    connection, kombus = connect(), Connection(broker.url, transport="pyamqp")
    properties = {
        "headers": {"text": "ä", "number": 1 << 40, "none": None, "list": [1, {"a": True}]},
        "priority": 3,
        "expiration": 60,
        "correlation_id": "c",
        "reply_to": "r",
        "delivery_mode": 2,
    }
    got = []
    with connection.Producer() as ours, kombus.Producer() as theirs:
        publish(theirs, ["body"], **properties)
        with ours.batch():
            publish(ours, ["body"], **properties)
        while len(got) < 2:
            found = Queue("one")(connection.default_channel).get(no_ack=True)
            got += [(found.body, found.properties, found.headers)] if found else []
    kombus.release()
    assert got[0] == got[1]


def test_of_a_message_that_cannot_be_written_no_part_is(connect: Connect) -> None:
    connection = connect()
    with connection.Producer() as producer, confirmed(producer, 2, LONG), producer.batch():
        publish(producer, [1])
        with pytest.raises(AMQPError):
            publish(producer, ["x" * 200_000], headers={"no": object()})
        publish(producer, [2])
    assert waiting(connect()) == [1, 2]


def test_what_leads_nowhere_is_returned_where_that_was_asked_for(connect: Connect) -> None:
    connection = connect()
    returned: list[Any] = []
    producer = connection.Producer(on_return=lambda error, exchange, key, message: returned.append(message.body))
    with producer, confirmed(producer, 3, LONG), producer.batch():
        publish(producer, [1], routing_key="nowhere", mandatory=True)
        publish(producer, [2])
        publish(producer, [3], routing_key="nowhere", mandatory=True)
    assert returned == ["1", "3"]
    assert waiting(connect()) == [2]


def test_a_channel_that_the_server_closes_meanwhile_ends_the_batch(connect: Connect) -> None:
    connection = connect()
    with connection.Producer() as producer:
        # Heard of before one of the many others is written.
        with pytest.raises(NotFound), producer.batch(max_size=1):
            publish_to_nowhere_first(producer)
        waiting(connect())
        with confirmed(producer, 1, LONG), producer.batch():
            publish(producer, [2])
    assert waiting(connect()) == [2]


def publish_to_nowhere_first(producer: Any) -> None:
    publish(producer, ["lost"], exchange="nowhere")
    publish(producer, range(100_000))


def test_a_batch_that_has_failed_takes_nothing_more(connect: Connect) -> None:
    connection = connect()
    with connection.Producer() as producer:
        batch = producer.channel.create_publish_batch(max_size=10)
        batch.publish(producer.channel.prepare_message(b"1"), routing_key="one")
        connection.connection.collect()
        with pytest.raises(RecoverableConnectionError):
            batch.flush()
        with pytest.raises(RuntimeError, match="has failed"):
            batch.publish(producer.channel.prepare_message(b"1"), routing_key="one")


def test_a_server_that_takes_nothing_any_more_is_given_up(connect: Connect, broker: RabbitMQ) -> None:
    connection = connect(write_timeout=1)
    broker.suspend()
    try:
        with (
            connection.Producer() as producer,
            pytest.raises(RecoverableConnectionError, match="timed out"),
            producer.batch(),
        ):
            publish(producer, ["x" * 10_000_000] * 3)
    finally:
        broker.resume()
    assert not connection.connected


def test_where_each_message_is_confirmed_before_the_next_nothing_is_put_together(connect: Connect) -> None:
    connection = connect(confirm_publish=True)
    with connection.Producer() as producer:
        producer.publish(1, routing_key="one")
        assert not producer.supports_batch_publish
        with producer.batch():
            publish(producer, [2])
            assert waiting(connect()) == [1, 2]


def test_acknowledgements_that_wait_go_before_what_is_published(connect: Connect) -> None:
    connection = connect()
    with connection.Producer() as producer:
        publish(producer, [1])
        (message,) = [Queue("one")(connection.default_channel).get()]
        hub = Hub()
        connection.register_with_event_loop(hub)
        # It does not come round any more.
        message.ack()
        with producer.batch():
            publish(producer, [2])
        connection.connection.transport.close()
        hub.close()
    assert waiting_soon(connect(), 1) == [2]
