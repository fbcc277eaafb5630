"""Transports as workers drive them: ours and kombu's own, on each kind of broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from kombu.asynchronous import Hub

from pipeline.settings import EMBEDDED_BROKER_URL, Transport
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from workers.transports.choice import FAST

BrokerServer = Redis | RabbitMQ | None

#: kombu's own, by its alias.
STOCK = {Transport.MEMORY: "memory", Transport.REDIS: "redis", Transport.RABBITMQ: "pyamqp"}
#: As celeryconfig.py has them. On Redis, `BRPOP` waits for shorter, since closing a connection waits for its end.
OPTIONS: dict[Transport, dict[str, Any]] = {
    Transport.MEMORY: {"polling_interval": 0.005},
    Transport.REDIS: {"ack_emulation": False, "polling_interval": 0.05},
    Transport.RABBITMQ: {},
}
#: Seconds in which a message that is there would have come.
LOOK_SECONDS = 0.1
#: Seconds in which what is waited for must come.
READ_SECONDS = 20.0


@dataclass(frozen=True)
class Candidate:
    """A transport that has to do what the pipeline asks of one."""

    kind: Transport
    is_fast: bool

    @property
    def has_loop(self) -> bool:
        """Whether kombu's event loop reads, as in a worker. In the embedded mode there is none."""
        return self.kind is not Transport.MEMORY

    @property
    def name(self) -> str:
        """What kombu finds it by."""
        return FAST[self.kind] if self.is_fast else STOCK[self.kind]

    @property
    def redelivers(self) -> bool:
        """Whether what a consumer leaves behind unacknowledged comes again."""
        return self.kind is not Transport.MEMORY


def on(*kinds: Transport) -> pytest.MarkDecorator:
    """Run a test on brokers of these kinds only."""
    return pytest.mark.parametrize("broker_kind", [kind.value for kind in kinds], indirect=True)


@pytest.fixture(params=[kind.value for kind in Transport])
def broker_kind(request: pytest.FixtureRequest) -> Transport:
    """A kind of broker: the test runs once on each. A test that is about some of them says so, with `on`."""
    return Transport(request.param)


@pytest.fixture
def broker_server(broker_kind: Transport, request: pytest.FixtureRequest) -> BrokerServer:
    """The broker, with whatever other tests left on it; None for the memory of this process."""
    server: BrokerServer = None
    if broker_kind is not Transport.MEMORY:
        server = request.getfixturevalue(broker_kind.value)
    return server


@pytest.fixture(params=["fast", "stock"])
def candidate(broker_kind: Transport, request: pytest.FixtureRequest) -> Candidate:
    """A transport: the test runs once on ours and once on kombu's own."""
    return Candidate(broker_kind, is_fast=request.param == "fast")


def url_of(server: BrokerServer) -> str:
    """Return the URL of a broker."""
    return EMBEDDED_BROKER_URL if server is None else server.url


def cut_connections(server: BrokerServer) -> None:
    """Have a server close all connections."""
    if isinstance(server, RabbitMQ):
        server.close_connections()
    elif server is not None:
        server.disconnect()


def make_queue(name: str) -> Queue:
    """Return a queue bound to an exchange of its own."""
    return Queue(name, Exchange(name, type="direct"), routing_key=name, durable=True)


class Bench:
    """Connections over one transport, and what consumes on them. Everything ends with it."""

    def __init__(self, candidate: Candidate, server: BrokerServer) -> None:
        self.candidate = candidate
        self._server = server
        self._stack = ExitStack()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self, **options: Any) -> Connection:
        """Return a new connection; `options` are the transport's."""
        url = url_of(self._server)
        candidate = self.candidate
        connection = Connection(
            url, transport=candidate.name, transport_options=OPTIONS[candidate.kind] | options, connect_timeout=5
        )
        self._stack.callback(_release, connection)
        return connection

    def taker(self, *queues: Queue, **options: Any) -> Taker:
        """Return a consumer of these queues on a connection of its own."""
        taker = Taker(self.connect(), queues, has_loop=self.candidate.has_loop, **options)
        self._stack.callback(taker.close)
        return taker

    def put(self, queue: Queue, bodies: Sequence[Any], **properties: Any) -> None:
        """Publish to a queue, one message after the other."""
        connection = self.connect()
        queue(connection.default_channel).declare()
        with connection.Producer(serializer="json") as producer:
            for body in bodies:
                producer.publish(body, exchange=queue.exchange, routing_key=queue.routing_key, **properties)
        connection.release()

    def waiting(self, queue: Queue) -> int:
        """Return how many messages wait in a queue, without those that a consumer holds."""
        connection = self.connect()
        number = int(queue(connection.default_channel).queue_declare().message_count)
        connection.release()
        return number


class Taker:
    """A consumer that keeps what it got. It consumes from the first look on."""

    def __init__(
        self,
        connection: Connection,
        queues: Sequence[Queue],
        *,
        has_loop: bool,
        prefetch: int = 0,
        no_ack: bool = False,
    ) -> None:
        self.connection = connection
        self.got: list[Any] = []
        #: Those that are neither acknowledged nor rejected.
        self.messages: list[Any] = []
        self.handle: Callable[[Any], object] = lambda message: None
        self._hub = Hub() if has_loop else None
        connection.connect()
        if self._hub is not None:
            connection.register_with_event_loop(self._hub)
        self.channel = connection.channel()
        self.consumer = Consumer(
            self.channel, list(queues), on_message=self._take, accept=["json"], no_ack=no_ack, auto_declare=True
        )
        self.consumer.qos(prefetch_count=prefetch)
        self._has_begun = False

    def _take(self, message: Any) -> None:
        self.got.append(message.payload)
        self.messages.append(message)
        self.handle(message)

    def read(self, until: int) -> None:
        """Read until there are so many messages."""
        self.read_until(lambda: len(self.got) >= until)

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Read until a condition holds.

        Raises:
            AssertionError: it does not within `READ_SECONDS`.
            Exception: what the connection or the handler raised.
        """
        end = time.monotonic() + READ_SECONDS
        while not condition():
            assert time.monotonic() < end, f"{len(self.got)} messages came in {READ_SECONDS:g} s"
            self._read_once(0.5)

    def look(self) -> None:
        """Read what is there, which may be nothing."""
        over: list[bool] = []
        if self._hub is None:
            self._read_once(LOOK_SECONDS)
            with suppress(TimeoutError):
                while True:
                    self.connection.drain_events(timeout=LOOK_SECONDS)
        else:
            self._hub.timer.call_after(LOOK_SECONDS, over.append, (True,))
            while not over:
                self._read_once(LOOK_SECONDS)

    def _read_once(self, seconds: float) -> None:
        if not self._has_begun:
            self._has_begun = True
            self.consumer.consume()
        if self._hub is None:
            with suppress(TimeoutError):
                self.connection.drain_events(timeout=seconds)
            return
        # The loop waits for its next timer at the longest.
        alarm = self._hub.timer.call_after(seconds, bool)
        try:
            self._hub.run_once()
        finally:
            alarm.cancel()

    def acknowledge(self, *payloads: Any) -> None:
        """Acknowledge the messages with these payloads, or all; sent before this returns."""
        for message in [each for each in self.messages if not payloads or each.payload in payloads]:
            message.ack()
            self.messages.remove(message)
        if self._hub is not None:
            # What waits to be sent is sent when the loop comes round.
            self._read_once(0.01)
            self._read_once(0.01)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function where it may write to the connection, from any thread: on the loop where there is one."""
        if self._hub is None:
            function()
        else:
            self._hub.call_soon(function)

    def close(self) -> None:
        """Close its connection: what it holds goes back, where the transport gives it back."""
        if self._hub is not None:
            with _any_error_of(self.connection):
                # First, since it runs what it still has to do.
                self._hub.close()
        _release(self.connection)


def _release(connection: Connection) -> None:
    with _any_error_of(connection):
        connection.release()


def _any_error_of(connection: Connection) -> suppress:
    return suppress(*connection.connection_errors, *connection.channel_errors)
