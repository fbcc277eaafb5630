"""A second implementation of the sender's HTTP client, on httpx2: what a replacement of ours would look like.

It does not check addresses, so that it is for tests only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2

from pipeline.delivery.rules.delivery import TIMEOUT, Answer
from pipeline.delivery.webhook.connect import make_tls_context
from pipeline.delivery.webhook.errors import code_of
from pipeline.delivery.webhook.http_client import UnfitHeader
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.delivery.webhook.response import KEPT_OF_FAILURE, KEPT_OF_SUCCESS, redirect_host
from pipeline.domain.body_text import body_text
from pipeline.domain.callback_url import Callback


class StockHttpClient:
    """`HttpClient` on httpx2's transport, which follows no redirects and keeps no cookies."""

    def __init__(self, options: ClientOptions) -> None:
        self._options = options
        self._transport = httpx2.AsyncHTTPTransport(
            verify=make_tls_context(),
            trust_env=False,
            limits=httpx2.Limits(keepalive_expiry=options.idle_seconds),
        )

    async def post(self, callback: Callback, headers: Mapping[str, str], body: bytes) -> Answer:
        exchange = _Exchange(self._transport, self._options)
        try:
            async with asyncio.timeout(self._options.deadline_seconds):
                await exchange.run(callback, headers, body)
        except TimeoutError:
            return exchange.answer() or Answer(error=TIMEOUT)
        except httpx2.LocalProtocolError:
            raise UnfitHeader("a header of this request is more than one line") from None
        except httpx2.HTTPError as error:
            return exchange.answer() or Answer(error=_code(error))
        answer = exchange.answer()
        assert answer is not None
        return answer

    async def close(self) -> None:
        await self._transport.aclose()


class _Exchange:
    """One request, and what has arrived of its response."""

    def __init__(self, transport: httpx2.AsyncHTTPTransport, options: ClientOptions) -> None:
        self._transport = transport
        self._options = options
        self._response: httpx2.Response | None = None
        self._body = bytearray()
        self._is_complete = False
        self._has_connected = False

    async def run(self, callback: Callback, headers: Mapping[str, str], body: bytes) -> None:
        try:
            await self._send(callback, headers, body)
        except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError) as error:
            if self._has_connected or not _is_lost(error):
                raise
            # The receiver closed a reused connection before it saw the request.
            await self._send(callback, headers, body)
        await self._read()

    async def _send(self, callback: Callback, headers: Mapping[str, str], body: bytes) -> None:
        timeout = {"connect": self._options.connect_seconds}
        extensions = {"timeout": timeout, "trace": self._note}
        request = httpx2.Request("POST", callback.url, headers=dict(headers), content=body, extensions=extensions)
        self._response = await self._transport.handle_async_request(request)

    async def _note(self, event: str, _: Mapping[str, Any]) -> None:
        self._has_connected = self._has_connected or event.startswith("connection.connect_tcp")

    async def _read(self) -> None:
        assert self._response is not None
        try:
            async for piece in self._response.aiter_raw():
                self._body += piece
                if len(self._body) >= self._options.answer_bytes:
                    return
            self._is_complete = True
        finally:
            await self._response.aclose()

    def answer(self) -> Answer | None:
        """Return what has arrived; None while there is no status."""
        if self._response is None:
            return None
        status, headers = self._response.status_code, self._response.headers
        limit = KEPT_OF_SUCCESS if 200 <= status <= 299 else KEPT_OF_FAILURE
        control = headers.get("webhook-delivery")
        return Answer(
            status=status,
            retry_after=headers.get("retry-after"),
            control=None if control is None else control.lower(),
            location=redirect_host(headers.get("location")) if 300 <= status <= 399 else None,
            text=body_text(bytes(self._body), limit, is_complete=self._is_complete),
        )


def _is_lost(error: Exception) -> bool:
    return not isinstance(error, httpx2.RemoteProtocolError) or "disconnected" in str(error)


def _code(error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return "connect_timeout"
    if isinstance(error, httpx2.ConnectError):
        codes = [code_of(each) for each in _causes(error) if isinstance(each, OSError)]
        return next((code for code in codes if code != "connection_failed"), "connection_failed")
    return "connection_reset" if _is_lost(error) else "protocol_error"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
