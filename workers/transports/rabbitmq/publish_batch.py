"""Messages that are published together on RabbitMQ: a few large writes, not one for each."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any

from amqp import spec
from amqp.exceptions import RecoverableConnectionError
from amqp.method_framing import FRAME_OVERHEAD, frame_writer
from amqp.serialization import dumps

from workers.transports.rabbitmq import message_properties

#: Bytes in one write, and at the most a message more.
BULK = 64 * 1024
#: The beginnings of a message's three frames; each but the first begins with the end of the one before.
_METHOD = Struct(">BHIHH")
_HEADER = Struct(">BBHIHHQ")
_BODY = Struct(">BBHI")
_END = 0xCE


class RabbitMQPublishBatch:
    """What kombu's `producer.batch()` asks of a channel that can publish messages together."""

    def __init__(self, channel: Any, max_size: int) -> None:
        """Args:
        max_size: messages that are written together at the most.
        """
        self.channel = channel
        self._max_size = max_size
        self._pieces: list[bytes] = []
        self._number = self._bytes = 0
        self._timeout: float | None = None
        self._why_not: str | None = None
        self._frame_size = channel.connection.frame_max - 8
        # py-amqp's own for what is large or unusual: it writes into this instead of the socket.
        self._frames = frame_writer(channel.connection, self)
        self._of_message: list[bytes] = []

    def write(self, frames: memoryview) -> None:
        """Take the frames of a message, or of a part of one that is large."""
        self._of_message.append(bytes(frames))

    def publish(
        self,
        message: Any,
        exchange: str = "",
        routing_key: str = "",
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
    ) -> None:
        """Publish a message with the next write.

        Args:
            timeout: seconds that this write may take.
            confirm_timeout: of no use here, since nothing is confirmed.
        """
        self._check()
        arguments = _arguments(exchange, routing_key, mandatory, immediate)
        # Of a message that cannot be written, no part may be.
        self._of_message = []
        self._write_message(arguments, message)
        self._pieces += self._of_message
        self._bytes += sum(map(len, self._of_message))
        self._number += 1
        if timeout is not None:
            self._timeout = timeout
        if self._number >= self._max_size or self._bytes >= BULK:
            self.flush()

    def _write_message(self, arguments: bytes, message: Any) -> None:
        channel, body = self.channel.channel_id, message.body
        if type(body) is bytes and body:
            header = message_properties.written(message)
            if len(arguments) + len(header) + len(body) + FRAME_OVERHEAD <= self._frame_size:
                self._of_message += (
                    _METHOD.pack(1, channel, 4 + len(arguments), *spec.Basic.Publish),
                    arguments,
                    _HEADER.pack(_END, 2, channel, 12 + len(header), spec.Basic.CLASS_ID, 0, len(body)),
                    header,
                    _BODY.pack(_END, 3, channel, len(body)),
                    body,
                    b"\xce",
                )
                return
        self._frames(1, channel, spec.Basic.Publish, arguments, message)

    def flush(self) -> None:
        """Write what waits.

        Raises:
            RecoverableConnectionError: any part of it may have been written, and the connection is closed.
            AMQPError: what the server has found wrong with something before; nothing of this is written.
        """
        self._check()
        if not self._pieces:
            return
        frames = b"".join(self._pieces)
        self._forget()
        self._why_not = "has failed"
        # What py-amqp does before each message: the server may have closed the channel, or be short of memory.
        self._connection.look()
        self._send(frames)
        self._why_not = None

    def _send(self, frames: bytes) -> None:
        connection = self._connection
        try:
            with connection.transport.having_timeout(self._timeout):
                connection.write(frames)
        except (TimeoutError, BlockingIOError) as error:
            # The server does not know where the next frame begins.
            connection.collect()
            raise RecoverableConnectionError("basic_publish: timed out") from error

    @property
    def _connection(self) -> Any:
        connection = self.channel.connection
        if connection is None:
            raise RecoverableConnectionError("basic_publish: connection closed")
        return connection

    def discard(self) -> None:
        """Publish nothing of what is not written yet, and nothing more."""
        self._forget()
        self._why_not = "is aborted"

    def close(self) -> None:
        """Take no more messages."""
        self._why_not = "is closed"

    def _forget(self) -> None:
        self._pieces = []
        self._number = self._bytes = 0

    def _check(self) -> None:
        if self._why_not:
            raise RuntimeError(f"The publish batch {self._why_not}")


@lru_cache(1_024)
def _arguments(exchange: str, routing_key: str, mandatory: bool, immediate: bool) -> bytes:
    found: bytes = dumps("Bssbb", (0, exchange, routing_key, mandatory, immediate))
    return found
