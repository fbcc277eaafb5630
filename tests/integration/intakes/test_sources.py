"""The contract of sources, on a real server of each kind: what comes is accepted once, even after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pipeline.connections.connections_file import read_connections
from pipeline.context import Context
from pipeline.errors import InvalidSettings
from pipeline.intakes import intakes
from pipeline.intakes.consume import Consumed
from pipeline.intakes.sources.open_source import locate
from pipeline.intakes.sources.source import IntakeReader
from pipeline.intakes.sql import open_batches
from tests.integration.intakes.servers import (
    SHORTENED,
    KafkaSource,
    NatsSource,
    OutboxSource,
    RabbitSource,
    RedisSource,
    SourceServer,
    SqsSource,
)
from tests.support.intaking import Consume, Halted, body, stored_texts
from tests.support.receivers.owed import wait_until
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.servers, on_sqlite]

KINDS: dict[str, Any] = {
    "kafka_cluster": KafkaSource,
    "redis": RedisSource,
    "nats": NatsSource,
    "rabbitmq": RabbitSource,
    "sqs": SqsSource,
    "postgres": OutboxSource,
}


@pytest.fixture(scope="module")
def kafka_cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as running:
        yield running


@pytest.fixture(params=list(KINDS))
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SourceServer:
    """A server with an empty place: the test runs once on each kind."""
    for module, name, value in SHORTENED:
        monkeypatch.setattr(module, name, value)
    found: SourceServer = KINDS[request.param](request.getfixturevalue(request.param))
    found.prepare()
    return found


@pytest.fixture
def take(consume: Consume, server: SourceServer, tmp_path: Path) -> Consume:
    """Runs a consumer of the place, which is reached by a connection."""
    path = tmp_path / "connections.toml"
    path.write_text(f"[bus]\n{server.connection}\n", encoding="utf-8")
    return partial(consume, f"conn://bus/{server.rest}", connections=read_connections(path))


def only(server: SourceServer, case: str) -> None:
    if case not in server.has:
        pytest.skip(f"{server.source} cannot be brought into this case: {case}")


def texts(*numbers: int) -> list[str]:
    return [f"message {each}" for each in sorted(numbers)]


def stored(context: Context) -> list[str]:
    return sorted(stored_texts(context), key=lambda text: int(text.split()[1]))


def take_until(server: SourceServer, take: Consume, context: Context, items: int) -> Consumed:
    """Run consumers until so many items are stored and none is left: a source may wait before it sends again."""
    done = Consumed()
    for _ in range(100):
        found = take()
        done.accepted += found.accepted
        done.duplicates += found.duplicates
        if len(stored(context)) == items and server.left() in (0, None):
            break
    return done


def test_messages_are_accepted_once_and_the_source_is_told(
    server: SourceServer, context: Context, take: Consume
) -> None:
    server.add(*map(body, range(1, 8)), b"poison")
    assert take(chunk=3) == Consumed(accepted=7, rejected=1)
    server.add(body(8))
    assert take() == Consumed(accepted=1)
    assert stored(context) == texts(*range(1, 9))
    wait_until(lambda: server.left() in (0, None))
    found = intakes.details(context, server.name, 10)
    (rejected,) = found["rejects"]
    assert (rejected["body"], found["backlog"]) == ("poison", 0)
    assert ("offsets" in server.has) == bool(found["positions"])


def test_what_was_accepted_when_the_process_died_is_not_accepted_again(
    server: SourceServer, context: Context, take: Consume, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(*map(body, range(1, 6)))
    module = import_module(f"pipeline.intakes.sources.{server.module}")
    with monkeypatch.context() as patched:
        # Between our commit and the answer to the source.
        patched.setattr(getattr(module, server.source), "confirm", _die)
        with pytest.raises(Halted):
            take()
    # Of a topic, perhaps the messages of one partition.
    known = len(stored(context))
    assert known > 0
    server.add(body(6))
    duplicates = 0 if "offsets" in server.has else known
    assert take_until(server, take, context, 6) == Consumed(accepted=6 - known, duplicates=duplicates)
    assert stored(context) == texts(*range(1, 7))
    wait_until(lambda: server.left() in (0, None))


def test_what_was_not_accepted_when_the_process_died_is_read_again(
    server: SourceServer, context: Context, take: Consume, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(*map(body, range(1, 6)))
    with monkeypatch.context() as patched:
        patched.setattr(open_batches, "grow", _die)
        with pytest.raises(Halted):
            take()
    assert stored(context) == []
    assert take_until(server, take, context, 5) == Consumed(accepted=5)
    assert stored(context) == texts(*range(1, 6))


def _die(*_: object) -> bool:
    raise Halted


def test_nothing_is_taken_while_too_many_wait(server: SourceServer, context: Context, take: Consume) -> None:
    server.add(*map(body, range(1, 13)))
    with pytest.raises(Halted):
        take(waits=3, chunk=3, max_pending=6)
    assert 6 <= len(stored(context)) < 12
    # What was put back is not lost.
    assert take(chunk=3).duplicates == 0
    assert stored(context) == texts(*range(1, 13))


def test_reading_goes_on_after_the_connection_was_cut(server: SourceServer, context: Context, take: Consume) -> None:
    only(server, "interrupt")
    server.add(*map(body, range(1, 4)))

    def cut(number: int) -> None:
        if number == 2:
            server.interrupt()
            server.add(*map(body, range(4, 7)))

    # A server that is down is asked again; here without a pause.
    take(on_check=cut, waits=1_000)
    take(waits=1_000)
    assert stored(context) == texts(*range(1, 7))


def test_a_place_that_is_missing_is_named(server: SourceServer, take: Consume) -> None:
    server.delete()
    if "missing" not in server.has and "restarts" in server.has and server.module == "redis_stream":
        pytest.skip("a stream of Redis is there once it has an entry")
    with pytest.raises(InvalidSettings, match=server.name):
        take()


def test_an_intake_whose_place_is_deleted_stops(server: SourceServer, context: Context, take: Consume) -> None:
    only(server, "deletion")

    def delete(number: int) -> None:
        if number == 1:
            server.delete()

    stopped = take(on_check=delete, waits=1_000).stopped_by
    assert stopped is not None
    assert server.name in stopped
    assert stopped.endswith(f"then run `pipeline intakes resume {server.name}`")
    assert intakes.find(context, server.name)["state"] == "failed"


def test_a_place_that_was_made_anew_is_not_read_in_silence(
    server: SourceServer, context: Context, take: Consume
) -> None:
    only(server, "restarts")
    server.add(*map(body, range(1, 6)))
    take()
    server.delete()
    server.prepare()
    if isinstance(server, RedisSource):
        with server.server.client() as client:
            client.xadd(server.name, {"body": body(9)}, id="1-1")
    else:
        server.add(body(9))
    stopped = str(take().stopped_by)
    assert f"run `pipeline intakes rewind {server.name}` to read it anew" in stopped
    intakes.rewind(context, server.name, "earliest")
    intakes.resume(context, server.name)
    assert take().accepted == 1


def test_messages_from_before_the_intake_are_left_out(server: SourceServer, context: Context, take: Consume) -> None:
    only(server, "end")
    server.add(*map(body, range(1, 4)))
    assert take(at_end=True).accepted == 0
    server.add(*map(body, range(4, 6)))
    assert take(at_end=True).accepted == 2
    assert stored(context) == texts(4, 5)


@pytest.mark.usefixtures("database_url")
def test_processes_that_share_a_source_get_different_messages(server: SourceServer, tmp_path: Path) -> None:
    if "offsets" in server.has:
        pytest.skip("partitions have one reader each")
    path = tmp_path / "connections.toml"
    path.write_text(f"[bus]\n{server.connection}\n", encoding="utf-8")
    _, open_source = locate(f"conn://bus/{server.rest}", read_connections(path))
    server.add(*map(body, range(1, 21)))
    first, second = (open_source(IntakeReader(server.name, 5)) for _ in range(2))
    taken = {"first": first.take(5, 5.0), "second": second.take(5, 5.0)}
    bodies = [{each.body for each in chunk.messages} for chunk in taken.values()]
    assert all(bodies)
    assert bodies[0].isdisjoint(bodies[1])
    first.confirm()
    second.put_back()
    first.close()
    second.close()
    assert server.left() == 20 - len(bodies[0])
