"""Consumers of real servers: what comes is accepted once, and nothing stands still."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest

from pipeline.connections.connection import NamedConnections
from pipeline.context import Context
from pipeline.database import leases
from pipeline.errors import Unreachable
from pipeline.intakes import consume as consuming
from pipeline.intakes import intakes
from pipeline.intakes.accept import accept
from pipeline.intakes.consume import Consumed
from pipeline.intakes.rules.stream_ids import FIRST
from pipeline.intakes.sources import postgresql_outbox
from pipeline.intakes.sources.open_source import locate
from pipeline.intakes.sources.postgresql_outbox import PostgresqlOutbox
from pipeline.intakes.sources.source import IntakeReader
from tests.support.api_process import HANG_SECONDS
from tests.support.intaking import Consume, Halted, Stop, body, stored_batches, stored_texts
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.postgres import Postgres
from tests.support.servers.redis import Redis
from tests.support.servers.server import free_port

pytestmark = [pytest.mark.servers, on_sqlite]


@pytest.fixture
def stream(redis: Redis) -> str:
    redis.clear()
    return f"redis://127.0.0.1:{redis.port}/0/tickets"


def add(redis: Redis, *bodies: bytes) -> None:
    with redis.client() as client:
        for each in bodies:
            client.xadd("tickets", {"body": each})


def texts(start: int, end: int) -> list[str]:
    return [f"message {each}" for each in range(start, end)]


def test_a_stream_is_read_once_and_goes_on(redis: Redis, stream: str, context: Context, consume: Consume) -> None:
    add(redis, *map(body, range(1, 8)), b"poison")
    with redis.client() as client:
        client.xadd("tickets", {"text": "message 8"})
    assert consume(stream, chunk=3) == Consumed(accepted=8, rejected=1)
    assert consume(stream) == Consumed()
    add(redis, body(9))
    assert consume(stream).accepted == 1
    assert stored_texts(context) == texts(1, 10)
    # A reader that was rewound reads everything anew.
    intakes.rewind(context, "tickets", FIRST)
    assert consume(stream) == Consumed(accepted=9, rejected=1)


def test_a_stream_that_is_read_from_its_end(redis: Redis, stream: str, context: Context, consume: Consume) -> None:
    add(redis, body(1))
    assert consume(stream, at_end=True).accepted == 0
    add(redis, body(2))
    assert consume(stream, at_end=True).accepted == 1
    assert stored_texts(context) == texts(2, 3)


def test_one_process_reads_a_stream(redis: Redis, stream: str, context: Context, consume: Consume) -> None:
    add(redis, body(1))
    with context.database.write() as connection:
        leases.acquire(connection, "intake:tickets", "other", now=context.now(), until=context.now() + context.lease)
    with pytest.raises(Halted):
        consume(stream, waits=3)
    assert stored_texts(context) == []
    with context.database.write() as connection:
        leases.release(connection, "intake:tickets", "other")
    assert consume(stream).accepted == 1


def test_nothing_is_taken_while_too_many_wait(redis: Redis, stream: str, context: Context, consume: Consume) -> None:
    add(redis, *map(body, range(1, 21)))
    with pytest.raises(Halted):
        consume(stream, waits=3, chunk=5, max_pending=10)
    assert stored_texts(context) == texts(1, 11)


def test_a_consumer_that_is_slow_takes_what_waits(
    redis: Redis, stream: str, consume: Consume, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(redis, *map(body, range(1, 6)))
    # Each look at the clock is long after the one before.
    monkeypatch.setattr("pipeline.intakes.consume.time", SimpleNamespace(monotonic=itertools.count(0, 60).__next__))
    assert consume(stream, chunk=1).accepted == 5


def test_a_topic_of_poison_stops_the_intake(redis: Redis, stream: str, context: Context, consume: Consume) -> None:
    add(redis, *[b"{}"] * 1_001)
    done = consume(stream, chunk=500)
    assert done.stopped_by is not None
    assert done.stopped_by.startswith("1,000 of the last 1,000 messages cannot be items: it has no field 'text'")
    assert intakes.find(context, "tickets")["state"] == "failed"


def test_a_stream_that_was_made_anew_is_not_read_in_silence(redis: Redis, stream: str, consume: Consume) -> None:
    add(redis, body(1))
    consume(stream)
    with redis.client() as client:
        client.delete("tickets")
        client.xadd("tickets", {"body": body(2)}, id="1-1")
    assert "begins again at 1-1" in str(consume(stream).stopped_by)


def test_entries_that_were_trimmed_unread_are_counted(
    redis: Redis, stream: str, context: Context, consume: Consume
) -> None:
    add(redis, body(1))
    consume(stream)
    add(redis, *map(body, range(2, 6)))
    with redis.client() as client:
        client.xtrim("tickets", maxlen=2, approximate=False)
    assert consume(stream).accepted == 2
    assert stored_texts(context) == ["message 1", "message 4", "message 5"]
    assert intakes.find(context, "tickets")["gaps"] == 1
    # Nobody misses what was trimmed after it was read.
    add(redis, body(6))
    with redis.client() as client:
        client.xtrim("tickets", maxlen=2, approximate=False)
    assert consume(stream).accepted == 1
    assert intakes.find(context, "tickets")["gaps"] == 1


@pytest.fixture
def outbox(postgres: Postgres) -> Iterator[tuple[str, psycopg.Connection]]:
    postgres.run("DROP DATABASE IF EXISTS shop WITH (FORCE)")
    postgres.run("CREATE DATABASE shop")
    with psycopg.connect(postgres.url_of("shop"), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE outbox "
            "(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload jsonb, taken_at timestamptz)"
        )
        yield postgres.url_of("shop"), connection


@pytest.fixture
def rows(outbox: tuple[str, psycopg.Connection], postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the table, for the user that the tests' server knows."""
    monkeypatch.setenv("PGUSER", "pipeline")
    return f"postgresql://127.0.0.1:{postgres.port}/shop/public.outbox"


def insert(connection: psycopg.Connection, *numbers: int) -> None:
    for each in numbers:
        connection.execute("INSERT INTO outbox (payload) VALUES (%s::jsonb)", [body(each).decode()])


def test_rows_that_come_again_after_a_kill_are_dropped(
    outbox: tuple[str, psycopg.Connection],
    rows: str,
    context: Context,
    consume: Consume,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert(outbox[1], 1, 2, 3)

    def die(source: PostgresqlOutbox) -> None:
        raise Halted

    with monkeypatch.context() as patched:
        # Between our commit and theirs.
        patched.setattr(PostgresqlOutbox, "confirm", die)
        with pytest.raises(Halted):
            consume(rows)
    assert consume(rows) == Consumed(duplicates=3)
    assert outbox[1].execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    assert stored_texts(context) == texts(1, 4)


def test_a_row_that_commits_late_is_accepted(
    outbox: tuple[str, psycopg.Connection], rows: str, context: Context, consume: Consume
) -> None:
    with psycopg.connect(outbox[0]) as late:
        insert(late, 1)
        insert(outbox[1], 2)
        assert consume(rows).accepted == 1
    assert consume(rows).accepted == 1
    assert stored_texts(context) == ["message 2", "message 1"]


def test_a_notification_ends_the_wait_for_rows(
    outbox: tuple[str, psycopg.Connection], rows: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_outbox, "POLL_SECONDS", HANG_SECONDS)
    source = locate(rows, NamedConnections())[1](IntakeReader("outbox", 500))
    writer = threading.Timer(0.05, outbox[1].execute, ["NOTIFY pipeline_outbox"])
    try:
        writer.start()
        started = time.monotonic()
        assert source.take(10, HANG_SECONDS).messages == ()
        assert time.monotonic() - started < HANG_SECONDS
    finally:
        writer.join()
        source.close()


def test_rows_are_marked_where_they_must_stay(
    outbox: tuple[str, psycopg.Connection], rows: str, context: Context, consume: Consume
) -> None:
    insert(outbox[1], 1, 2)
    assert consume(f"{rows}?mark=taken_at").accepted == 2
    insert(outbox[1], 3)
    assert consume(f"{rows}?mark=taken_at").accepted == 1
    assert outbox[1].execute("SELECT count(*) FROM outbox WHERE taken_at IS NULL").fetchone() == (0,)
    assert [batch["total"] for batch in stored_batches(context)] == [3]


def test_a_server_that_is_gone_is_asked_again_after_growing_pauses(context: Context, consume: Consume) -> None:
    waited: list[float] = []

    class Patient(Stop):
        def wait(self, seconds: float) -> None:
            waited.append(seconds)
            super().wait(seconds)

    url = f"redis://127.0.0.1:{free_port()}/0/tickets"
    with pytest.raises(Halted):
        consume(url, stop=Patient(4))
    assert waited == [0.5, 1.0, 2.0, 4.0]


def test_while_our_database_is_gone_the_source_is_told_nothing(
    outbox: tuple[str, psycopg.Connection],
    rows: str,
    context: Context,
    consume: Consume,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert(outbox[1], 1, 2)
    left: list[object] = []

    def be_gone(*arguments: object) -> object:
        monkeypatch.setattr(consuming, "accept", accept)
        raise Unreachable("the database does not answer")

    monkeypatch.setattr(consuming, "accept", be_gone)
    stop = Stop()
    stop.wait = lambda seconds: left.append(outbox[1].execute("SELECT count(*) FROM outbox").fetchone())  # type: ignore[method-assign]
    assert consume(rows, stop=stop) == Consumed(accepted=2)
    assert left[0] == (2,)
    assert outbox[1].execute("SELECT count(*) FROM outbox").fetchone() == (0,)
