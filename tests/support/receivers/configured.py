"""Endpoints with settings of their own, and item events that are owed to them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import func, insert, select

from pipeline.batches.sql import events
from pipeline.database import tables
from pipeline.database.dialect import dialect_of
from pipeline.database.engine import Database
from pipeline.delivery.claim import Claim, claim_due
from pipeline.delivery.owe import owe_callbacks
from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.sender.sender import Sender
from pipeline.delivery.sql import owe
from pipeline.domain.event import EventType
from pipeline.hooks import Happening
from tests.support.receivers.owed import LEASE
from tests.support.receivers.scripted import Request

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def configure(database: Database, origin: str, **settings: Any) -> None:
    """Give an endpoint settings of its own."""
    with database.write() as connection:
        statement = dialect_of(connection).upsert(tables.endpoints).values(origin=origin, updated_at=NOW, **settings)
        connection.execute(statement.on_conflict_do_update(index_elements=["origin"], set_=settings))


def owe_items(
    database: Database, url: str, count: int, *, batch_id: int = 1, at: datetime | None = None, size: int = 0
) -> None:
    """Write so many more events of items, and what is owed for them, as a finished micro-batch does."""
    _owe(database, url, count, batch_id, at or datetime.now(UTC), "item.completed", size)


def owe_batch_event(database: Database, url: str, *, batch_id: int = 1, at: datetime | None = None) -> None:
    """Write an event of the batch itself."""
    _owe(database, url, 1, batch_id, at or datetime.now(UTC), "batch.completed", 0)


def _owe(database: Database, url: str, count: int, batch_id: int, at: datetime, kind: str, size: int) -> None:
    origin = "/".join(url.split("/")[:3])
    with database.write() as connection:
        _ensure_batch(connection, batch_id, at)
        known = connection.scalar(select(func.max(tables.events.c.seq)).where(tables.events.c.batch_id == batch_id))
        seqs = range((known or 0) + 1, (known or 0) + 1 + count)
        events.add(connection, batch_id, [{"seq": seq, **_event(kind, seq, batch_id, size)} for seq in seqs], at)
        owe.add_deliveries(connection, batch_id, [{"seq": seq, "url": url, "origin": origin} for seq in seqs], at)


def finish_items(
    database: Database, sender: Sender, urls: Sequence[str], *, batch_id: int = 1, size: int = 0, fail: bool = False
) -> list[bytes]:
    """Write an event for each URL and what is owed for it, as the record thread beside a sender does.

    Args:
        fail: roll back at the end.

    Returns:
        The bodies.
    """
    now = datetime.now(UTC)
    with contextlib.suppress(Refused), database.write() as connection:
        _ensure_batch(connection, batch_id, now)
        known = (
            connection.scalar(select(func.max(tables.events.c.seq)).where(tables.events.c.batch_id == batch_id)) or 0
        )
        rows = [{"seq": seq, **_event("item.completed", seq, batch_id, size)} for seq, _ in enumerate(urls, known + 1)]
        events.add(connection, batch_id, rows, now)
        happenings = [
            Happening(
                batch_id, row["seq"], EventType.ITEM_COMPLETED, row["seq"], row["body"], (url,), f"{batch_id:016d}"
            )
            for row, url in zip(rows, urls, strict=True)
        ]
        owe_callbacks(connection, happenings, now, slots=sender.slots)
        if fail:
            raise Refused
    return [row["body"] for row in rows]


class Refused(Exception):
    """Rolls a transaction back."""


def _event(kind: str, seq: int, batch_id: int, size: int) -> dict[str, Any]:
    # Numbers that would not survive being parsed and written again.
    data = f'{{"batch":{batch_id},"seq":{seq},"big":12345678901234567890123,"one":1.0,"text":"café{"x" * size}"}}'
    body = f'{{"type":"{kind}","timestamp":"2026-11-21T12:00:00.000000Z","data":{data}}}'.encode()
    return {"type": kind, "item_id": seq if kind.startswith("item.") else None, "body": body}


def _ensure_batch(connection: Any, batch_id: int, at: datetime) -> None:
    if connection.scalar(select(func.count()).select_from(tables.definitions)) == 0:
        row = {"id": 1, "name": "d", "version": "v", "content": "{}", "stages": "classify", "created_at": at}
        connection.execute(insert(tables.definitions).values(**row))
    if connection.scalar(select(tables.batches.c.id).where(tables.batches.c.id == batch_id)) is None:
        row = {"id": batch_id, "public_id": f"{batch_id:016d}", "definition_id": 1, "state": "running", "total": 1}
        connection.execute(insert(tables.batches).values(**row, fair_key="", created_at=at))


def claim(database: Database, worker: str = "a", *, now: datetime = NOW, free: int = 100) -> Claim:
    """Claim as a sender of this name does."""
    return claim_due(database, Capacity(free, free), worker=worker, now=now, lease_until=lambda: now + LEASE, most=free)


def positions(request: Request) -> list[tuple[int, int]]:
    """Return (batch, seq) of each event in a request, in its order."""
    return positions_in(request.body)


def positions_in(body: bytes) -> list[tuple[int, int]]:
    """Return the same for a body."""
    data = orjson.loads(body)["data"]
    return [(each["batch"], each["seq"]) for each in (data if isinstance(data, list) else [data])]
