"""RabbitMQ: the messages of a queue, acknowledged once they are accepted."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import quote

import aiormq
from aiormq import exceptions
from aiormq.abc import DeliveredMessage

from pipeline.connections.tls import tls_context
from pipeline.domain.urls.host import bracketed
from pipeline.domain.urls.intake_source import QueuePlace
from pipeline.errors import InvalidSettings, SourceUnavailable
from pipeline.intakes.rules.messages import Chunk, IntakeMessage
from pipeline.intakes.sources.acknowledged_source import AcknowledgedSource
from pipeline.intakes.sources.background_loop import BackgroundLoop
from pipeline.intakes.sources.source import IntakeReader, SourceMissing

HEARTBEAT_SECONDS = 30
#: Seconds for an answer of the broker.
_TIMEOUT = 10.0
#: Seconds that messages are waited for once there is one.
_GATHER_SECONDS = 0.02
_MOST_PREFETCHED = 65_535

T = TypeVar("T")

# It logs addresses. What it has to say comes as errors as well.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)


class RabbitQueue(AcknowledgedSource):
    """Takes messages of a queue. Several processes may share it."""

    def __init__(self, place: QueuePlace, options: Mapping[str, str], shown: str, reader: IntakeReader) -> None:
        self._queue, self._shown = place.queue, shown
        self._ready: deque[DeliveredMessage] = deque()
        self._taken: list[DeliveredMessage] = []
        #: Set when a message comes, and when none will.
        self._arrived = asyncio.Event()
        #: Why no message will come.
        self._end: BaseException | None = None
        self._connection: aiormq.Connection | None = None
        self._loop = BackgroundLoop("intake-rabbitmq")
        try:
            self._call(self._open(place, options, min(2 * reader.chunk, _MOST_PREFETCHED)))
        except BaseException:
            self.close()
            raise

    def take(self, limit: int, seconds: float) -> Chunk:
        self._taken = self._call(self._take(limit, seconds), seconds + _TIMEOUT)
        return Chunk([_message(each) for each in self._taken])

    def keep_alive(self) -> None:
        """Do nothing: heartbeats are answered, and no more is sent than was asked for."""

    def confirm(self) -> None:
        taken, self._taken = self._taken, []
        if taken:
            # They were delivered, and are acknowledged, in order.
            self._call(self._acknowledge(taken[-1].delivery_tag or 0))

    def put_back(self) -> None:
        self._ready.extendleft(reversed(self._taken))
        self._taken = []

    def backlog(self, positions: Mapping[str, str]) -> int | None:
        """Return the messages that wait in the queue and in this process."""
        declared = self._call(self._channel.queue_declare(self._queue, passive=True))
        return int(declared.message_count or 0) + len(self._ready) + len(self._taken)

    def close(self) -> None:
        # The broker may be gone.
        if self._connection is not None:
            with suppress(Exception):
                self._loop.call(self._connection.close(), _TIMEOUT)
        self._loop.close()

    async def _open(self, place: QueuePlace, options: Mapping[str, str], prefetched: int) -> None:
        # Here: it belongs to the loop that runs.
        self._connection = connection = _connection(place, options)
        await connection.connect()
        connection.closing.add_done_callback(self._hear_end)
        self._channel = await connection.channel(publisher_confirms=False)
        self._channel.closing.add_done_callback(self._hear_end)
        self._channel.on_consumer_cancel_callbacks.add(self._hear_cancel)
        await self._channel.queue_declare(self._queue, passive=True)
        await self._channel.basic_qos(prefetch_count=prefetched)
        await self._channel.basic_consume(self._queue, self._hear)

    async def _take(self, limit: int, seconds: float) -> list[DeliveredMessage]:
        if not self._ready and self._end is None:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), seconds)
        if self._end is not None:
            raise self._end
        if 0 < len(self._ready) < limit:
            await asyncio.sleep(_GATHER_SECONDS)
        return [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]

    async def _acknowledge(self, last: int) -> None:
        await self._channel.basic_ack(last, multiple=True)

    async def _hear(self, message: DeliveredMessage) -> None:
        self._ready.append(message)
        self._arrived.set()

    def _hear_cancel(self, frame: object) -> None:
        self._finish(SourceMissing(f"{self._shown}: queue {self._queue!r} was deleted; declare it again"))

    def _hear_end(self, closing: asyncio.Future[Any]) -> None:
        error = None if closing.cancelled() else closing.exception()
        self._finish(error or exceptions.ConnectionClosed(0, "closed"))

    def _finish(self, error: BaseException) -> None:
        self._end = self._end or error
        self._arrived.set()

    def _call(self, coroutine: Coroutine[Any, Any, T], seconds: float = _TIMEOUT) -> T:
        with self._explained():
            return self._loop.call(coroutine, seconds)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.AuthenticationError, exceptions.ProbableAuthenticationError):
            raise InvalidSettings(f"{self._shown} refuses the credentials") from None
        except exceptions.ChannelNotFoundEntity:
            raise SourceMissing(f"{self._shown} has no queue {self._queue!r}; declare it, or mend its name") from None
        except (exceptions.ChannelAccessRefused, exceptions.ConnectionNotAllowed):
            raise InvalidSettings(
                f"{self._shown} does not let its user read; grant it the virtual host and the queue"
            ) from None
        except exceptions.ChannelLockedResource:
            raise InvalidSettings(f"{self._shown} is read by another connection alone") from None
        except (exceptions.AMQPError, OSError, TimeoutError) as error:
            raise SourceUnavailable(f"{self._shown} does not answer: {type(error).__name__}") from None


def _connection(place: QueuePlace, options: Mapping[str, str]) -> aiormq.Connection:
    user, password = (quote(options.get(name, "guest"), safe="") for name in ("username", "password"))
    scheme, context = ("amqps", tls_context(options)) if place.has_tls else ("amqp", None)
    where = f"{user}:{password}@{bracketed(place.host)}:{place.port}/{quote(place.vhost, safe='')}"
    return aiormq.Connection(f"{scheme}://{where}?heartbeat={HEARTBEAT_SECONDS}&name=pipeline", context=context)


def _message(delivered: DeliveredMessage) -> IntakeMessage:
    return IntakeMessage(bytes(delivered.body), message_id=delivered.header.properties.message_id or None)
