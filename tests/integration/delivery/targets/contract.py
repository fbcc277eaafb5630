"""What the tests of message targets share: deliveries, a deployment with one connection, and a client of targets."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Protocol

import orjson

from pipeline.connections.connections_file import read_connections
from pipeline.connections.destinations import Destinations
from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.delivery import Answer, Owed
from pipeline.delivery.targets.client import TargetClient
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.domain.callback_url import parse_callback_url
from tests.support.receivers.owed import SECRET

P = ParamSpec("P")

BATCH = "2whekg34q0szey76"


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test inside an event loop."""

    @functools.wraps(test)
    def run(*args: P.args, **given: P.kwargs) -> None:
        asyncio.run(test(*args, **given))

    return run


class Taken(NamedTuple):
    """A message as a consumer sees it; header names in lower case."""

    body: bytes
    headers: Mapping[str, str]


class TargetServer(Protocol):
    """A broker that a protocol is tested on, which may be a process or a part of this one.

    Args:
        scheme: of the URL of a connection to it.
        event_prefix: of the attributes of CloudEvents.
        has: which of the cases the broker can be brought into.
    """

    scheme: str
    event_prefix: str
    has: frozenset[str]
    port: int
    credentials: Mapping[str, str]

    def base(self, port: int) -> str:
        """Return the URL of the connection, by way of a port on loopback."""

    def rest(self, case: str) -> str:
        """Return what stands behind `conn://NAME/` for a case: `plain`, `missing`, `refusing`, `forbidden`."""

    async def prepare(self) -> None:
        """Make what messages are sent to, empty."""

    async def taken(self) -> list[Taken]:
        """Return all messages that were taken by `plain`, in order."""


def event(seq: int = 1, *, key: str | None = "T-1", padding: int = 0) -> bytes:
    data = {"batch_id": BATCH, "item_id": f"{BATCH}-{seq}", "key": key, "seq": seq, "label": "billing"}
    return orjson.dumps(
        {
            "type": "item.completed",
            "timestamp": "2026-11-21T10:15:02.250000Z",
            "data": {**data, "state": "succeeded", "padding": "x" * padding},
        }
    )


def owed(url: str, seq: int = 1, *, body: bytes | None = None, attempt: int = 1, replays: int = 0) -> Owed:
    return Owed(
        id=seq,
        url=url,
        origin=parse_callback_url(url).origin,
        attempt=attempt,
        webhook_id=f"msg_{BATCH}{seq:012d}",
        body=event(seq) if body is None else body,
        created_at=datetime.now(UTC),
        replays=replays,
    )


def destinations(folder: Path, server: TargetServer, port: int | None = None, **changes: str | None) -> Destinations:
    """Return a deployment whose connection `bus` leads to a server, by way of a port."""
    way: Mapping[str, str] = getattr(server, "by_way_of", lambda _: {})(port) if port else {}
    options = {**server.credentials, **way, **changes}
    lines = [f'{name} = "{value}"' for name, value in options.items() if value is not None]
    path = folder / "connections.toml"
    path.write_text("\n".join(["[bus]", f'url = "{server.base(port or server.port)}"', *lines]), encoding="utf-8")
    return Destinations(connections=read_connections(path))


class Targets:
    """A client of targets, to be used inside a loop."""

    def __init__(self, where: Destinations, deadline: float = 10.0, *, is_signed: bool = True) -> None:
        options = ClientOptions(deadline_seconds=deadline)
        self._client = TargetClient(Signer([SECRET]) if is_signed else None, where, options)

    async def __aenter__(self) -> Callable[[Owed], asyncio.Task[Answer]]:
        return lambda each: asyncio.ensure_future(self._client.post(each, datetime.now(UTC)))

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
