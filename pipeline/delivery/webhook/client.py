"""One signed POST: guarded, within a deadline, and answered with a code where there is no status."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.credentials import Credentials
from pipeline.delivery.rules.delivery import BLOCKED, INTERNAL, UNUSABLE, Answer, Owed
from pipeline.delivery.webhook.connect import Connector, tls
from pipeline.delivery.webhook.errors import Lost, code_of
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.delivery.webhook.pool import ConnectionPool
from pipeline.delivery.webhook.request import head, opening
from pipeline.delivery.webhook.response import Response
from pipeline.delivery.webhook.ssrf_guard import Resolver, SsrfGuard, SystemResolver
from pipeline.domain.callback_url import Callback, ForbiddenCallbackUrl, InvalidCallbackUrl, check_callback_url
from pipeline.domain.ip_ranges import Network
from pipeline.log import get_logger

log = get_logger(__name__)

_NOTHING = Credentials()
#: URLs that are read and checked once, not at every attempt.
_KNOWN_URLS = 4_096


class WebhookClient:
    """Connects by https to public or allowed addresses, by http to allowed ones only, and keeps connections.

    Built inside the running event loop; `close` ends it.
    """

    def __init__(
        self,
        signer: Signer,
        allow: Sequence[Network] = (),
        options: ClientOptions | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._signer = signer
        self._options = options = options or ClientOptions()
        self._loop = asyncio.get_running_loop()
        networks, inner = tuple(allow), resolver or SystemResolver()
        self._dialers = {
            "https": Connector(SsrfGuard(networks, public=True), inner, options.connect_seconds, tls()),
            "http": Connector(SsrfGuard(networks, public=False), inner, options.connect_seconds, None),
        }
        self._pool = ConnectionPool(options.idle_seconds, options.connection_seconds)

        @lru_cache(_KNOWN_URLS)
        def checked(url: str) -> tuple[Callback, str]:
            callback = check_callback_url(url, networks)
            return callback, opening(callback)

        self._checked = checked

    async def post(self, owed: Owed, at: datetime) -> Answer:
        """Make one attempt at the instant `at`, which is signed. Never raises for what a receiver does."""
        try:
            callback, begin = self._checked(owed.url)
        except ForbiddenCallbackUrl:
            return Answer(error=BLOCKED)
        except InvalidCallbackUrl:
            return Answer(error=UNUSABLE)
        if owed.credentials is not None and callback.origin != owed.origin:
            # What one endpoint has of its own is for no other to see.
            return Answer(error=UNUSABLE)
        reply = Response(self._options.answer_bytes)
        try:
            await self._exchange(callback, self._head(owed, begin, int(at.timestamp())), owed.body, reply)
        except Exception as error:
            return self._failure(error, owed)
        return reply.answer()

    async def close(self) -> None:
        self._pool.close()
        for dialer in self._dialers.values():
            await dialer.close()
        # What is closed is gone after the loop's next round.
        await asyncio.sleep(0)

    async def _exchange(self, callback: Callback, request: bytes, body: bytes, reply: Response) -> None:
        """Send on a kept connection, and on a new one where there is none or it turns out to be closed."""
        deadline = self._loop.time() + self._options.deadline_seconds
        line = self._pool.take(callback.origin)
        if line is not None:
            try:
                await line.exchange(request, body, reply, deadline)
            except Lost:
                if reply.heard:
                    raise
                # The receiver closed it before it saw the request. Others of that time are no better.
                self._pool.drop(callback.origin)
            else:
                self._pool.put(callback.origin, line)
                return
        line = await self._dialers[callback.scheme].dial(callback, deadline)
        await line.exchange(request, body, reply, deadline)
        self._pool.put(callback.origin, line)

    def _failure(self, error: Exception, owed: Owed) -> Answer:
        code = code_of(error)
        if code == INTERNAL:
            log.error("delivery_attempt_failed", delivery=owed.id, origin=owed.origin, error=type(error).__name__)
        return Answer(error=code)

    def _head(self, owed: Owed, begin: str, timestamp: int) -> bytes:
        own = owed.credentials or _NOTHING
        signer = own.signer or self._signer
        attempt = {
            "webhook-id": owed.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signer.sign(owed.webhook_id, timestamp, owed.body),
            "webhook-attempt": str(owed.attempt),
        }
        return head(begin, attempt, own.headers, len(owed.body))
