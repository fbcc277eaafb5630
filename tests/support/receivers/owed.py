"""Deliveries that are owed, written as a finished item writes them, and what has become of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

from sqlalchemy import Connection, insert, select

from pipeline.bootstrap import make_hooks
from pipeline.connections.destinations import Destinations
from pipeline.context import Context
from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.delivery.sender.response_times import QUICK_SECONDS, WINDOW
from pipeline.delivery.sender.sender import Sender
from pipeline.delivery.sql.attempts import FIRST_SUCCESSES
from pipeline.delivery.webhook.options import ClientOptions, SenderOptions
from pipeline.domain.retry_schedule import Schedule
from pipeline.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = (ip_network("127.0.0.0/8"),)
BATCH = "0123456789abcdef"
AT_ONCE = timedelta(milliseconds=1)
LEASE = timedelta(seconds=45)
BODY = (
    '{"type":"item.completed","data":{"text":"café ☕ 日本","number":1.0,"big":9007199254740993,"z":1,"a":2}}'.encode()
)


def owe(database: Database, urls: Iterable[tuple[str, str]], *, body: bytes = BODY, at: datetime | None = None) -> None:
    """Write a batch with one event and one delivery for each (URL, origin)."""
    now = at or datetime.now(UTC)
    with database.write() as connection:
        connection.execute(
            insert(tables.definitions).values(
                id=1, name="d", version="v", content="{}", stages="classify", created_at=now
            )
        )
        connection.execute(
            insert(tables.batches).values(
                id=1, public_id=BATCH, definition_id=1, state="running", total=1, fair_key="", created_at=now
            )
        )
        _owe(connection, [(each, body) for each in urls], 1, now)


def owe_next(database: Database, bodies: Iterable[tuple[tuple[str, str], bytes]], first: int) -> None:
    """Write further events of the batch, numbered from `first`, each with a body of its own."""
    with database.write() as connection:
        _owe(connection, list(bodies), first, datetime.now(UTC))


def _owe(connection: Connection, bodies: list[tuple[tuple[str, str], bytes]], first: int, now: datetime) -> None:
    same = {"batch_id": 1, "created_at": now}
    events = [
        same | {"seq": seq, "type": "item.completed", "item_id": None, "body": body}
        for seq, (_, body) in enumerate(bodies, first)
    ]
    rows = [
        same | {"seq": seq, "url": url, "origin": origin, "state": "pending", "due_at": now}
        for seq, ((url, origin), _) in enumerate(bodies, first)
    ]
    if rows:
        connection.execute(insert(tables.events), events)
        connection.execute(insert(tables.deliveries), rows)


def to(*ports: int, path: str = "/hook?a=b") -> list[tuple[str, str]]:
    """Return (URL, origin) for receivers on this machine."""
    return [(f"http://127.0.0.1:{port}{path}", f"http://127.0.0.1:{port}") for port in ports]


def options(deadline: float = 10, delays: Iterable[timedelta] = (AT_ONCE,) * 3, **others: Any) -> SenderOptions:
    """Return options whose schedule takes no time."""
    schedule = Schedule(delays=tuple(delays), min_jitter=timedelta(0))
    return SenderOptions(client=ClientOptions(deadline_seconds=deadline), schedule=schedule, **others)


def make_sender(database: Database, **given: Any) -> Sender:
    given = {"worker": "sender-1", "options": options()} | given
    destinations = Destinations(allow_private=given.pop("allow", LOOPBACK))
    return Sender(database, [SECRET], **{"destinations": destinations} | given)


def make_quick(sender: Sender, origin: str) -> None:
    """Wait until a sender takes preclaimed requests, and have it know an endpoint as one that answers quickly."""
    wait_until(lambda: sender.slots.offered([origin]) != [])
    assert sender._loop is not None
    for _ in range(WINDOW):
        sender._loop.queue.times.succeed(origin, QUICK_SECONDS / 2)


def context_of(database: Database, **given: Any) -> Context:
    """Return what services work with."""
    return Context(settings=Settings(), database=database, hooks=make_hooks(database), **given)


class Sending:
    """A sender that is started, and stopped at the end of a test."""

    def __init__(self, database: Database, **given: Any) -> None:
        self.sender = make_sender(database, **given)

    def __enter__(self) -> Sender:
        self.sender.start()
        return self.sender

    def __exit__(self, *_: object) -> None:
        self.sender.stop(0)


def deliveries(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        query = select(tables.deliveries).order_by(tables.deliveries.c.id)
        return [dict(row) for row in connection.execute(query).mappings()]


def attempts(database: Database) -> list[dict[str, Any]]:
    """Return all attempts at deliveries, those that stand on their deliveries included, in the order of their ends."""
    with database.read() as connection:
        found = [dict(row) for row in connection.execute(select(tables.attempts)).mappings()]
        empty = dict.fromkeys(tables.attempts.c.keys())
        found += [empty | dict(row) for row in connection.execute(FIRST_SUCCESSES).mappings()]
    return sorted(found, key=lambda row: row["ended_at"])


def attempt_rows(database: Database) -> list[dict[str, Any]]:
    """Return the rows of `attempts`."""
    with database.read() as connection:
        query = select(tables.attempts).order_by(tables.attempts.c.id)
        return [dict(row) for row in connection.execute(query).mappings()]


def endpoints(database: Database) -> dict[str, dict[str, Any]]:
    with database.read() as connection:
        return {row["origin"]: dict(row) for row in connection.execute(select(tables.endpoints)).mappings()}


def states(database: Database) -> list[str]:
    return [row["state"] for row in deliveries(database)]


def wait_until(condition: Callable[[], bool], timeout: float = 30) -> None:
    """Wait until rows say so.

    Raises:
        AssertionError: they do not, after `timeout` seconds.
    """
    until, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        assert time.monotonic() < until, "the rows never came to say so"
        pause.wait(0.005)
