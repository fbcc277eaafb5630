"""One signed POST: guarded, within a deadline, and answered with a code where there is no status."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from pipeline.delivery.addresses import Guard, VettingResolver
from pipeline.delivery.failure import INTERNAL, code_of
from pipeline.domain.address import Network
from pipeline.domain.callback import Callback, ForbiddenCallbackUrl, InvalidCallbackUrl, check_callback_url
from pipeline.domain.delivery import BLOCKED, UNUSABLE, Answer, Owed
from pipeline.domain.signature import Signer
from pipeline.log import get_logger

log = get_logger(__name__)

#: Bytes and lines of an answer's headers.
MAX_HEADER_BYTES = 65_536
MAX_HEADERS = 100
#: Seconds an unused connection is kept.
KEEP_ALIVE_SECONDS = 30.0
#: Part of the time to connect that looking up the name may take.
LOOKUP_SHARE = 0.8

# aiohttp warns about larger bodies that it would write in one piece.
_ONE_PIECE = 2**20
_CONTROL_LENGTH = 64


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Limits of one request.

    Args:
        deadline_seconds: wall clock, from looking up the name to the last byte read.
        connect_seconds: name, connection and TLS together.
        answer_bytes: read of an answer's body, so that its connection can be used again; then it is closed.
    """

    deadline_seconds: float = 15.0
    connect_seconds: float = 5.0
    answer_bytes: int = 16_384


class Client:
    """Two pools of connections: https to public or allowed addresses, http to allowed ones only.

    Built inside the running event loop; `close` ends it.
    """

    def __init__(
        self,
        signer: Signer,
        allow: Sequence[Network] = (),
        options: ClientOptions | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._signer = signer
        self._allow = tuple(allow)
        self._options = options or ClientOptions()
        inner = resolver or aiohttp.ThreadedResolver()
        self._sessions = {
            "https": self._session(Guard(self._allow, public=True), inner),
            "http": self._session(Guard(self._allow, public=False), inner),
        }

    async def post(self, owed: Owed, at: datetime) -> Answer:
        """Make one attempt at the instant `at`, which is signed. Never raises for what a receiver does."""
        try:
            callback = check_callback_url(owed.url, self._allow)
        except ForbiddenCallbackUrl:
            return Answer(error=BLOCKED)
        except InvalidCallbackUrl:
            return Answer(error=UNUSABLE)
        return await self._exchange(owed, callback, self._headers(owed, int(at.timestamp())))

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def _exchange(self, owed: Owed, callback: Callback, headers: dict[str, str]) -> Answer:
        answer: Answer | None = None
        body = owed.body if len(owed.body) <= _ONE_PIECE else io.BytesIO(owed.body)
        url = URL(callback.url, encoded=True)
        try:
            async with (
                asyncio.timeout(self._options.deadline_seconds),
                self._sessions[callback.scheme].post(
                    url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                answer = _answer(response)
                await self._drain(response)
        except Exception as error:
            # The status line decides: what happens to the body afterwards changes nothing.
            return answer or self._failure(error, owed)
        return answer

    def _failure(self, error: Exception, owed: Owed) -> Answer:
        code = code_of(error)
        if code == INTERNAL:
            log.error("delivery_attempt_failed", delivery=owed.id, origin=owed.origin, error=type(error).__name__)
        return Answer(error=code)

    def _headers(self, owed: Owed, timestamp: int) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "accept": "*/*",
            "accept-encoding": "identity",
            "webhook-id": owed.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signer.sign(owed.webhook_id, timestamp, owed.body),
            "webhook-attempt": str(owed.attempt),
        }

    async def _drain(self, response: aiohttp.ClientResponse) -> None:
        left = self._options.answer_bytes
        while not response.content.is_eof():
            left -= len(await response.content.readany())
            if left <= 0:
                response.close()
                return

    def _session(self, guard: Guard, resolver: AbstractResolver) -> aiohttp.ClientSession:
        options = self._options
        connector = aiohttp.TCPConnector(
            resolver=VettingResolver(resolver, guard, options.connect_seconds * LOOKUP_SHARE),
            # Resolved once for each connection: an answer vetted earlier says nothing about the next.
            use_dns_cache=False,
            socket_factory=guard.open,
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, connect=options.connect_seconds, ceil_threshold=3_600),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_headers=MAX_HEADERS,
        )


def _user_agent() -> str:
    try:
        return f"pipeline/{version('pipeline')}"
    except PackageNotFoundError:
        return "pipeline/0"


USER_AGENT = _user_agent()


def _answer(response: aiohttp.ClientResponse) -> Answer:
    if sum(len(name) + len(value) for name, value in response.raw_headers) > MAX_HEADER_BYTES:
        return Answer(error="protocol_error")
    headers = response.headers
    control = headers.get("webhook-delivery")
    return Answer(
        status=response.status,
        retry_after=headers.get("retry-after"),
        control=None if control is None else control.strip().lower()[:_CONTROL_LENGTH],
        location=_host(headers.get("location")) if 300 <= response.status <= 399 else None,
    )


def _host(location: str | None) -> str | None:
    """Return the host a redirect names; the rest of it may hold what is nobody's business."""
    try:
        host = urlsplit(location or "").hostname
    except ValueError:
        return None
    return host if host and host.isascii() and host.isprintable() else None
