"""Batches by the Python API: waiting, replaying, listing, and the workers of the process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

import pipeline
from tests.support.factories import connect, make_definition, make_items

GATED = """
import pathlib
from pipeline import Permanent

def classify(item):
    if not pathlib.Path(item.payload["gate"]).exists():
        raise Permanent("the gate is shut")
    return "x"
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[pipeline.Client]:
    with connect(tmp_path) as client:
        yield client


def test_workers_that_run_are_not_restricted_afterwards(client: pipeline.Client, tmp_path: Path) -> None:
    batch = client.submit(make_items(1), make_definition(tmp_path))
    client.work()
    with pytest.raises(pipeline.Conflict, match="already works on all batches"):
        client.work(only=batch)
    assert batch.wait(30).succeeded == 1


def test_workers_on_one_batch_leave_others_alone_and_nobody_waits_for_those(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    with connect(tmp_path) as client:
        first = client.submit(make_items(200), definition)
    with connect(tmp_path) as client:
        mine = client.batch(first.id)
        client.work(only=mine)
        client.work(only=mine)
        other = client.submit(make_items(1), definition)
        assert mine.wait(30).succeeded == 200
        assert len(list(mine.results(follow=True))) == 200
        assert other.progress().final == 0
        for wait in (lambda: other.wait(30), lambda: list(other.results(follow=True))):
            with pytest.raises(pipeline.Conflict, match="works on another batch only"):
                wait()
        with pytest.raises(pipeline.Conflict, match="already works on one batch only"):
            client.work()
    with connect(tmp_path) as client:
        client.work(only=client.batch(other.id))
        assert client.batch(first.id).wait(0).succeeded == 200, "it is complete, so nobody waits"
        assert client.batch(other.id).wait(30).succeeded == 1


def test_a_transaction_is_committed_or_rolled_back_as_a_whole(client: pipeline.Client) -> None:
    with client.transaction() as connection:
        connection.execute(text("CREATE TABLE notes (word TEXT)"))
        connection.execute(text("INSERT INTO notes VALUES ('kept')"))

    def fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO notes VALUES ('lost')"))
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"), client.transaction() as connection:
        fail(connection)
    with client.transaction() as connection:
        assert connection.scalars(text("SELECT word FROM notes")).all() == ["kept"]


def test_a_client_that_is_closed_says_so(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        batch = client.submit(make_items(1), make_definition(tmp_path))
    for call in (batch.progress, client.work, lambda: client.batch("last"), lambda: next(batch.results())):
        with pytest.raises(pipeline.Conflict, match="this client is closed"):
            call()


def test_a_hook_sees_ids_keys_and_data_of_each_event(tmp_path: Path) -> None:
    seen: list[pipeline.Event] = []
    with connect(tmp_path, hooks=[lambda connection, events: seen.extend(events)]) as client:
        items = [pipeline.Item({"text": "t"}, key=str(number)) for number in range(3)]
        batch = client.submit(items, make_definition(tmp_path))
        batch.wait(30)
        results = {result.item_id: result for result in batch.results()}
    of_items = [event for event in seen if event.item_id is not None]
    assert {event.type for event in of_items} == {pipeline.EventType.ITEM_COMPLETED}
    assert {event.item_id: pipeline.Result.from_data(event.data) for event in of_items} == results
    assert all((event.key, event.seq) == (results[event.item_id].key, results[event.item_id].seq) for event in of_items)
    (end,) = (event for event in seen if event.item_id is None)
    assert (end.type, end.batch_id, end.key, end.seq) == ("batch.completed", batch.id, None, 4)
    assert end.webhook_id == f"msg_{batch.id}{4:012d}"
    assert end.timestamp.tzinfo is UTC
    assert end.data["total"] == 3
