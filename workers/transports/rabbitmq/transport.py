"""A RabbitMQ transport that reads, acknowledges and publishes many messages at a time.

kombu's own asks the socket for exactly the next bytes of each frame, nine times a message, and comes round its event
loop once for each; each acknowledgement and each message it publishes is a write of its own. Here an event loop that
finds the socket readable takes all that is there and hands out every frame that is complete. What is acknowledged in
one round of it is one write, and so is what a producer publishes as a batch. Nothing else differs, and any Celery
application may choose it:

    broker_transport = "workers.transports.rabbitmq.transport:RabbitMQTransport"

Without an event loop, and over TLS, messages are read one at a time all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from amqp import Message, spec
from amqp.exceptions import RecoverableConnectionError
from amqp.method_framing import frame_writer
from kombu.transport import pyamqp

from workers.transports.rabbitmq import message_properties
from workers.transports.rabbitmq.ack_tags import AckTags, frame
from workers.transports.rabbitmq.frames import FrameSocket
from workers.transports.rabbitmq.publish_batch import RabbitMQPublishBatch

#: Where properties begin in the header of a message.
_PROPERTIES = 12


class RabbitMQChannel(pyamqp.Channel):
    """A channel that leaves its acknowledgements to its connection where an event loop runs."""

    no_ack_consumers: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.tags = AckTags()
        super().__init__(*arguments, **options)

    @property
    def supports_batch_publish(self) -> bool:
        """Whether messages may be written together: not where each is confirmed before the next."""
        return not self.connection.confirm_publish

    def create_publish_batch(self, max_size: int) -> RabbitMQPublishBatch:
        return RabbitMQPublishBatch(self, max_size)

    def open(self) -> Any:
        # Also after the server has closed it: it counts from 1 again, and what was open went back.
        self.tags = AckTags()
        return super().open()

    def basic_ack(self, delivery_tag: int, multiple: bool = False, **options: Any) -> Any:
        connection = self.connection
        if connection is not None and connection.settles_later and not multiple:
            self.tags.acknowledge(delivery_tag)
            return connection.settle_later(self)
        answer = super().basic_ack(delivery_tag, multiple, **options)
        self.tags.settled(delivery_tag, multiple=multiple)
        return answer

    def basic_reject(self, delivery_tag: int, requeue: bool, **options: Any) -> Any:
        answer = super().basic_reject(delivery_tag, requeue, **options)
        self.tags.settled(delivery_tag)
        return answer

    def basic_get(self, *arguments: Any, **options: Any) -> Any:
        # Another thread may acknowledge before what this brings could be told.
        self.tags.lose_count()
        return super().basic_get(*arguments, **options)

    def basic_recover(self, *arguments: Any, **options: Any) -> Any:
        answer = super().basic_recover(*arguments, **options)
        self.tags.settled(0, multiple=True)
        return answer

    def deliver(self, method: bytes, header: bytes, body: bytes) -> None:
        """Hand out a message, as py-amqp does when the last of its frames comes."""
        message = Message(body, frame_method=spec.Basic.Deliver, frame_args=method)
        message.properties = message_properties.read(header, _PROPERTIES)
        message.body_size = message.body_received = len(body)
        message.ready = True
        if self.is_closing or spec.Basic.Deliver in self._pending:
            self.dispatch_method(spec.Basic.Deliver, method, message)
            return
        encoding = message.properties.get("content_encoding") if self.auto_decode else None
        if encoding is not None:
            # As py-amqp: what cannot be decoded stays as it is.
            with suppress(LookupError, ValueError):
                message.body = body.decode(encoding)
        tag = 5 + method[4]
        exchange = tag + 10
        key = exchange + method[exchange - 1] + 1
        self._on_basic_deliver(
            _text(method[5:tag]),
            int.from_bytes(method[tag : tag + 8], "big"),
            method[tag + 8] & 1 == 1,
            _text(method[exchange : key - 1]),
            _text(method[key:]),
            message,
        )

    def collect(self) -> None:
        # What was acknowledged while the server was asked to close it is of no use to it any more.
        self.tags = AckTags()
        super().collect()

    def _on_basic_deliver(self, consumer_tag: str, delivery_tag: int, *rest: Any) -> None:
        if consumer_tag not in self.no_ack_consumers:
            self.tags.delivered(delivery_tag)
        super()._on_basic_deliver(consumer_tag, delivery_tag, *rest)


class RabbitMQConnection(pyamqp.Connection):
    """A connection that handles all frames that are there, and sends acknowledgements together."""

    Channel = RabbitMQChannel

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop: Any = None
        self._loop_thread: int | None = None
        # Everything that is written: what waits is sent before it, so that the order stays.
        self._writing = threading.RLock()
        self._unsettled: dict[Any, None] = {}
        super().__init__(*arguments, frame_writer=_writer, **options)

    def Transport(self, host: str, connect_timeout: float | None, ssl: Any = False, *rest: Any, **options: Any) -> Any:
        if ssl:
            return super().Transport(host, connect_timeout, ssl, *rest, **options)
        names = ("read_timeout", "write_timeout")
        return FrameSocket(host, connect_timeout=connect_timeout, **dict(zip(names, rest, strict=False)), **options)

    def serve(self, loop: Any) -> None:
        """Be read by an event loop, which is run by this thread."""
        self._loop, self._loop_thread = loop, threading.get_ident()

    # --- reading -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Handle all that the server has said, without waiting."""
        if isinstance(self._transport, FrameSocket):
            self._transport.take()
            self._handle()
            return
        with suppress(TimeoutError):
            while True:
                self.drain_events(timeout=0)

    def _handle(self) -> None:
        transport = self._transport
        if transport is None:
            return
        try:
            # A handler that waits for an answer takes frames from here as well, in their order.
            while transport.frames:
                self._handle_next(transport)
        finally:
            if transport.frames and self._loop is not None:
                # Nothing more may come that wakes the loop. Not by a timer, which would only log what is raised.
                self._loop.on_tick.add(self._go_on)

    def _handle_next(self, transport: FrameSocket) -> None:
        delivery = transport.take_delivery()
        if delivery is None:
            self.on_inbound_frame(transport.frames.popleft())
            return
        channel, method, header, body = delivery
        self.bytes_recv += 1
        if self.channels is None:
            raise RecoverableConnectionError("Connection already closed")
        self.channels[channel].deliver(method, header, body)

    def _go_on(self) -> None:
        self._loop.on_tick.discard(self._go_on)
        self._handle()

    def blocking_read(self, timeout: float | None = None) -> Any:
        frames = getattr(self._transport, "frames", None)
        return self.on_inbound_frame(frames.popleft()) if frames else super().blocking_read(timeout)

    # --- writing -----------------------------------------------------------------------------------------------

    @property
    def settles_later(self) -> bool:
        """Whether this thread's acknowledgements are sent at the end of the event loop's round."""
        return self._loop_thread == threading.get_ident()

    def settle_later(self, channel: Any) -> None:
        """Send a channel's acknowledgements with the next frame, at the latest when the loop looks at its timers."""
        with self._writing:
            is_first = not self._unsettled
            self._unsettled[channel] = None
        if is_first:
            self._loop.call_later(0, self.settle)

    def settle(self) -> None:
        """Send the acknowledgements that wait."""
        with self._writing:
            channels, self._unsettled = self._unsettled, {}
            frames = [frame(channel.channel_id, each) for channel in channels for each in channel.tags.take()]
            if frames and self._transport is not None:
                self._transport.write(b"".join(frames))
                self.bytes_sent += 1

    def write(self, frames: bytes) -> None:
        """Write frames that are complete, after everything that came before them."""
        with self._writing:
            self.settle()
            self.transport.write(frames)
            self.bytes_sent += 1

    def collect(self) -> None:
        if self.connected:
            # As it would have been sent long ago. Where it cannot be, the messages come again.
            with suppress(OSError):
                self.settle()
        super().collect()


def _text(found: bytes) -> str:
    return found.decode("utf-8", "surrogatepass")


def _writer(connection: Any, transport: Any) -> Callable[..., None]:
    write = frame_writer(connection, transport)

    def write_in_order(*frame: Any) -> None:
        with connection._writing:
            connection.settle()
            write(*frame)

    return write_in_order


class RabbitMQTransport(pyamqp.Transport):
    """kombu's RabbitMQ transport with that connection."""

    Connection: type[Any] = RabbitMQConnection
    implements = pyamqp.Transport.implements.extend(batch_publish=True)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, loop)
        connection.serve(loop)

    def on_readable(self, connection: Any, loop: Any) -> None:
        if not connection.connected:
            raise RecoverableConnectionError("Socket was disconnected")
        # As kombu: a handler's own wait was too short.
        with suppress(TimeoutError):
            connection.look()
