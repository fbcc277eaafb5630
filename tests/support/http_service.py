"""A loopback service with scripted responses, and helpers that run the HTTP enricher against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline.domain.item import WorkItem
from pipeline.stages.catalog.step import Step
from pipeline.stages.enrichers.http import Spec, build


def item(**payload: Any) -> WorkItem:
    return WorkItem(
        item_id="b-1", batch_id="b", key="K/1", payload=payload, text="", attempt=1, label="sales", confidence=0.5
    )


def response(body: object = None, status: int = 200, **headers: str) -> bytes:
    """Return the bytes of an HTTP response. Keywords are headers, with `_` for `-`."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    fields = {"content-length": str(len(content)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    head = "".join(f"{name}: {text}\r\n" for name, text in fields.items())
    return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode() + content


@dataclass
class Request:
    line: str
    head: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Service:
    """A server that responds with `handle`, and records requests and the number of connections."""

    handle: Handler
    port: int = 0
    connections: int = 0
    requests: list[Request] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests.append(Request(lines[0], head.decode("latin-1"), headers, body))
                await self.handle(self.requests[-1], writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def respond_with(content: bytes) -> Handler:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return handle


@asynccontextmanager
async def run_service(handle: Handler | bytes, port: int = 0) -> AsyncIterator[Service]:
    service = Service(respond_with(handle) if isinstance(handle, bytes) else handle)
    server = await asyncio.start_server(service.serve, "127.0.0.1", port)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()


def make_step(
    service: Service, path: str = "/companies/{domain}", environ: dict[str, str] | None = None, **options: Any
) -> Step:
    spec = Spec.model_validate({"use": "http", "url": f"http://127.0.0.1:{service.port}{path}", **options})
    return build(spec, Path(), environ or {})


def enrich(handle: Handler | bytes, *items: WorkItem, **options: Any) -> tuple[list[Any], Service]:
    """Enrich `items` one after the other and return their answers or exceptions, and the service."""

    async def run() -> tuple[list[Any], Service]:
        async with run_service(handle) as service:
            step = make_step(service, **options)
            answers = []
            for each in items or (item(domain="acme.com"),):
                answers += await asyncio.gather(step.call(each), return_exceptions=True)
            await step.call.aclose()
            return answers, service

    return asyncio.run(run())
