"""Publishes a batch of messages to RabbitMQ in a few large writes."""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any

from amqp import spec
from amqp.exceptions import RecoverableConnectionError
from amqp.method_framing import FRAME_OVERHEAD, frame_writer
from amqp.serialization import dumps

from workers.transports.rabbitmq import message_properties

#: Bytes in one write, which may be exceeded by one message.
BULK = 64 * 1024
#: How the three frames of a message start. Each but the first starts with the end marker of the one before.
_METHOD = Struct(">BHIHH")
_HEADER = Struct(">BBHIHHQ")
_BODY = Struct(">BBHI")
_END = 0xCE


class RabbitMQPublishBatch:
    """Implements what kombu's `producer.batch()` needs from a channel that can publish in batches."""

    def __init__(self, channel: Any, max_size: int) -> None:
        """Args:
        max_size: maximum number of messages written at once.
        """
        self.channel = channel
        self._max_size = max_size
        self._pieces: list[bytes] = []
        self._number = self._bytes = 0
        self._timeout: float | None = None
        self._why_not: str | None = None
        self._frame_size = channel.connection.frame_max - 8
        # Messages that are large or unusual are encoded by py-amqp, which writes into this object, not to the socket.
        self._frames = frame_writer(channel.connection, self)
        self._of_message: list[bytes] = []

    def write(self, frames: memoryview) -> None:
        """Receive the frames of a message, or of part of a large one, from py-amqp."""
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
        """Add a message to the next write.

        Args:
            timeout: seconds that this write may take.
            confirm_timeout: ignored, because nothing is confirmed here.

        Raises:
            AMQPError: the message cannot be encoded; no part of it is sent.
            RuntimeError: the batch has failed, or is aborted or closed.
        """
        self._check()
        arguments = _arguments(exchange, routing_key, mandatory, immediate)
        # If a message cannot be encoded, no part of it may be sent.
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
            header = message_properties.encode(message)
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
        """Write the messages that wait.

        Raises:
            RecoverableConnectionError: any part of them may have been written, and the connection is closed.
            AMQPError: the server has rejected something earlier; none of these messages is written.
        """
        self._check()
        if not self._pieces:
            return
        frames = b"".join(self._pieces)
        self._forget()
        self._why_not = "has failed"
        # py-amqp does this before each message: the server may have closed the channel, or be short of memory.
        self._connection.handle_available()
        self._send(frames)
        self._why_not = None

    def _send(self, frames: bytes) -> None:
        connection = self._connection
        try:
            with connection.transport.having_timeout(self._timeout):
                connection.write(frames)
        except (TimeoutError, BlockingIOError) as error:
            # A frame may have been cut off, so that the server could not find the start of the next one.
            connection.collect()
            raise RecoverableConnectionError("basic_publish: timed out") from error

    @property
    def _connection(self) -> Any:
        connection = self.channel.connection
        if connection is None:
            raise RecoverableConnectionError("basic_publish: connection closed")
        return connection

    def discard(self) -> None:
        """Drop messages that are not written yet, and accept no more."""
        self._forget()
        self._why_not = "is aborted"

    def close(self) -> None:
        """Accept no more messages."""
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
