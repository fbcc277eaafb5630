"""One signed POST: guarded, within a deadline, and answered with a code where there is no status."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from pipeline.delivery.addresses import Guard, VettingResolver
from pipeline.delivery.failure import code_of
from pipeline.delivery.options import ClientOptions
from pipeline.delivery.pool import Exchange, Pool, begin_exchange
from pipeline.delivery.reply import MAX_HEADERS, Reply
from pipeline.domain.address import Network
from pipeline.domain.callback import Callback, ForbiddenCallbackUrl, InvalidCallbackUrl, check_callback_url
from pipeline.domain.credentials import Credentials
from pipeline.domain.delivery import BLOCKED, INTERNAL, UNUSABLE, Answer, Owed
from pipeline.domain.signature import Signer
from pipeline.log import get_logger

log = get_logger(__name__)

#: Part of the time to connect that looking up the name may take.
LOOKUP_SHARE = 0.8

# A larger body is written bit by bit: a receiver that does not read would have it copied into a buffer as a whole.
_ONE_PIECE = 2**16
_NOTHING = Credentials()
#: URLs that are read and checked once, not at every attempt.
_KNOWN_URLS = 4_096


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
        networks = tuple(allow)
        self._options = options or ClientOptions()
        inner = resolver or aiohttp.ThreadedResolver()
        self._sessions = {
            "https": self._session(Guard(networks, public=True), inner),
            "http": self._session(Guard(networks, public=False), inner),
        }

        @lru_cache(_KNOWN_URLS)
        def checked(url: str) -> Callback:
            return check_callback_url(url, networks)

        self._checked = checked

    async def post(self, owed: Owed, at: datetime) -> Answer:
        """Make one attempt at the instant `at`, which is signed. Never raises for what a receiver does."""
        try:
            callback = self._checked(owed.url)
        except ForbiddenCallbackUrl:
            return Answer(error=BLOCKED)
        except InvalidCallbackUrl:
            return Answer(error=UNUSABLE)
        if owed.credentials is not None and callback.origin != owed.origin:
            # What one endpoint has of its own is for no other to see.
            return Answer(error=UNUSABLE)
        return await self._exchange(owed, callback, self._headers(owed, int(at.timestamp())))

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def _exchange(self, owed: Owed, callback: Callback, headers: dict[str, str]) -> Answer:
        reply, under_way = Reply(), begin_exchange()
        try:
            async with asyncio.timeout(self._options.deadline_seconds):
                await self._resent_if_stale(owed, callback, headers, reply, under_way)
        except Exception as error:
            # The status line decides: what happens to the body afterwards changes nothing.
            if reply.response is None:
                return self._failure(error, owed)
        finally:
            under_way.end()
        return reply.answer()

    async def _resent_if_stale(
        self, owed: Owed, callback: Callback, headers: dict[str, str], reply: Reply, under_way: Exchange
    ) -> None:
        """Send, and once more at once where a kept connection turns out to be closed: the receiver saw nothing."""
        try:
            await self._send(owed, callback, headers, reply, under_way)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not under_way.was_stale:
                raise
            under_way.wants_fresh = True
            await self._send(owed, callback, headers, reply, under_way)

    async def _send(
        self, owed: Owed, callback: Callback, headers: dict[str, str], reply: Reply, under_way: Exchange
    ) -> None:
        body = owed.body if len(owed.body) <= _ONE_PIECE else _pieces(owed.body)
        length = {"content-length": str(len(owed.body))}
        session, url = self._sessions[callback.scheme], URL(callback.url, encoded=True)
        async with session.post(url, data=body, headers=headers | length, allow_redirects=False) as response:
            under_way.is_answered()
            await reply.read(response, self._options.answer_bytes)

    def _failure(self, error: Exception, owed: Owed) -> Answer:
        code = code_of(error)
        if code == INTERNAL:
            log.error("delivery_attempt_failed", delivery=owed.id, origin=owed.origin, error=type(error).__name__)
        return Answer(error=code)

    def _headers(self, owed: Owed, timestamp: int) -> dict[str, str]:
        own = owed.credentials or _NOTHING
        signer = own.signer or self._signer
        return {
            "webhook-id": owed.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signer.sign(owed.webhook_id, timestamp, owed.body),
            "webhook-attempt": str(owed.attempt),
            **own.headers,
        }

    def _session(self, guard: Guard, resolver: AbstractResolver) -> aiohttp.ClientSession:
        options = self._options
        connector = Pool(
            max_age=options.connection_seconds,
            ssl=_tls(),
            resolver=VettingResolver(resolver, guard, options.connect_seconds * LOOKUP_SHARE),
            # Resolved once for each connection: an answer vetted earlier says nothing about the next.
            use_dns_cache=False,
            socket_factory=guard.open,
            limit=0,
            keepalive_timeout=options.idle_seconds,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=_SAME_FOR_ALL,
            timeout=aiohttp.ClientTimeout(total=None, connect=options.connect_seconds, ceil_threshold=3_600),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_headers=MAX_HEADERS,
        )


async def _pieces(body: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(body)
    for start in range(0, len(body), _ONE_PIECE):
        yield view[start : start + _ONE_PIECE]


def _tls() -> ssl.SSLContext:
    """Return what https is spoken with: certificates of the system or of SSL_CERT_FILE, and the host name checked."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _user_agent() -> str:
    try:
        return f"pipeline/{version('pipeline')}"
    except PackageNotFoundError:
        return "pipeline/0"


USER_AGENT = _user_agent()
_SAME_FOR_ALL = {
    "content-type": "application/json",
    "user-agent": USER_AGENT,
    "accept": "*/*",
    "accept-encoding": "identity",
}
