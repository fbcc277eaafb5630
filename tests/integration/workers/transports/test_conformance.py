"""What the pipeline needs a transport to do. Ours pass, and so do kombu's own, so that either can take its place."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from kombu import Queue

from pipeline.settings import Transport
from tests.support.receivers.owed import wait_until
from tests.support.transports import Bench, BrokerServer, Candidate, cut_connections, make_queue, on

MESSAGES = 200


@pytest.fixture
def bench(candidate: Candidate, broker_server: BrokerServer) -> Iterator[Bench]:
    """Connections over one transport."""
    with Bench(candidate, broker_server) as made:
        yield made


@pytest.fixture
def queues() -> list[Queue]:
    """Two queues that no other test has: what lies in the memory of this process outlives connections."""
    return [make_queue(uuid.uuid4().hex) for _ in range(2)]


@pytest.fixture
def queue(queues: list[Queue]) -> Queue:
    return queues[0]


def take_all(bench: Bench, queue: Queue, number: int) -> list[Any]:
    """Return what a new consumer gets: so many messages, and no more."""
    taker = bench.taker(queue)
    taker.read(number)
    taker.look()
    taker.acknowledge()
    taker.close()
    return taker.got


def comes_again(bench: Bench, queue: Queue, number: int) -> list[Any]:
    """Return, sorted, what a new consumer gets, since what comes back need not come to its old place."""
    return sorted(take_all(bench, queue, number))


def test_each_message_arrives_once_and_in_the_order_of_its_queue(bench: Bench, queues: list[Queue]) -> None:
    one, two = queues
    bench.put(one, range(MESSAGES))
    bench.put(two, range(MESSAGES, 2 * MESSAGES))
    taker = bench.taker(one, two)
    taker.read(2 * MESSAGES)
    taker.look()
    taker.acknowledge()
    assert sorted(taker.got) == list(range(2 * MESSAGES))
    assert [body for body in taker.got if body < MESSAGES] == list(range(MESSAGES))
    assert [body for body in taker.got if body >= MESSAGES] == list(range(MESSAGES, 2 * MESSAGES))


def test_a_consumer_of_an_empty_queue_gets_what_is_published_later(bench: Bench, queue: Queue) -> None:
    taker = bench.taker(queue)
    taker.look()
    assert taker.got == []
    bench.put(queue, [1])
    taker.read(1)
    bench.put(queue, [2, 3])
    taker.read(3)
    assert taker.got == [1, 2, 3]


def test_no_more_than_the_prefetch_limit_is_held_until_something_is_acknowledged(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(MESSAGES))
    taker = bench.taker(queue, prefetch=10)
    taker.read(10)
    taker.look()
    assert taker.got == list(range(10))
    assert bench.waiting(queue) == MESSAGES - 10
    taker.acknowledge(0, 5, 9)
    taker.read(13)
    taker.look()
    assert taker.got == list(range(13))


def test_a_long_queue_does_not_keep_another_waiting(bench: Bench, queues: list[Queue]) -> None:
    long, short = queues
    bench.put(long, range(600))
    bench.put(short, range(1_000, 1_010))
    taker = bench.taker(long, short, prefetch=20)
    taker.handle = lambda message: taker.messages.pop().ack()
    taker.read_until(lambda: set(range(1_000, 1_010)) <= set(taker.got))
    assert len(taker.got) < 600


def test_consumers_share_a_queue(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(30))
    takers = [bench.taker(queue, prefetch=5) for _ in range(2)]
    while sum(len(taker.got) for taker in takers) < 30:
        for taker in takers:
            taker.look()
            taker.acknowledge()
    assert sorted(takers[0].got + takers[1].got) == list(range(30))
    assert all(taker.got for taker in takers)


def test_an_acknowledged_message_never_comes_again(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(20))
    taker = bench.taker(queue)
    taker.read(20)
    # Neither from the first on nor without gaps.
    taker.acknowledge(*range(1, 20, 2))
    taker.close()
    left = list(range(0, 20, 2)) if bench.candidate.redelivers else []
    assert comes_again(bench, queue, len(left)) == left


def test_other_threads_acknowledge_the_way_workers_do(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(40))
    taker = bench.taker(queue, prefetch=10)
    with ThreadPoolExecutor(2) as pool:
        taker.handle = lambda message: pool.submit(taker.call_soon, message.ack)
        taker.read(40)
    taker.look()
    taker.close()
    assert comes_again(bench, queue, 0) == []


def test_a_rejected_message_is_gone_and_one_that_is_put_back_comes_again(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(10))
    taker = bench.taker(queue, prefetch=10)
    taker.read(10)
    taker.messages.pop(7).requeue()
    taker.messages.pop(3).reject()
    taker.read(11)
    taker.look()
    assert taker.got == [*range(10), 7]
    taker.acknowledge()
    taker.close()
    assert comes_again(bench, queue, 0) == []


def test_an_acknowledgement_after_the_end_of_the_connection_does_no_harm(
    bench: Bench, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    bench.put(queue, range(10))
    taker = bench.taker(queue)
    taker.read(10)
    late = taker.messages[:5]
    errors = taker.connection.connection_errors
    taker.close()
    with caplog.at_level(logging.CRITICAL + 1):
        for message in late:
            # As a worker acknowledges.
            message.ack_log_error(logging.getLogger(__name__), errors)
    left = list(range(10)) if bench.candidate.redelivers else []
    assert comes_again(bench, queue, len(left)) == left


def test_a_consumer_that_acknowledges_nothing_holds_nothing(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(50))
    taker = bench.taker(queue, no_ack=True)
    taker.read(50)
    assert taker.got == list(range(50))
    taker.close()
    assert comes_again(bench, queue, 0) == []


def test_a_cancelled_consumer_gets_nothing_more_and_leaves_the_rest(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(20))
    taker = bench.taker(queue, prefetch=1)
    taker.read(1)
    taker.consumer.cancel()
    taker.acknowledge()
    taker.look()
    assert taker.got == [0]
    assert comes_again(bench, queue, 19) == list(range(1, 20))


def test_a_handler_may_cancel_its_consumer(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(20))
    taker = bench.taker(queue, prefetch=4)

    def handle(message: Any) -> None:
        message.ack()
        if message.payload == 3:
            taker.consumer.cancel()

    taker.handle = handle
    taker.read(4)
    taker.look()
    before, taker.messages = list(taker.got), []
    taker.close()
    # Of what was on its way already, a few more may have come, and were acknowledged.
    assert before == list(range(len(before)))
    assert comes_again(bench, queue, 20 - len(before)) == list(range(len(before), 20))


def test_a_handler_may_ask_and_publish_while_messages_wait_for_it(bench: Bench, queues: list[Queue]) -> None:
    one, two = queues
    bench.put(one, range(50))
    bench.put(two, [])
    # One at a time: of two that ask on one channel of py-amqp, one inside the other, the outer gets no answer.
    taker = bench.taker(one, prefetch=1)
    producer = taker.connection.Producer(taker.connection.default_channel, serializer="json")

    def handle(message: Any) -> None:
        assert 0 <= two(taker.connection.default_channel).queue_declare().message_count <= 50
        producer.publish(message.payload, exchange=two.exchange, routing_key=two.routing_key)
        message.ack()

    taker.handle = handle
    taker.read(50)
    assert taker.got == list(range(50))
    taker.close()
    assert comes_again(bench, two, 50) == list(range(50))


def test_a_handler_that_fails_takes_no_other_message_with_it(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(50))
    taker = bench.taker(queue)
    handled: list[Any] = []

    def handle(message: Any) -> None:
        if message.payload == 30:
            raise LookupError
        handled.append(message.payload)
        message.ack()

    taker.handle = handle
    with pytest.raises(LookupError):
        taker.read(51)
    # While a connection closes, more may be handed out, and not every transport can acknowledge that any more.
    taker.handle = lambda message: None
    taker.close()
    left = set(range(50)) - set(handled) - (set() if bench.candidate.redelivers else {30})
    assert len(handled) == len(set(handled)) >= 30
    assert comes_again(bench, queue, len(left)) == sorted(left)


def test_messages_of_every_size_and_kind_arrive_as_they_were(bench: Bench, queue: Queue) -> None:
    bodies = [str(number) * (150_000 if number % 4 == 0 else 20) for number in range(1, 13)]
    properties = {
        "headers": {"task": "items.classify", "id": "ä ☕", "none": None, "number": 7, "list": [1, {"a": True}]},
        "correlation_id": "c",
        "reply_to": "r",
        "delivery_mode": 2,
        "priority": 3,
    }
    bench.put(queue, [*bodies, {"deep": [None, 1.5, "ü"]}, []], **properties)
    taker = bench.taker(queue)
    taker.read(14)
    assert taker.got == [*bodies, {"deep": [None, 1.5, "ü"]}, []]
    for message in taker.messages:
        assert message.headers == properties["headers"]
        assert message.delivery_info["routing_key"] == queue.routing_key
        found = {name: message.properties[name] for name in ("correlation_id", "reply_to", "delivery_mode")}
        assert found == {"correlation_id": "c", "reply_to": "r", "delivery_mode": 2}
        assert (message.content_type, message.content_encoding) == ("application/json", "utf-8")


@on(Transport.REDIS)
def test_urgent_messages_come_before_others_of_their_queue(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(5), priority=9)
    bench.put(queue, range(5, 10), priority=0)
    taker = bench.taker(queue)
    taker.read(10)
    assert taker.got == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


@on(Transport.REDIS, Transport.RABBITMQ)
def test_a_lost_connection_is_noticed_and_costs_at_most_what_was_being_handled(
    bench: Bench, queue: Queue, broker_server: BrokerServer
) -> None:
    bench.put(queue, range(20))
    taker = bench.taker(queue, prefetch=50)
    taker.read(20)
    taker.acknowledge(*range(15))
    cut_connections(broker_server)
    with pytest.raises(taker.connection.connection_errors):
        taker.read(21)
    taker.close()
    bench.put(queue, range(20, 40))
    again = bench.taker(queue)
    again.read_until(lambda: 39 in again.got)
    again.look()
    # What was handed out and not acknowledged comes again, or is lost with the consumer: leases find it then.
    assert set(range(20, 40)) <= set(again.got) <= set(range(15, 40))
    assert len(again.got) == len(set(again.got))


def test_messages_published_together_arrive_in_the_order_of_their_queue(bench: Bench, queues: list[Queue]) -> None:
    for queue in queues:
        bench.put(queue, [])
    with bench.connect().Producer(serializer="json") as producer, producer.batch(max_size=30):
        for number in range(100):
            producer.publish(number, exchange="", routing_key=queues[number % 2].name)
    for position, queue in enumerate(queues):
        assert take_all(bench, queue, 50) == list(range(position, 100, 2))


def test_a_batch_is_published_in_groups_of_its_size_at_the_most(bench: Bench, queue: Queue) -> None:
    bench.put(queue, [])
    with bench.connect().Producer(serializer="json") as producer:
        with suppress(LookupError), producer.batch(max_size=10):
            for number in range(25):
                producer.publish(number, exchange="", routing_key=queue.name)
            raise LookupError
        # Without batches of its own, a transport publishes at once.
        kept = 20 if producer.supports_batch_publish else 25
        with producer.batch():
            producer.publish(100, exchange="", routing_key=queue.name)
    assert take_all(bench, queue, kept + 1) == [*range(kept), 100]


def test_a_queue_tells_how_much_waits_and_can_be_emptied(bench: Bench, queue: Queue) -> None:
    bench.put(queue, range(5))
    connection = bench.connect()
    bound = queue(connection.default_channel)
    # A queue of RabbitMQ counts a message some time after it was sent.
    wait_until(lambda: bound.queue_declare().message_count == 5)
    assert bound.get(no_ack=True, accept=["json"]).payload == 0
    assert bound.purge() == 4
    assert bound.get() is None
    assert bound.queue_declare().message_count == 0


def test_what_one_transport_publishes_the_other_reads(
    candidate: Candidate, broker_server: BrokerServer, queue: Queue
) -> None:
    another = replace(candidate, is_fast=not candidate.is_fast)
    headers = {"task": "items.classify", "id": "x" * 36, "none": None}
    with Bench(candidate, broker_server) as one, Bench(another, broker_server) as other:
        one.put(queue, [])
        with one.connect().Producer(serializer="json") as producer, producer.batch():
            for number in range(20):
                producer.publish(number, exchange="", routing_key=queue.name, headers=headers, correlation_id="c")
        taker = other.taker(queue)
        taker.read(20)
        assert taker.got == list(range(20))
        assert {tuple(message.headers.items()) for message in taker.messages} == {tuple(headers.items())}
        assert {message.properties["correlation_id"] for message in taker.messages} == {"c"}
