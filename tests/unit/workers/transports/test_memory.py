"""The transport in memory that brings a consumer at once what its queue holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue

from workers.transports.memory import BULK


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection("memory://", transport="workers.transports.memory:MemoryTransport") as made:
        yield made


@pytest.fixture
def queues() -> list[Queue]:
    """Two queues of their own: what lies in this transport's outlives its connections."""
    names = [str(uuid.uuid4()) for _ in range(2)]
    return [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in names]


def put(connection: Connection, queue: Queue, number: int) -> None:
    with connection.Producer() as producer:
        for each in range(number):
            producer.publish(each, exchange=queue.exchange, routing_key=queue.routing_key, declare=[queue])


def test_one_round_brings_all_that_a_queue_holds_in_order(connection: Connection, queues: list[Queue]) -> None:
    put(connection, queues[0], 100)
    got: list[Any] = []
    with Consumer(connection.channel(), queues, on_message=lambda message: got.append(message.payload)):
        connection.drain_events(timeout=1)
    assert got == list(range(100))


def test_one_round_brings_no_more_than_the_prefetch_limit(connection: Connection, queues: list[Queue]) -> None:
    put(connection, queues[0], 20)
    got: list[Any] = []
    with Consumer(connection.channel(), queues, on_message=got.append) as consumer:
        consumer.qos(prefetch_count=8)
        connection.drain_events(timeout=1)
        assert len(got) == 8
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.05)
        for message in got[:5]:
            message.ack()
        connection.drain_events(timeout=1)
        assert len(got) == 13


def test_a_long_queue_does_not_keep_the_other_waiting(connection: Connection, queues: list[Queue]) -> None:
    put(connection, queues[0], 3 * BULK)
    put(connection, queues[1], 1)
    got: list[str] = []
    with Consumer(connection.channel(), queues, on_message=lambda each: got.append(each.delivery_info["routing_key"])):
        for _ in range(2):
            connection.drain_events(timeout=1)
    assert queues[1].name in got
    assert len(got) == BULK + 1
