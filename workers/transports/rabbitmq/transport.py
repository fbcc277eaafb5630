"""A RabbitMQ transport that reads, acknowledges and publishes many messages at a time.

kombu's own reads exactly the next bytes of each frame, nine times per message, and takes a round of the event loop for
each message. Each acknowledgement and each published message is a separate write. This transport reads everything that
has arrived when the socket becomes readable, and handles every complete frame. The acknowledgements of one round of the
event loop are one write, and so is a batch of published messages. Otherwise it is like kombu's, and any Celery
application can use it:

    broker_transport = "workers.transports.rabbitmq.transport:RabbitMQTransport"

Without an event loop, and over TLS, it reads one message at a time too.
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

#: Offset of the properties in the header of a message.
_PROPERTIES = 12


class RabbitMQChannel(pyamqp.Channel):
    """A channel whose acknowledgements its connection sends, if an event loop runs."""

    no_ack_consumers: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.tags = AckTags()
        super().__init__(*arguments, **options)

    @property
    def supports_batch_publish(self) -> bool:
        """Whether messages may be written together: not if each has to be confirmed before the next."""
        return not self.connection.confirm_publish

    def create_publish_batch(self, max_size: int) -> RabbitMQPublishBatch:
        return RabbitMQPublishBatch(self, max_size)

    def open(self) -> Any:
        # Also called after the server has closed the channel: tags start at 1 again, and open messages were requeued.
        self.tags = AckTags()
        return super().open()

    def basic_ack(self, delivery_tag: int, multiple: bool = False, **options: Any) -> Any:
        connection = self.connection
        if connection is not None and connection.defers_acks and not multiple:
            self.tags.acknowledge(delivery_tag)
            return connection.send_acks_soon(self)
        answer = super().basic_ack(delivery_tag, multiple, **options)
        self.tags.remove(delivery_tag, multiple=multiple)
        return answer

    def basic_reject(self, delivery_tag: int, requeue: bool, **options: Any) -> Any:
        answer = super().basic_reject(delivery_tag, requeue, **options)
        self.tags.remove(delivery_tag)
        return answer

    def basic_get(self, *arguments: Any, **options: Any) -> Any:
        # Another thread may acknowledge before the message that this returns could be added.
        self.tags.lose_count()
        return super().basic_get(*arguments, **options)

    def basic_recover(self, *arguments: Any, **options: Any) -> Any:
        answer = super().basic_recover(*arguments, **options)
        self.tags.remove(0, multiple=True)
        return answer

    def deliver(self, method: bytes, header: bytes, body: bytes) -> None:
        """Deliver a message, as py-amqp does when the last of its frames arrives."""
        message = Message(body, frame_method=spec.Basic.Deliver, frame_args=method)
        message.properties = message_properties.decode(header, _PROPERTIES)
        message.body_size = message.body_received = len(body)
        message.ready = True
        if self.is_closing or spec.Basic.Deliver in self._pending:
            self.dispatch_method(spec.Basic.Deliver, method, message)
            return
        encoding = message.properties.get("content_encoding") if self.auto_decode else None
        if encoding is not None:
            # As in py-amqp, a body that cannot be decoded is left unchanged.
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
        # Acknowledgements made while the channel was closing must not be sent any more.
        self.tags = AckTags()
        super().collect()

    def _on_basic_deliver(self, consumer_tag: str, delivery_tag: int, *rest: Any) -> None:
        if consumer_tag not in self.no_ack_consumers:
            self.tags.add(delivery_tag)
        super()._on_basic_deliver(consumer_tag, delivery_tag, *rest)


class RabbitMQConnection(pyamqp.Connection):
    """A connection that handles all frames that have arrived, and sends acknowledgements together."""

    Channel = RabbitMQChannel

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop: Any = None
        self._loop_thread: int | None = None
        # Held for every write. Waiting acknowledgements are sent first, so that the order is kept.
        self._writing = threading.RLock()
        self._channels_with_acks: dict[Any, None] = {}
        super().__init__(*arguments, frame_writer=_writer, **options)

    def Transport(self, host: str, connect_timeout: float | None, ssl: Any = False, *rest: Any, **options: Any) -> Any:
        if ssl:
            return super().Transport(host, connect_timeout, ssl, *rest, **options)
        names = ("read_timeout", "write_timeout")
        return FrameSocket(host, connect_timeout=connect_timeout, **dict(zip(names, rest, strict=False)), **options)

    def use_loop(self, loop: Any) -> None:
        """Let an event loop read this connection. The calling thread runs the loop."""
        self._loop, self._loop_thread = loop, threading.get_ident()

    # --- reading -----------------------------------------------------------------------------------------------

    def handle_available(self) -> None:
        """Handle everything that the server has sent, without waiting."""
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
            # A handler that waits for a reply takes frames from here too, in order.
            while transport.frames:
                self._handle_next(transport)
        finally:
            if transport.frames and self._loop is not None:
                # Nothing else may arrive to wake the loop. Not by a timer, which would only log an exception.
                self._loop.on_tick.add(self._handle_rest)

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

    def _handle_rest(self) -> None:
        self._loop.on_tick.discard(self._handle_rest)
        self._handle()

    def blocking_read(self, timeout: float | None = None) -> Any:
        frames = getattr(self._transport, "frames", None)
        return self.on_inbound_frame(frames.popleft()) if frames else super().blocking_read(timeout)

    # --- writing -----------------------------------------------------------------------------------------------

    @property
    def defers_acks(self) -> bool:
        """Whether acknowledgements of the calling thread wait for the next round of the event loop."""
        return self._loop_thread == threading.get_ident()

    def send_acks_soon(self, channel: Any) -> None:
        """Send a channel's acknowledgements with the next frame, or when the loop next runs its timers."""
        with self._writing:
            is_first = not self._channels_with_acks
            self._channels_with_acks[channel] = None
        if is_first:
            self._loop.call_later(0, self.send_acks)

    def send_acks(self) -> None:
        """Send the waiting acknowledgements."""
        with self._writing:
            channels, self._channels_with_acks = self._channels_with_acks, {}
            frames = [frame(channel.channel_id, each) for channel in channels for each in channel.tags.take()]
            if frames and self._transport is not None:
                self._transport.write(b"".join(frames))
                self.bytes_sent += 1

    def write(self, frames: bytes) -> None:
        """Write complete frames, after everything before them."""
        with self._writing:
            self.send_acks()
            self.transport.write(frames)
            self.bytes_sent += 1

    def collect(self) -> None:
        if self.connected:
            # kombu's own would have sent them earlier. If this fails, the server redelivers the messages.
            with suppress(OSError):
                self.send_acks()
        super().collect()


def _text(found: bytes) -> str:
    return found.decode("utf-8", "surrogatepass")


def _writer(connection: Any, transport: Any) -> Callable[..., None]:
    write = frame_writer(connection, transport)

    def write_in_order(*frame: Any) -> None:
        with connection._writing:
            connection.send_acks()
            write(*frame)

    return write_in_order


class RabbitMQTransport(pyamqp.Transport):
    """kombu's RabbitMQ transport with `RabbitMQConnection`."""

    Connection: type[Any] = RabbitMQConnection
    implements = pyamqp.Transport.implements.extend(batch_publish=True)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        super().register_with_event_loop(connection, loop)
        connection.use_loop(loop)

    def on_readable(self, connection: Any, loop: Any) -> None:
        if not connection.connected:
            raise RecoverableConnectionError("Socket was disconnected")
        # As in kombu: a handler waited for a reply and timed out.
        with suppress(TimeoutError):
            connection.handle_available()
