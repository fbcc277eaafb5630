"""The three steps by hand for queues that run coroutines: asyncpg, a commit for each step, and aiohttp.

Each statement is a transaction of its own, which spares the round trips of BEGIN and COMMIT.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Self

import aiohttp
import asyncpg

from benchmarks.contestants.program import Place
from benchmarks.job import body_of, enrichment_of, headers_of, label_of

TIMEOUT = aiohttp.ClientTimeout(total=10)
#: An item's number, and what its callback says of it.
Result = tuple[int, str, dict[str, int]]

_READ = "SELECT text, label FROM items WHERE id = $1"
_CLASSIFIED = "UPDATE items SET label = $2, status = 'classified' WHERE id = $1"
_ENRICHED = "UPDATE items SET enrichment = $2, status = 'done' WHERE id = $1"


class Steps:
    """The steps of any item; open while the process works.

    Args:
        connections: to the database, and to the receiver, in this process.
    """

    def __init__(self, place: Place, connections: int) -> None:
        self._place = place
        self._connections = connections

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(
            self._place.database_url, min_size=self._connections, max_size=self._connections
        )
        connector = aiohttp.TCPConnector(limit=self._connections)
        self._session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._pool.close()

    async def classify(self, number: int) -> None:
        """Label an item."""
        async with self._pool.acquire() as connection:
            item = await connection.fetchrow(_READ, number)
            await connection.execute(_CLASSIFIED, number, label_of(item["text"]))

    async def enrich(self, number: int) -> Result:
        """Enrich an item, and hand on what its callback says: it need not be read again."""
        async with self._pool.acquire() as connection:
            item = await connection.fetchrow(_READ, number)
            enrichment = enrichment_of(item["text"])
            await connection.execute(_ENRICHED, number, json.dumps(enrichment))
        return number, item["label"], enrichment

    async def call_back(self, number: int, label: str, enrichment: dict[str, int]) -> None:
        """Post a result."""
        body = body_of(number, label, enrichment)
        async with self._session.post(self._place.callback_url, data=body, headers=headers_of(number, body)) as answer:
            answer.raise_for_status()
