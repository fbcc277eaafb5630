"""The Redis transport that takes many messages in one round trip, on its own, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from kombu import Connection, Consumer, Exchange, Queue

from tests.support.servers.fixtures import on_redis
from tests.support.servers.redis import Redis

pytestmark = on_redis

MESSAGES = 300


class Taker:
    """A consumer of two queues that keeps what it got."""

    def __init__(self, connection: Connection, *, prefetch: int = 0) -> None:
        self._connection = connection
        self.got: list[Any] = []
        self.messages: list[Any] = []
        self.consumer = Consumer(connection.channel(), QUEUES, on_message=self._take, accept=["json"])
        self.consumer.qos(prefetch_count=prefetch)
        self.consumer.consume()

    def _take(self, message: Any) -> None:
        self.got.append(message.payload)
        self.messages.append(message)

    def drain(self, until: int) -> None:
        """Take until there are so many."""
        while len(self.got) < until:
            self._connection.drain_events(timeout=5)

    def look(self) -> None:
        """Take what is there, which may be nothing."""
        with suppress(TimeoutError):
            self._connection.drain_events(timeout=0.2)

    def acknowledge(self) -> None:
        for message in self.messages:
            message.ack()
        self.messages.clear()


FIRST, SECOND = QUEUES = [Queue(name, Exchange(name, type="direct"), routing_key=name) for name in ("one", "two")]


@pytest.fixture
def connect(broker: Redis) -> Iterator[Callable[..., Connection]]:
    """Return what connects over the transport, with kombu's options for it."""
    made: list[Connection] = []

    def connect(**options: object) -> Connection:
        made.append(
            Connection(
                broker.url,
                transport="workers.transports.redis_bulk:RedisTransport",
                transport_options={"ack_emulation": False} | options,
            )
        )
        return made[-1]

    broker.clear()
    yield connect
    for connection in made:
        connection.release()


def put(connection: Connection, queue: Queue, numbers: range, **properties: object) -> None:
    with connection.Producer() as producer:
        for number in numbers:
            producer.publish(
                number, exchange=queue.exchange, routing_key=queue.routing_key, declare=[queue], **properties
            )


def calls(broker: Redis, command: str) -> int:
    """Return how often clients have sent a command."""
    with broker.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_each_message_arrives_once_and_in_order_and_few_round_trips_bring_them(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    put(connection, FIRST, range(MESSAGES))
    before = calls(broker, "brpop") + calls(broker, "rpop")
    taker = Taker(connection)
    taker.drain(MESSAGES)
    taker.look()
    assert taker.got == list(range(MESSAGES))
    assert calls(broker, "brpop") + calls(broker, "rpop") - before <= 6


def test_what_is_published_together_is_one_command_for_each_queue(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    taker = Taker(connection)
    before = calls(broker, "lpush")
    with connection.Producer() as producer, producer.batch():
        for number in range(MESSAGES):
            producer.publish(number, exchange="", routing_key=QUEUES[number % 2].name)
    assert calls(broker, "lpush") - before == 2
    taker.drain(MESSAGES)
    assert sorted(taker.got) == list(range(MESSAGES))
    assert [number for number in taker.got if number % 2 == 0] == list(range(0, MESSAGES, 2))


def test_headers_that_json_does_not_have_arrive_as_they_were(connect: Callable[..., Connection]) -> None:
    connection = connect()
    taker = Taker(connection)
    at = datetime(2026, 11, 21, tzinfo=UTC)
    put(connection, FIRST, range(1), headers={"at": at})
    taker.drain(1)
    assert taker.messages[0].headers["at"] == at


def test_a_prefix_of_all_keys_is_kept(connect: Callable[..., Connection], broker: Redis) -> None:
    connection = connect(global_keyprefix="mine:")
    put(connection, FIRST, range(20))
    with broker.client() as client:
        assert client.llen("mine:one") == 20
    taker = Taker(connection)
    taker.drain(20)
    assert taker.got == list(range(20))


def test_a_queue_whose_name_begins_with_the_prefix_is_taken_in_bulk_as_well(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect(global_keyprefix="on")
    put(connection, FIRST, range(20))
    before = calls(broker, "brpop")
    taker = Taker(connection)
    taker.drain(20)
    assert taker.got == list(range(20))
    assert calls(broker, "brpop") - before == 1


@pytest.mark.parametrize("raw", [b"{}", b"no JSON"])
def test_a_message_that_nobody_can_read_takes_no_other_with_it(
    raw: bytes, connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    put(connection, FIRST, range(5))
    with broker.client() as client:
        client.lpush("one", raw)
    put(connection, FIRST, range(5, 10))
    taker = Taker(connection)
    with pytest.raises((KeyError, ValueError)):
        taker.drain(10)
    taker.drain(10)
    assert taker.got == list(range(10))


def test_what_a_consumer_fails_at_takes_no_other_message_with_it(connect: Callable[..., Connection]) -> None:
    connection = connect()
    put(connection, FIRST, range(10))
    got: list[Any] = []

    def take(message: Any) -> None:
        got.append(message.payload)
        message.ack()
        if message.payload == 3:
            raise LookupError

    with pytest.raises(LookupError), Consumer(connection.channel(), [FIRST], on_message=take):
        connection.drain_events(timeout=5)
    again = Taker(connect())
    again.drain(6)
    again.look()
    assert got == [0, 1, 2, 3]
    assert again.got == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_what_is_on_its_way_when_a_connection_is_closed_goes_back_to_its_place(
    is_cancelled: bool, connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    put(connection, FIRST, range(20))
    taker = Taker(connection, prefetch=1)
    taker.drain(1)
    # Asks for the next one, which is there.
    taker.acknowledge()
    connection.transport.cycle.on_poll_start()
    taker.consumer.qos(prefetch_count=10)
    if is_cancelled:
        taker.consumer.cancel()
    before = calls(broker, "rpop")
    connection.close()
    assert calls(broker, "rpop") == before
    again = Taker(connect())
    again.drain(19)
    assert again.got == list(range(1, 20))


def test_one_round_brings_one_message_to_a_consumer_that_acknowledges_none(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    put(connection, FIRST, range(10))
    got: list[Any] = []
    with Consumer(connection.channel(), [FIRST], on_message=lambda message: got.append(message.payload), no_ack=True):
        connection.drain_events(timeout=5)
    assert got == [0]
    with broker.client() as client:
        assert client.llen("one") == 9


def test_a_server_that_refuses_bulks_hands_out_one_message_at_a_time(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    put(connection, FIRST, range(10))
    with broker.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-rpop")
        try:
            taker = Taker(connection)
            taker.drain(10)
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+rpop")
    assert taker.got == list(range(10))


def test_headers_that_only_python_reads_arrive_as_they_were(connect: Callable[..., Connection]) -> None:
    connection = connect()
    taker = Taker(connection)
    headers = {"text": "\ud800", "number": float("inf")}
    put(connection, FIRST, range(3), headers=headers)
    taker.drain(3)
    assert [message.headers for message in taker.messages] == [headers] * 3


def test_messages_that_are_published_together_expire_with_their_queue(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    queue = Queue("short", Exchange("short", type="direct"), routing_key="short", expires=60)
    queue(connection.default_channel).declare()
    with connection.Producer(connection.default_channel) as producer, producer.batch():
        producer.publish(1, exchange="", routing_key="short")
    with broker.client() as client:
        assert 0 < client.pttl("short") <= 60_000


def test_a_server_that_comes_back_empty_is_consumed_from_again(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    connection = connect()
    put(connection, FIRST, range(10))
    taker = Taker(connection)
    taker.drain(10)
    broker.restart()
    # Not the end of the time to wait, which is an error of connections as well.
    with pytest.raises(redis.ConnectionError):
        taker.drain(11)
    connection = connect()
    taker = Taker(connection)
    put(connection, FIRST, range(MESSAGES, MESSAGES + 5))
    taker.drain(5)
    assert taker.got == list(range(MESSAGES, MESSAGES + 5))


def test_with_acknowledgements_in_redis_what_a_consumer_left_behind_comes_again(
    connect: Callable[..., Connection], broker: Redis
) -> None:
    kept = {"ack_emulation": True, "visibility_timeout": 0}
    connection = connect(**kept)
    put(connection, FIRST, range(20))
    taker = Taker(connection, prefetch=20)
    taker.drain(20)
    for message in taker.messages[:15]:
        message.ack()
    with broker.client() as client:
        assert client.hlen("unacked") == 5
    channel = connect(**kept).channel()
    channel.qos.restore_visible(num=100)
    again = Taker(connection)
    again.drain(5)
    assert sorted(again.got) == list(range(15, 20))
