"""NATS: messages that a stream of JetStream has stored. Core NATS, which stores nothing, is never used.

The acknowledgements are read here, not by the client: nats-py loses the future of a message that is refused with 500 or
503.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from typing import Any, cast
from urllib.parse import ParseResult

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.errors import Error as NatsError

from pipeline.delivery.rules.delivery import AUTH_REFUSED, TARGET_MISSING, TOO_LARGE
from pipeline.delivery.rules.message import TargetMessage
from pipeline.delivery.targets.link import Place, TargetFailure
from pipeline.delivery.webhook.errors import ConnectionLost
from pipeline.domain.urls.host import bracketed
from pipeline.domain.urls.route import NatsRoute, Route

DEFAULT_PORT = 4222
PING_SECONDS = 30
EVENT_PREFIX = "ce-"
_MESSAGE_ID = "Nats-Msg-Id"
#: What a server answers where no stream takes a subject.
_NO_RESPONDERS = "503"
#: Bytes that frame headers, beside names and values: `NATS/1.0`, and four for each.
_FRAME, _FRAME_OF_HEADER = 16, 4


async def open_link(place: Place) -> NatsLink:
    """Connect and sign in."""
    host, port = place.host_and_port(DEFAULT_PORT)
    client = Client()
    transport = _DialedTransport(place, *await place.dial.open(host, port))
    # The client makes a transport only if it has none, or one that is not open.
    client._transport = transport
    link = NatsLink(client, transport)
    try:
        await client.connect(
            f"{place.scheme}://{bracketed(host)}:{port}",
            name="pipeline",
            # A link that is lost is opened again by whoever needs it next: what is in flight must not wait meanwhile.
            allow_reconnect=False,
            ping_interval=PING_SECONDS,
            error_cb=link.hear_error,
            closed_cb=link.hear_end,
            user=place.options.get("username"),
            password=place.options.get("password"),
            token=place.options.get("token"),
            tls=place.tls,
            tls_hostname=host if place.tls is not None else None,
        )
        await link.subscribe()
    except BaseException as error:
        transport.close()
        raise _failure(error, transport) from None
    return link


class _DialedTransport(TcpTransport):
    """A connection opened by the rules of the deployment. It writes nothing unencrypted if TLS is asked for."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self._place = place
        self._is_encrypted = False
        self._bare_io_reader = self._io_reader = reader
        self._bare_io_writer = self._io_writer = writer
        #: What the client hides in an error of its own.
        self.failure: OSError | None = None

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        return

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
        self._transport = transport
        self._lost = False
        self._inbox = f"_INBOX.{secrets.token_hex(11)}"
        self._count = 0
        #: By the last word of the subject that the answer is sent to: where the message went, and who waits.
        self._waiting: dict[str, tuple[str, asyncio.Future[dict[str, Any]]]] = {}

    @property
    def is_open(self) -> bool:
        return not self._lost and self._client.is_connected and not self._transport.at_eof()

    async def subscribe(self) -> None:
        """Subscribe to acknowledgements."""
        await self._client.subscribe(f"{self._inbox}.*", cb=self._hear_answer)

    async def send(self, message: TargetMessage, route: Route) -> str:
        """Publish a message and return the stream and its number there; see `TargetLink.send`."""
        if self._lost:
            raise ConnectionLost
        subject = cast("NatsRoute", route).subject
        headers = {**message.all_headers(EVENT_PREFIX), _MESSAGE_ID: message.dedupe_id}
        self._check_size(message, headers)
        self._count += 1
        token = str(self._count)
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[token] = subject, waiting
        try:
            await self._client.publish(subject, message.body, reply=f"{self._inbox}.{token}", headers=headers)
            answer = await waiting
        except NatsError:
            raise ConnectionLost from None
        finally:
            del self._waiting[token]
        if "error" in answer:
            raise _refusal(answer["error"])
        return f"stream {answer.get('stream')} seq {answer.get('seq')}" + (
            " (duplicate)" * bool(answer.get("duplicate"))
        )

    async def close(self) -> None:
        await self.hear_end()
        await self._client.close()

    async def hear_error(self, error: Exception) -> None:
        """Fail the messages that the server does not permit: it tells that as an error of the connection."""
        said = str(error)
        if "permissions violation" in said.lower():
            for subject, waiting in list(self._waiting.values()):
                if f'"{subject}"' in said:
                    _fail(waiting, TargetFailure(AUTH_REFUSED, said))

    async def hear_end(self) -> None:
        """Fail what waits: the connection is lost."""
        self._lost = True
        for _, waiting in list(self._waiting.values()):
            _fail(waiting, ConnectionLost())

    async def _hear_answer(self, message: Msg) -> None:
        subject, waiting = self._waiting.get(message.subject.rpartition(".")[2], ("", None))
        if waiting is None or waiting.done():
            return
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            _fail(waiting, TargetFailure(TARGET_MISSING, f"no stream takes the subject {subject}"))
            return
        try:
            answer = orjson.loads(message.data)
        except orjson.JSONDecodeError:
            answer = None
        if isinstance(answer, dict):
            waiting.set_result(answer)
        else:
            # Somebody answers who is no stream.
            _fail(waiting, TargetFailure("protocol_error"))

    def _check_size(self, message: TargetMessage, headers: dict[str, str]) -> None:
        # The server closes the connection for a message that is too large, and with it all that is in flight.
        framed = sum(len(name) + len(value) + _FRAME_OF_HEADER for name, value in headers.items()) + _FRAME
        size = len(message.body) + framed
        if size > self._client.max_payload:
            raise TargetFailure(TOO_LARGE, f"{size:,} bytes; the server takes {self._client.max_payload:,}")


def _fail(waiting: asyncio.Future[dict[str, Any]], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)


def _refusal(error: dict[str, Any]) -> TargetFailure:
    said = str(error.get("description", error))
    if "message size exceeds" in said:
        return TargetFailure(TOO_LARGE, said)
    # A stream that is full answers 503 as well.
    is_full = "maximum" in said
    return TargetFailure("unavailable" if error.get("code") in (500, 503) and not is_full else "refused", said)


def _failure(error: BaseException, transport: _DialedTransport) -> BaseException:
    """Return why a connection could not be opened."""
    if transport.failure is not None:
        return transport.failure
    if not isinstance(error, NatsError):
        return error
    said = str(error).lower()
    if "authorization" in said or "authentication" in said:
        return TargetFailure(AUTH_REFUSED, str(error))
    return ConnectionLost()
