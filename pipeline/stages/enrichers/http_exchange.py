"""Sends an item's HTTP request and reads the response; needs the extra `http`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import orjson

from pipeline.domain.item import WorkItem
from pipeline.domain.retry_schedule import parse_retry_after
from pipeline.errors import Permanent, StageError, Transient
from pipeline.stages.enrichers import http_response
from pipeline.stages.enrichers.http_connections import HttpConnections
from pipeline.stages.enrichers.redaction import Redaction
from pipeline.stages.enrichers.url_template import UrlTemplate, get_item_value
from pipeline.stages.text.json_path import ABSENT, parse_path
from pipeline.telemetry import current_span

if TYPE_CHECKING:
    from pipeline.stages.enrichers.http import Spec


class HttpEnricher:
    """Sends one request per item, over persistent connections."""

    def __init__(self, spec: Spec, headers: dict[str, str], redaction: Redaction) -> None:
        self._spec = spec
        self._redaction = redaction
        self._url = UrlTemplate.parse(spec.url)
        self._fields = {name: parse_path(path) for name, path in spec.fields.items()} if spec.fields else None
        self._headers = httpx2.Headers({"Accept": "application/json", "User-Agent": "pipeline"})
        if spec.method == "POST":
            self._headers["Content-Type"] = "application/json"
        self._headers.update(headers)
        # A compressed response could expand to a thousand times the bytes that were counted.
        self._headers["Accept-Encoding"] = "identity"
        self._timeout = httpx2.Timeout(spec.timeout_seconds).as_dict()
        self._connections = HttpConnections()

    async def __call__(self, item: WorkItem) -> dict[str, Any]:
        """Return the service's answer for `item`.

        Raises:
            Permanent, Transient, Throttled: the message shows only the host of the URL.
        """
        request = self._build_request(item)
        try:
            async with asyncio.timeout(self._spec.timeout_seconds), self._connections.send(request) as response:
                return await self._read(response)
        except (TimeoutError, httpx2.TimeoutException):
            raise Transient(f"{self._url.host} did not answer within {self._spec.timeout_seconds:g} s") from None
        except httpx2.ConnectError as error:
            # With its cause: while nobody can be reached, items wait, see `stages.run.outage`.
            raise Transient(f"{self._url.host} cannot be reached: {error}") from error
        except httpx2.TransportError as error:
            raise Transient(f"{self._url.host}: the connection failed ({type(error).__name__})") from None

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._connections.aclose()

    def _headers_for(self, item: WorkItem) -> httpx2.Headers:
        span = current_span.find(item.item_id) if self._spec.propagate_trace else None
        if span is None:
            return self._headers
        headers = self._headers.copy()
        headers["traceparent"] = str(span)
        return headers

    def _build_request(self, item: WorkItem) -> httpx2.Request:
        content = self._encode_body(item) if self._spec.method == "POST" else None
        try:
            return httpx2.Request(
                self._spec.method,
                self._url.fill(item),
                headers=self._headers_for(item),
                content=content,
                extensions={"timeout": self._timeout},
            )
        except httpx2.InvalidURL:
            raise Permanent(f"{self._url.host}: the item's fields make an invalid URL; one may be too long") from None

    def _encode_body(self, item: WorkItem) -> bytes:
        if self._spec.body is None:
            return orjson.dumps(item.payload)
        values = {name: get_item_value(item, field) for name, field in self._spec.body.items()}
        return orjson.dumps({name: None if value is ABSENT else value for name, value in values.items()})

    async def _read(self, response: httpx2.Response) -> dict[str, Any]:
        # The body is read regardless of the status, because only then can the connection be reused.
        body, is_complete = await self._read_body(response)
        try:
            return self._answer(response, body if is_complete else None)
        except StageError as error:
            if response.headers.get("content-encoding", "identity") == "identity":
                error.answer = self._redaction.excerpt(body, is_complete=is_complete)
            raise

    def _answer(self, response: httpx2.Response, body: bytes | None) -> dict[str, Any]:
        """Return the answer in a response; `body` is None if it is too long."""
        if response.status_code in http_response.NOT_FOUND:
            if self._spec.not_found == "dead":
                raise Permanent(f"{self._url.host} answered {response.status_code}: it has nothing for this item")
            return dict.fromkeys(self._fields or ())
        # Of several headers the first counts, as for callbacks.
        asked = next(iter(response.headers.get_list("retry-after")), None)
        retry_after = parse_retry_after(asked, datetime.now(UTC))
        error = http_response.error_for_status(response.status_code, retry_after, self._url.host)
        if error is not None:
            raise error
        if body is None:
            raise Permanent(f"{self._url.host} answered more than {self._spec.max_bytes} bytes; raise `max_bytes`")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Permanent(f"{self._url.host} sent a compressed response, although asked not to")
        return http_response.decode_answer(body, response.charset_encoding, self._fields, self._url.host)

    async def _read_body(self, response: httpx2.Response) -> tuple[bytes, bool]:
        """Return the body, and whether it is complete: of one longer than `max_bytes`, the rest is not read."""
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._spec.max_bytes:
                return bytes(body[: self._spec.max_bytes]), False
        return bytes(body), True
