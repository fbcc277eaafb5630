"""RabbitMQ: persistent, mandatory messages on a channel in confirm mode.

aiormq, below aio-pika: its publish has no timeout that would close the channel, and so no other message is sent again
because one was late. Nothing reconnects: a link that is lost is opened again by whoever needs it next.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast
from urllib.parse import quote

import aiormq
from aiormq import exceptions
from aiormq.channel import Channel
from aiormq.connection import TransportFactory
from pamqp.commands import Basic

from pipeline.delivery.rules.delivery import AUTH_REFUSED, TARGET_MISSING, UNROUTABLE
from pipeline.delivery.rules.message import CONTENT_TYPE, TargetMessage
from pipeline.delivery.targets.link import Place, TargetFailure
from pipeline.delivery.webhook.errors import ConnectionLost
from pipeline.domain.urls.route import AmqpRoute, Route

DEFAULT_PORTS = {"amqp": 5672, "amqps": 5671}
HEARTBEAT_SECONDS = 30
#: Messages in flight on one channel: the broker works through a channel one after another.
PER_CHANNEL = 256
#: Prefix of the attributes of CloudEvents, as its AMQP binding has it.
EVENT_PREFIX = "cloudEvents:"
_PERSISTENT = 2
#: Exchanges that are known to exist.
_MOST_EXCHANGES = 1_000


async def open_link(place: Place) -> RabbitLink:
    """Connect and open a channel in confirm mode."""
    host, port = place.host_and_port(DEFAULT_PORTS[place.scheme])
    user, password = (quote(place.options.get(name, "guest"), safe="") for name in ("username", "password"))
    where = f"[{host}]" if ":" in host else host
    url = f"amqp://{user}:{password}@{where}:{port}/{quote(place.realm, safe='')}?heartbeat={HEARTBEAT_SECONDS}"
    connection = aiormq.Connection(f"{url}&name=pipeline", transport_factory=_Dialed(place, host, port))
    try:
        await connection.connect()
        link = RabbitLink(connection)
        await link.open_channel()
    except exceptions.AMQPError as error:
        await connection.close()
        raise _connection_failure(error) from None
    return link


class _Dialed(TransportFactory):
    """Opens the socket by the rules of the deployment."""

    def __init__(self, place: Place, host: str, port: int) -> None:
        self._place, self._host, self._port = place, host, port

    async def create(self, url: Any, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._place.dial.open(self._host, self._port, self._place.tls)


class _Channel:
    """A channel in confirm mode, and how many messages are in flight on it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.in_flight = 0


class RabbitLink:
    """A connection to one virtual host."""

    def __init__(self, connection: aiormq.Connection) -> None:
        self._connection = connection
        self._channels: list[_Channel] = []
        self._exchanges: set[str] = set()
        self._opening = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._connection.is_opened

    async def open_channel(self) -> _Channel:
        opened = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        channel = _Channel(cast("Channel", opened))
        self._channels.append(channel)
        return channel

    async def send(self, message: TargetMessage, route: Route) -> str:
        """Publish a message and wait until the broker confirms it; see `TargetLink.send`."""
        route = cast("AmqpRoute", route)
        try:
            await self._check_exchange(route.exchange)
            channel = await self._channel()
            channel.in_flight += 1
            try:
                await self._publish(channel.channel, message, route)
            finally:
                channel.in_flight -= 1
        except exceptions.PublishError as error:
            raise TargetFailure(UNROUTABLE, _reply_text(error)) from None
        except exceptions.DeliveryError:
            raise TargetFailure("refused", "basic.nack: the broker could not take the message") from None
        except exceptions.ChannelClosed as error:
            raise _channel_failure(error, route) from None
        except exceptions.AMQPError as error:
            raise _connection_failure(error) from None
        return f"exchange {route.exchange or '(default)'} routing key {route.routing_key}"

    async def close(self) -> None:
        await self._connection.close()

    async def _publish(self, channel: Channel, message: TargetMessage, route: AmqpRoute) -> None:
        await channel.basic_publish(
            message.body,
            exchange=route.exchange,
            routing_key=route.routing_key,
            mandatory=True,
            properties=Basic.Properties(
                content_type=CONTENT_TYPE,
                headers=cast("dict[str, Any]", message.all_headers(EVENT_PREFIX)),
                delivery_mode=_PERSISTENT,
                message_id=message.id,
                timestamp=message.at,
                message_type=message.event["type"],
                app_id="pipeline",
            ),
            wait=False,
        )

    async def _channel(self) -> _Channel:
        self._channels = [each for each in self._channels if not each.channel.is_closed]
        for channel in self._channels:
            if channel.in_flight < PER_CHANNEL:
                return channel
        async with self._opening:
            free = [each for each in self._channels if each.in_flight < PER_CHANNEL and not each.channel.is_closed]
            return free[0] if free else await self.open_channel()

    async def _check_exchange(self, exchange: str) -> None:
        """Ask for an exchange before the first message to it: publishing to one that is missing closes the channel.

        All that is in flight on the channel would have to be sent again.
        """
        if not exchange or exchange in self._exchanges:
            return
        channel = await self._connection.channel()
        await channel.exchange_declare(exchange, passive=True)
        await channel.close()
        if len(self._exchanges) >= _MOST_EXCHANGES:
            self._exchanges.clear()
        self._exchanges.add(exchange)


def _channel_failure(error: exceptions.ChannelClosed, route: AmqpRoute) -> Exception:
    """Return why a channel was closed, if it was because of this message; the others only lost their channel."""
    said = " ".join(str(each) for each in error.args if each is not None)
    is_ours = f"'{route.exchange}'" in said or "exchange 'amq.default'" in said
    if isinstance(error, exceptions.ChannelNotFoundEntity) and is_ours:
        return TargetFailure(TARGET_MISSING, said)
    if isinstance(error, exceptions.ChannelAccessRefused) and is_ours:
        return TargetFailure(AUTH_REFUSED, said)
    if isinstance(error, exceptions.ChannelPreconditionFailed) and "larger than" in said:
        return TargetFailure("too_large", said)
    return ConnectionLost()


def _connection_failure(error: exceptions.AMQPError) -> Exception:
    said = " ".join(str(each) for each in error.args if each is not None)
    if isinstance(error, exceptions.AuthenticationError | exceptions.ProbableAuthenticationError):
        return TargetFailure(AUTH_REFUSED, said)
    if isinstance(error, exceptions.ConnectionNotAllowed):
        return TargetFailure(AUTH_REFUSED if "refused" in said else TARGET_MISSING, said)
    if isinstance(error, exceptions.IncompatibleProtocolError | exceptions.ProtocolSyntaxError):
        return TargetFailure("protocol_error", said)
    if isinstance(error, exceptions.ConnectionClosed) and "320" in said.split():
        return TargetFailure("unavailable", said)
    return ConnectionLost()


def _reply_text(error: exceptions.PublishError) -> str:
    returned = getattr(error.frame, "reply_text", "")
    return f"basic.return: {returned or 'NO_ROUTE'}"
