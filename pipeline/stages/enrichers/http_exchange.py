"""One request and its answer; imported only where the extra `http` is installed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import orjson

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent, Transient
from pipeline.stages.enrichers import http_response
from pipeline.stages.enrichers.http_connections import Connections
from pipeline.stages.enrichers.url_template import Template, value_of
from pipeline.stages.text.json_path import ABSENT, parse

if TYPE_CHECKING:
    from pipeline.stages.enrichers.http import Spec


class Exchange:
    """Asks the service for one item at a time, over connections that are kept."""

    def __init__(self, spec: Spec, headers: dict[str, str]) -> None:
        self._spec = spec
        self._url = Template.parse(spec.url)
        self._fields = {name: parse(path) for name, path in spec.fields.items()} if spec.fields else None
        self._headers = httpx2.Headers({"Accept": "application/json", "User-Agent": "pipeline"})
        if spec.method == "POST":
            self._headers["Content-Type"] = "application/json"
        self._headers.update(headers)
        # What comes compressed could be a thousand times larger than what was counted.
        self._headers["Accept-Encoding"] = "identity"
        self._timeout = httpx2.Timeout(spec.timeout_seconds).as_dict()
        self._connections = Connections()

    async def __call__(self, item: WorkItem) -> dict[str, Any]:
        """Return the answer for `item`.

        Raises:
            Permanent, Transient, Throttled: with the host alone in the message.
        """
        request = self._request(item)
        try:
            async with asyncio.timeout(self._spec.timeout_seconds), self._connections.sent(request) as found:
                return await self._read(found)
        except (TimeoutError, httpx2.TimeoutException):
            raise Transient(f"{self._url.host} gave no answer in {self._spec.timeout_seconds:g} s") from None
        except httpx2.ConnectError as error:
            raise Transient(f"{self._url.host} cannot be reached: {error}") from None
        except httpx2.TransportError as error:
            raise Transient(f"{self._url.host}: the connection failed ({type(error).__name__})") from None

    async def aclose(self) -> None:
        """End the connections of the running loop."""
        await self._connections.aclose()

    def _request(self, item: WorkItem) -> httpx2.Request:
        content = self._body(item) if self._spec.method == "POST" else None
        try:
            return httpx2.Request(
                self._spec.method,
                self._url.fill(item),
                headers=self._headers,
                content=content,
                extensions={"timeout": self._timeout},
            )
        except httpx2.InvalidURL:
            raise Permanent(f"{self._url.host}: the item's fields make no valid url; one may be too long") from None

    def _body(self, item: WorkItem) -> bytes:
        if self._spec.body is None:
            return orjson.dumps(item.payload)
        values = {name: value_of(item, field) for name, field in self._spec.body.items()}
        return orjson.dumps({name: None if value is ABSENT else value for name, value in values.items()})

    async def _read(self, found: httpx2.Response) -> dict[str, Any]:
        # The body is read whatever the status says: only then can the connection be used again.
        body = await self._whole(found)
        if found.status_code in http_response.NOT_FOUND:
            if self._spec.not_found == "dead":
                raise Permanent(f"{self._url.host} answered {found.status_code}: nothing under that name")
            return dict.fromkeys(self._fields or ())
        wait = http_response.retry_after(found.headers.get("retry-after"), datetime.now(UTC))
        failure = http_response.failure(found.status_code, wait, self._url.host)
        if failure is not None:
            raise failure
        if body is None:
            raise Permanent(f"{self._url.host} answered more than {self._spec.max_bytes} bytes; raise `max_bytes`")
        if found.headers.get("content-encoding", "identity") != "identity":
            raise Permanent(f"{self._url.host} answered compressed, although asked not to")
        return http_response.answer(body, self._fields, self._url.host)

    async def _whole(self, found: httpx2.Response) -> bytes | None:
        """Return the body, or None where it is longer than `max_bytes`; the rest is not read."""
        body = bytearray()
        async for chunk in found.aiter_raw():
            body += chunk
            if len(body) > self._spec.max_bytes:
                return None
        return bytes(body)
