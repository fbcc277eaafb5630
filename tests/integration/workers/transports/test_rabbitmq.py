"""The RabbitMQ transport that does things in bulk, on its own, against a real server: reading and acknowledging."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from amqp.exceptions import AMQPError, ConnectionForced
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub

from tests.support.servers.fixtures import on_rabbitmq
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.worker import wait_for
from workers.transports.rabbitmq import frames, transport

pytestmark = on_rabbitmq

MESSAGES = 300
#: Bytes of an acknowledgement, of one message or of all up to one.
ONE_FRAME = 21
QUEUE = Queue("one", routing_key="one", durable=True)


Connect = Callable[..., Connection]


class Counted(frames.FrameSocket):
    """Counts how often it reads and writes, and the bytes it writes."""

    reads = writes = written = 0

    def take(self) -> None:
        self.reads += 1
        super().take()

    def write(self, s: Any) -> None:
        self.writes += 1
        self.written += len(s)
        super().write(s)


class Taker:
    """A consumer that kombu's event loop reads for, and that keeps what it got."""

    def __init__(self, connection: Connection, *, prefetch: int = 0, no_ack: bool = False) -> None:
        self.connection = connection
        self.got: list[Any] = []
        self.messages: list[Any] = []
        self.handle: Callable[[Any], None] = lambda message: None
        self.hub = Hub()
        connection.connect()
        connection.register_with_event_loop(self.hub)
        self.consumer = Consumer(connection.channel(), [QUEUE], on_message=self._take, accept=["json"], no_ack=no_ack)
        self.consumer.qos(prefetch_count=prefetch)
        self.consumer.consume()

    @property
    def transport(self) -> Any:
        """The connection to the server itself."""
        return self.connection.connection.transport

    def _take(self, message: Any) -> None:
        self.got.append(message.payload)
        self.messages.append(message)
        self.handle(message)

    def run(self, until: int) -> None:
        """Have the loop come round until there are so many."""
        self.run_until(lambda: len(self.got) >= until)

    def run_until(self, condition: Callable[[], bool]) -> None:
        def comes_round() -> bool:
            self.hub.run_once()
            return condition()

        wait_for(lambda: condition() or comes_round(), 20)

    def come_round(self) -> None:
        """Have the loop come round twice, with something to wake it."""
        for _ in range(2):
            self.hub.call_later(0, bool)
            self.hub.timer.call_after(0.01, bool)
            self.hub.run_once()

    def acknowledge(self, *numbers: int) -> None:
        """Acknowledge those, or all."""
        for message in [each for each in self.messages if not numbers or each.payload in numbers]:
            message.ack()
            self.messages.remove(message)


Consume = Callable[..., Taker]


@pytest.fixture
def connect(broker: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Return what connects over the transport; with kombu's options for it."""
    monkeypatch.setattr(transport, "FrameSocket", Counted)
    made: list[Connection] = []

    def connect(**options: Any) -> Connection:
        made.append(
            Connection(broker.url, transport="workers.transports.rabbitmq.transport:RabbitMQTransport", **options)
        )
        return made[-1]

    yield connect
    for connection in made:
        connection.release()


@pytest.fixture
def consume(connect: Connect) -> Iterator[Consume]:
    """Return what consumes over a connection of its own; with the prefetch limit, or a connection that is there."""
    made: list[Taker] = []

    def consume(connection: Connection | None = None, **options: Any) -> Taker:
        made.append(Taker(connection or connect(), **options))
        return made[-1]

    yield consume
    for taker in made:
        taker.hub.close()


def put(connection: Connection, bodies: Any, **properties: Any) -> None:
    with connection.Producer() as producer:
        QUEUE(producer.channel).declare()
        for body in bodies:
            producer.publish(body, routing_key="one", serializer="json", **properties)


def waiting(connection: Connection) -> int:
    """Return how many messages wait in the queue, without those that somebody holds."""
    with connection.channel() as channel:
        return int(QUEUE(channel).queue_declare(passive=True).message_count)


def comes_again(consume: Consume, number: int) -> list[Any]:
    """Return what a new consumer gets: so many messages, and no more."""
    again = consume()
    again.run(number)
    again.come_round()
    again.connection.close()
    return again.got


def test_each_message_arrives_once_and_in_order_and_few_reads_bring_them(connect: Connect, consume: Consume) -> None:
    put(connect(), range(MESSAGES))
    taker = consume()
    # All of them are at this end before the first look.
    wait_for(lambda: waiting(connect()) == 0)
    taker.run(MESSAGES)
    taker.come_round()
    assert taker.got == list(range(MESSAGES))
    assert taker.transport.reads < MESSAGES / 10


def test_a_message_of_whatever_kind_is_what_kombus_own_transport_makes_of_it(
    connect: Connect, consume: Consume, broker: RabbitMQ
) -> None:
    put(connect(), [])
    kombus = Connection(broker.url, transport="pyamqp")
    for encoding in ("utf-8", "binary", "latin-1", "no\0such", None):
        for body in (b"plain", "ä".encode(), b"\xff\xfe", b""):
            options = {"content_encoding": encoding, "headers": {"at": 1.5, "no": None}, "app_id": "x", "priority": 1}
            kombus.Producer().publish(body, routing_key="one", content_type="application/data", **options)
    taker, ours = consume(), list[Any]()
    taker.consumer.on_message = lambda message: ours.append(facts(message))
    taker.run_until(lambda: len(ours) == 20)
    taker.connection.close()
    theirs: list[Any] = []
    with Consumer(kombus.channel(), [QUEUE], on_message=lambda message: theirs.append(facts(message))):
        while len(theirs) < 20:
            kombus.drain_events(timeout=5)
    kombus.release()
    assert ours == theirs


def facts(message: Any) -> tuple[object, ...]:
    where = {name: message.delivery_info[name] for name in ("exchange", "routing_key", "delivery_tag")}
    return message.body, message.headers, message.properties, message.content_type, message.content_encoding, where


def test_what_is_acknowledged_in_one_round_is_one_write(connect: Connect, consume: Consume) -> None:
    put(connect(), range(MESSAGES))
    taker = consume()
    taker.run(MESSAGES)
    before = taker.transport.writes
    taker.hub.call_soon(taker.acknowledge)
    taker.come_round()
    assert taker.transport.writes - before == 1
    # What is not acknowledged comes again before this is answered.
    taker.transport.close()
    wait_for(lambda: waiting(connect()) == 0)
    put(connect(), ["end"])
    assert comes_again(consume, 1) == ["end"]


def test_what_is_not_acknowledged_comes_again_and_nothing_else(connect: Connect, consume: Consume) -> None:
    put(connect(), range(MESSAGES))
    taker = consume()
    taker.run(MESSAGES)
    first, second = range(100), range(101, MESSAGES, 2)
    for numbers in (second, first):
        taker.hub.call_soon(taker.acknowledge, *numbers)
        taker.come_round()
    taker.connection.close()
    left = [number for number in range(MESSAGES) if number not in first and number not in second]
    assert comes_again(consume, len(left)) == left


@pytest.mark.parametrize("end", ["close", "collect", "channel", "cancel", "hub"])
def test_acknowledgements_are_not_lost_where_the_loop_does_not_come_round_again(
    end: str, connect: Connect, consume: Consume
) -> None:
    put(connect(), range(20))
    taker = consume()
    taker.run(20)
    taker.acknowledge(*range(15))
    if end == "collect":
        taker.connection.connection.collect()
    elif end == "channel":
        taker.consumer.channel.close()
    elif end == "cancel":
        taker.consumer.cancel()
        taker.transport.close()
    else:
        if end == "hub":
            taker.hub.close()
        taker.connection.close()
    assert comes_again(consume, 5) == [15, 16, 17, 18, 19]


def test_threads_may_acknowledge_and_refuse_beside_the_loop(connect: Connect, consume: Consume) -> None:
    put(connect(), range(MESSAGES))
    taker = consume()
    taker.run(MESSAGES)
    parts = [taker.messages[start::4] for start in range(4)]

    def settle(part: list[Any], number: int) -> None:
        for message in part:
            message.reject() if number == 2 else message.ack()

    threads = [threading.Thread(target=settle, args=(parts[number], number)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for message in parts[0]:
        message.ack()
        taker.come_round() if message.payload % 20 == 0 else None
    for thread in threads:
        thread.join()
    taker.come_round()
    assert taker.consumer.channel.is_open
    taker.transport.close()
    put(connect(), ["end"])
    assert comes_again(consume, 1) == ["end"]


def test_messages_acknowledged_up_to_one_and_refused_are_settled_as_they_were(
    connect: Connect,
    consume: Consume,
) -> None:
    put(connect(), range(10))
    taker = consume()
    taker.run(10)
    one, *_ = taker.messages
    one.ack()
    taker.messages[4].ack(multiple=True)
    taker.messages[6].reject(requeue=True)
    taker.messages[5].ack()
    taker.run(11)
    assert taker.got == [*range(10), 6]
    before = taker.transport.written
    taker.acknowledge(7, 8)
    taker.come_round()
    # Nothing before them is open any more.
    assert taker.transport.written - before == ONE_FRAME
    taker.connection.close()
    assert sorted(comes_again(consume, 2)) == [6, 9]


def test_what_was_fetched_one_by_one_is_not_acknowledged_with_others(connect: Connect, consume: Consume) -> None:
    connection = connect()
    put(connection, range(10))
    taker = consume(prefetch=3)
    taker.run(3)
    fetched = QUEUE(taker.consumer.channel).get()
    taker.acknowledge()
    taker.run(6)
    taker.acknowledge()
    taker.come_round()
    taker.connection.close()
    assert fetched.payload in comes_again(consume, 4)


def test_a_handler_may_wait_for_an_answer_while_messages_wait_for_it(connect: Connect, consume: Consume) -> None:
    put(connect(), range(MESSAGES))
    connection = connect()
    taker = consume(connection)
    asked = []

    def ask(message: Any) -> None:
        if message.payload % 10 == 0:
            asked.append(QUEUE(connection.default_channel).queue_declare(passive=True).message_count)
        message.ack()

    taker.handle = ask
    taker.run(MESSAGES)
    taker.come_round()
    assert taker.got == list(range(MESSAGES))
    assert len(asked) == MESSAGES / 10
    assert waiting(connect()) == 0


def test_a_handler_that_fails_takes_no_other_message_with_it(connect: Connect, consume: Consume) -> None:
    put(connect(), range(MESSAGES))
    taker = consume()
    wait_for(lambda: waiting(connect()) == 0)

    def fail(message: Any) -> None:
        if message.payload in (3, 4, 200):
            raise LookupError

    taker.handle = fail
    for number in (3, 4, 200):
        with pytest.raises(LookupError):
            taker.run(MESSAGES)
        assert taker.got[-1] == number
        # Nothing more comes over the wire that would wake the loop.
        taker.hub.reset()
        taker.connection.register_with_event_loop(taker.hub)
    taker.run(MESSAGES)
    assert taker.got == list(range(MESSAGES))


def test_messages_that_need_no_acknowledgement_stand_in_the_way_of_none(connect: Connect, consume: Consume) -> None:
    put(connect(), range(20))
    taker = consume(no_ack=True)
    taker.run(20)
    taker.consumer.cancel()
    put(connect(), range(20, 40))
    Consumer(taker.consumer.channel, [QUEUE], on_message=taker._take, accept=["json"]).consume()
    taker.run(40)
    before = taker.transport.written
    taker.acknowledge(*range(20, 40))
    taker.come_round()
    assert taker.transport.written - before == ONE_FRAME
    taker.transport.close()
    put(connect(), ["end"])
    assert comes_again(consume, 1) == ["end"]


def test_a_channel_that_the_server_closed_begins_to_count_again(connect: Connect, consume: Consume) -> None:
    put(connect(), range(10))
    taker = consume()
    taker.run(10)
    taker.acknowledge(0, 1, 2)
    taker.consumer.channel.basic_ack(delivery_tag=99)
    with pytest.raises(AMQPError, match="unknown delivery tag"):
        taker.run_until(lambda: False)
    taker.hub.reset()
    taker.connection.register_with_event_loop(taker.hub)
    taker.got.clear()
    taker.messages.clear()
    again = Consumer(taker.consumer.channel, [QUEUE], on_message=taker._take, accept=["json"])
    again.consume()
    taker.run(7)
    taker.acknowledge()
    taker.come_round()
    assert sorted(taker.got) == [3, 4, 5, 6, 7, 8, 9]
    assert taker.consumer.channel.is_open


def test_a_silent_server_is_noticed_and_one_that_only_beats_is_alive(
    connect: Connect, consume: Consume, broker: RabbitMQ
) -> None:
    connection = connect(heartbeat=1)
    taker = consume(connection)
    received = connection.connection.bytes_recv
    taker.hub.call_repeatedly(0.25, connection.heartbeat_check)
    taker.hub.propagate_errors = connection.connection_errors
    # The server's heartbeats, three times the time after which it would be given up.
    taker.run_until(lambda: connection.connection.bytes_recv >= received + 12)
    broker.suspend()
    try:
        with pytest.raises(ConnectionForced, match="heartbeats"):
            taker.run_until(lambda: False)
    finally:
        broker.resume()


def test_a_server_that_comes_back_keeps_what_was_not_acknowledged(
    connect: Connect, consume: Consume, broker: RabbitMQ
) -> None:
    put(connect(), range(20), delivery_mode=2)
    taker = consume()
    taker.run(20)
    taker.acknowledge(*range(5))
    taker.come_round()
    broker.restart()
    with pytest.raises((AMQPError, OSError)):
        taker.run_until(lambda: False)
    assert comes_again(consume, 15) == list(range(5, 20))


def test_without_an_event_loop_messages_come_and_are_acknowledged_one_by_one(
    connect: Connect,
) -> None:
    put(connect(), range(20))
    connection = connect()
    got: list[Any] = []

    def take(message: Any) -> None:
        got.append(message.payload)
        message.ack()

    with Consumer(connection.channel(), [QUEUE], on_message=take, accept=["json"]):
        for number in range(1, 21):
            connection.drain_events(timeout=5)
            assert len(got) == number
    assert waiting(connect()) == 0
