"""NATS: messages that a stream of JetStream has stored. Core NATS, which stores nothing, is never used."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, cast
from urllib.parse import ParseResult

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import APIError, NoStreamResponseError

from pipeline.delivery.rules.delivery import AUTH_REFUSED, TARGET_MISSING, TOO_LARGE
from pipeline.delivery.rules.message import Message
from pipeline.delivery.targets.link import Place, TargetFailure
from pipeline.delivery.webhook.errors import ConnectionLost
from pipeline.domain.urls.host import bracketed
from pipeline.domain.urls.route import NatsRoute, Route

DEFAULT_PORT = 4222
PING_SECONDS = 30
EVENT_PREFIX = "ce-"
_MESSAGE_ID = "Nats-Msg-Id"


async def open_link(place: Place) -> NatsLink:
    """Connect and sign in."""
    host, port = place.host_and_port(DEFAULT_PORT)
    client = Client()
    transport = _DialedTransport(place, host, port)
    # The client makes a transport only if it has none.
    client._transport = transport
    link = NatsLink(client, transport)
    try:
        await client.connect(
            f"{place.scheme}://{bracketed(host)}:{port}",
            name="pipeline",
            # A link that is lost is opened again by whoever needs it next: what is in flight must not wait meanwhile.
            allow_reconnect=False,
            max_reconnect_attempts=0,
            connect_timeout=5,
            ping_interval=PING_SECONDS,
            error_cb=link.hear_error,
            closed_cb=link.hear_end,
            user=place.options.get("username"),
            password=place.options.get("password"),
            token=place.options.get("token"),
            tls=place.tls,
            tls_hostname=host if place.tls is not None else None,
        )
    except NatsError as error:
        raise transport.failure or _sign_in_failure(error) from None
    # Otherwise the first messages, sent at once, may overtake the subscription to their answers.
    await link.subscribe()
    return link


class _DialedTransport(TcpTransport):
    """Opens the socket by the rules of the deployment, and writes nothing unencrypted where TLS is asked for."""

    def __init__(self, place: Place, host: str, port: int) -> None:
        super().__init__()
        self._place, self._host, self._port = place, host, port
        self._is_encrypted = False
        #: What the client hides in an error of its own.
        self.failure: OSError | None = None

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        try:
            reader, writer = await self._place.dial.open(self._host, self._port, limit=buffer_size)
        except OSError as error:
            self.failure = error
            raise
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer

    async def connect_tls(self, uri: Any, ssl_context: Any, buffer_size: int, connect_timeout: int) -> None:
        try:
            await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        except OSError as error:
            self.failure = error
            raise
        self._is_encrypted = True

    def write(self, payload: bytes) -> None:
        # A server, or somebody in its place, that offers no TLS would get the password.
        if self._place.tls is not None and not self._is_encrypted:
            self.failure = ssl.SSLError("the server does not offer TLS")
            raise self.failure
        super().write(payload)


class NatsLink:
    """A connection whose messages JetStream acknowledges."""

    def __init__(self, client: Client, transport: _DialedTransport) -> None:
        self._client = client
        self._stream = client.jetstream()
        self._transport = transport
        self._waiting: dict[asyncio.Future[Any], str] = {}
        self._lost: Exception | None = None

    @property
    def is_open(self) -> bool:
        return self._lost is None and self._client.is_connected and not self._transport.at_eof()

    async def subscribe(self) -> None:
        """Subscribe to acknowledgements."""
        await self._stream._init_async_reply()

    async def send(self, message: Message, route: Route) -> str:
        """Publish a message and return the stream and its number there; see `TargetLink.send`."""
        subject = cast("NatsRoute", route).subject
        headers = {**message.all_headers(EVENT_PREFIX), _MESSAGE_ID: message.dedupe_id}
        self._check_size(message, headers)
        try:
            answer: asyncio.Future[Any] = await self._stream.publish_async(subject, message.body, headers=headers)
        except MaxPayloadError:
            raise TargetFailure(TOO_LARGE) from None
        except NatsError:
            raise self._lost or ConnectionLost() from None
        self._waiting[answer] = subject
        try:
            found = await answer
        except NoStreamResponseError:
            raise TargetFailure(TARGET_MISSING, f"no stream takes the subject {subject}") from None
        except APIError as error:
            raise _refusal(error) from None
        except NatsError:
            raise ConnectionLost from None
        finally:
            self._waiting.pop(answer, None)
        return f"stream {found.stream} seq {found.seq}" + (" (duplicate)" if found.duplicate else "")

    async def close(self) -> None:
        self._fail(ConnectionLost())
        await self._client.close()

    async def hear_error(self, error: Exception) -> None:
        """Fail the messages that the server does not permit: it answers by an error of the connection, and no other."""
        said = str(error)
        if "permissions violation" in said.lower():
            for answer, subject in list(self._waiting.items()):
                if f'"{subject}"' in said and not answer.done():
                    answer.set_exception(TargetFailure(AUTH_REFUSED, said))

    async def hear_end(self) -> None:
        """Fail what waits: the connection is lost."""
        self._fail(ConnectionLost())

    def _fail(self, error: Exception) -> None:
        self._lost = self._lost or error
        for answer in list(self._waiting):
            if not answer.done():
                answer.set_exception(ConnectionLost())

    def _check_size(self, message: Message, headers: dict[str, str]) -> None:
        # The server closes the connection for a message that is too large, and with it all that is in flight.
        size = len(message.body) + sum(len(name) + len(value) + 4 for name, value in headers.items()) + 16
        if size > self._client.max_payload:
            raise TargetFailure(TOO_LARGE, f"{size:,} bytes; the server takes {self._client.max_payload:,}")


def _refusal(error: APIError) -> TargetFailure:
    said = str(error.description or error)
    if error.code == 503:
        return TargetFailure("unavailable", said)
    if "exceeds maximum" in said or "maximum message size" in said or "message size exceeds" in said:
        return TargetFailure(TOO_LARGE, said)
    return TargetFailure("refused", said)


def _sign_in_failure(error: NatsError) -> Exception:
    said = str(error).lower()
    if "authorization" in said or "authentication" in said:
        return TargetFailure(AUTH_REFUSED, str(error))
    return ConnectionLost()
