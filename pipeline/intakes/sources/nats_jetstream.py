"""NATS JetStream: a durable pull consumer, named like the intake, whose messages are acknowledged once accepted.

Messages are requested here, not by the client: its `fetch` fails on an empty stream, and loses what comes too late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, MaxPayloadError, NoServersError
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, StreamInfo
from nats.js.errors import APIError, NotFoundError

from pipeline.connections.tls import tls_context
from pipeline.domain.urls.host import bracketed
from pipeline.domain.urls.intake_source import SubjectPlace
from pipeline.errors import InvalidArgument, InvalidSettings, SourceUnavailable
from pipeline.intakes.rules.messages import Chunk, IntakeMessage
from pipeline.intakes.sources.acknowledged_source import AcknowledgedSource
from pipeline.intakes.sources.background_loop import BackgroundLoop
from pipeline.intakes.sources.source import Gap, IntakeReader, SourceMissing

#: Seconds after which a message that is not acknowledged is delivered again; renewed at half while it is held.
ACK_WAIT_SECONDS = 60.0
#: When messages that are put back come again: later than a request ends.
AGAIN_SECONDS = 2.0
PING_SECONDS = 30
#: Seconds between two looks whether messages were deleted unread.
_LOOK_SECONDS = 1.0
#: Seconds for an answer of the server.
_TIMEOUT = 10.0
#: Seconds that messages are waited for once there is one.
_GATHER_SECONDS = 0.02
#: Answers to a request: nothing there, in time; too many wait for acknowledgement, or the consumer is gone.
_EMPTY, _CONFLICT, _NO_RESPONDERS = {"404", "408"}, "409", "503"

T = TypeVar("T")


class NatsStream(AcknowledgedSource):
    """Takes messages of a stream. Several processes may share it."""

    def __init__(self, place: SubjectPlace, options: Mapping[str, str], shown: str, reader: IntakeReader) -> None:
        if set(reader.name) & set(" .*>/\\"):
            raise InvalidArgument("{0} %r cannot be that of a consumer of NATS; choose one without '.'", "--name")
        self._place, self._shown, self._subscription = place, shown, reader
        self._client = Client()
        self._ready: asyncio.Queue[Msg] = asyncio.Queue()
        #: Those that were taken, and those that wait in this process, by the subject of their acknowledgement.
        self._taken: list[Msg] = []
        self._held: dict[str, Msg] = {}
        self._created = ""
        self._next_look = 0.0
        #: The message behind which the last gap was that was told.
        self._known_gap = 0
        #: What the server does not permit.
        self._refused: str | None = None
        self._loop = BackgroundLoop("intake-nats")
        try:
            self._call(self._open(options))
        except BaseException:
            self.close()
            raise

    def take(self, limit: int, seconds: float) -> Chunk:
        self._taken = self._call(self._take(limit, seconds), seconds + _TIMEOUT)
        return Chunk([self._message(each) for each in self._taken])

    def keep_alive(self) -> None:
        """Do nothing: what is held is kept, and no more is sent than was asked for."""

    def confirm(self) -> None:
        self._call(self._acknowledge())

    def put_back(self) -> None:
        self._call(self._give_back(self._taken))

    def backlog(self, positions: Mapping[str, str]) -> int | None:
        """Return the messages that were not delivered, and those that are not acknowledged."""
        info = self._call(self._consumer())
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    def close(self) -> None:
        # The server may be gone.
        with suppress(Exception):
            self._loop.call(self._leave(), _TIMEOUT)
        with suppress(Exception):
            self._loop.call(self._client.close(), _TIMEOUT)
        self._loop.close()

    async def _open(self, options: Mapping[str, str]) -> None:
        place = self._place
        scheme = "tls" if place.has_tls else "nats"
        await self._client.connect(
            f"{scheme}://{bracketed(place.host)}:{place.port}",
            name="pipeline",
            # A connection that is lost is made anew, with all that belongs to it.
            allow_reconnect=False,
            connect_timeout=int(_TIMEOUT),
            ping_interval=PING_SECONDS,
            error_cb=self._hear_error,
            user=options.get("username"),
            password=options.get("password"),
            token=options.get("token"),
            tls=tls_context(options) if place.has_tls else None,
            tls_hostname=place.host if place.has_tls else None,
        )
        self._context = self._client.jetstream(timeout=_TIMEOUT)
        # A stream that was made anew numbers its messages from 1 again: they are others.
        created = (await self._stream()).created
        self._created = "" if created is None else f"{created.timestamp():.6f}"
        await self._find_consumer()
        self._inbox = self._client.new_inbox()
        self._answers = await self._client.subscribe(self._inbox, cb=self._hear)
        self._keeping = asyncio.create_task(self._keep())

    async def _find_consumer(self) -> None:
        """Make the durable consumer unless it is there."""
        place, reader = self._place, self._subscription
        try:
            found = (await self._consumer()).config
        except NotFoundError:
            start = DeliverPolicy.NEW if reader.begins_at_end else DeliverPolicy.ALL
            await self._context.add_consumer(
                place.stream,
                ConsumerConfig(
                    durable_name=reader.name,
                    deliver_policy=start,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=ACK_WAIT_SECONDS,
                    max_deliver=-1,
                    max_ack_pending=2 * reader.chunk,
                    filter_subject=place.filter,
                ),
            )
            return
        if (found.filter_subject or None) != place.filter or found.deliver_subject or found.ack_policy != "explicit":
            raise InvalidSettings(
                f"{self._shown}: the consumer {reader.name!r} of stream {place.stream!r} reads "
                f"{found.filter_subject or 'all'} in another way; choose another --name"
            )

    async def _take(self, limit: int, seconds: float) -> list[Msg]:
        if not self._client.is_connected:
            raise NoServersError
        if self._ready.empty():
            await self._look_for_gap()
            await self._request(limit, seconds)
        first = await self._next(seconds + _GATHER_SECONDS)
        found = [] if first is None else [first]
        while found and len(found) < limit and (more := await self._next(_GATHER_SECONDS)):
            found.append(more)
        return found

    async def _request(self, limit: int, seconds: float) -> None:
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._place.stream}.{self._subscription.name}"
        wanted = {"batch": limit, "expires": int(seconds * 1_000_000_000)}
        await self._client.publish(subject, orjson.dumps(wanted), reply=self._inbox)
        await self._client.flush(int(_TIMEOUT))

    async def _next(self, seconds: float) -> Msg | None:
        """Return the next message; None if none comes, or the server says that there is none."""
        try:
            message = await asyncio.wait_for(self._ready.get(), seconds)
        except TimeoutError:
            if not self._client.is_connected:
                raise NoServersError from None
            if self._refused is not None:
                raise InvalidSettings(f"{self._shown} does not let its user read: {self._refused}") from None
            return None
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            return message
        if status in _EMPTY:
            return None
        said = (message.headers or {}).get("Description", "")
        if status == _CONFLICT and "deleted" not in said.lower() and "consumer is" not in said.lower():
            # Too many are not acknowledged yet, here or in other processes.
            return None
        # Look what is gone, the consumer or its stream.
        await self._stream()
        raise SourceUnavailable(f"{self._shown} has lost its consumer: {status} {said}".rstrip())

    async def _hear(self, message: Msg) -> None:
        if message.reply:
            self._held[message.reply] = message
        self._ready.put_nowait(message)

    async def _hear_error(self, error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            self._refused = str(error)

    async def _look_for_gap(self) -> None:
        """Find messages that were deleted before they were delivered.

        Raises:
            Gap: there are some. Of some subjects only, nobody knows whether they were among those.
        """
        now = asyncio.get_running_loop().time()
        if now < self._next_look or self._place.filter is not None:
            return
        info, stream = await self._consumer(), await self._stream()
        self._next_look = now + _LOOK_SECONDS
        delivered = 0 if info.delivered is None else info.delivered.stream_seq
        first = stream.state.first_seq
        # What was deleted before the first message was delivered, nobody waited for.
        if 0 < delivered < first - 1 and delivered > self._known_gap:
            self._known_gap = delivered
            raise Gap(str(delivered), str(first))

    async def _keep(self) -> None:
        """Tell the server that what is held is being worked on."""
        while True:
            await asyncio.sleep(ACK_WAIT_SECONDS / 2)
            for message in list(self._held.values()):
                # If it fails, messages may come again, and are dropped then.
                with suppress(NatsError):
                    await message.in_progress()

    async def _acknowledge(self) -> None:
        taken, self._taken = self._taken, []
        for message in taken:
            self._held.pop(message.reply, None)
            await message.ack()
        await self._client.flush(int(_TIMEOUT))

    async def _leave(self) -> None:
        """Give everything back, also what comes while this process asks for no more."""
        await self._answers.drain()  # type: ignore[no-untyped-call]
        await self._give_back(list(self._held.values()))

    async def _give_back(self, messages: list[Msg]) -> None:
        self._taken = []
        for message in messages:
            self._held.pop(message.reply, None)
            # At once, the server might send it to the last request of this process, which nobody may hear any more.
            await message.nak(AGAIN_SECONDS)
        await self._client.flush(int(_TIMEOUT))

    async def _stream(self) -> StreamInfo:
        try:
            return await self._context.stream_info(self._place.stream)
        except NotFoundError:
            raise SourceMissing(
                f"{self._shown} has no stream {self._place.stream!r}; create it, or mend its name"
            ) from None

    async def _consumer(self) -> ConsumerInfo:
        info: ConsumerInfo = await self._context.consumer_info(self._place.stream, self._subscription.name)
        return info

    def _message(self, message: Msg) -> IntakeMessage:
        return IntakeMessage(message.data, message_id=f"{self._created}/{message.metadata.sequence.stream}")

    def _call(self, coroutine: Coroutine[Any, Any, T], seconds: float = 2 * _TIMEOUT) -> T:
        with self._explained():
            return self._loop.call(coroutine, seconds)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (AuthorizationError, MaxPayloadError) as error:
            raise InvalidSettings(f"{self._shown} refuses the credentials: {type(error).__name__}") from None
        except APIError as error:
            raise SourceUnavailable(f"{self._shown} does not answer: {error.code} {error.description}") from None
        except (NatsError, OSError, TimeoutError) as error:
            said = str(error).lower()
            if "authorization" in said or "authentication" in said:
                raise InvalidSettings(f"{self._shown} refuses the credentials") from None
            if self._refused is not None:
                raise InvalidSettings(f"{self._shown} does not let its user read: {self._refused}") from None
            raise SourceUnavailable(f"{self._shown} does not answer: {type(error).__name__}") from None
