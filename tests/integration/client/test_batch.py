"""Batches by the Python API: waiting, replaying, listing, and the workers of the process."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

import pipeline
from pipeline.client import paging
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


def test_a_wait_that_takes_too_long_says_how_far_the_batch_is(client: pipeline.Client, tmp_path: Path) -> None:
    batch = client.submit(make_items(3), make_definition(tmp_path))
    batch.pause()
    with pytest.raises(pipeline.WaitTimeout, match=f"batch {batch.id} has finished . of 3 items after 0 s") as raised:
        batch.wait(timeout=0)
    assert isinstance(raised.value, pipeline.PipelineError)
    assert isinstance(raised.value, TimeoutError)
    assert (raised.value.code, raised.value.progress.total) == ("wait_timeout", 3)
    copied = copy.copy(raised.value)
    assert (str(copied), copied.progress) == (str(raised.value), raised.value.progress)
    batch.resume()
    assert batch.wait(timeout=30).succeeded == 3


def test_a_handle_says_whether_its_call_stored_the_batch(client: pipeline.Client, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    first = client.submit(make_items(1), definition, idempotency_key="k")
    again = client.submit(make_items(1), definition, idempotency_key="k")
    found = client.batch(first.id[:6])
    assert [each.is_new for each in (first, again, found)] == [True, False, False]
    assert first.id == again.id == found.id == client.batch("last").id


def test_dead_items_are_replayed_by_their_ids(client: pipeline.Client, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    items = [{"text": "a", "gate": str(gate)}] * 4
    batch = client.submit(items, make_definition(tmp_path, GATED, enrich=False))
    assert batch.wait(30).dead == 4
    dead = [result for result in batch.results() if result.state is pipeline.ItemState.DEAD]
    assert [each.error for each in dead] == [
        pipeline.ItemFailure(pipeline.FailureKind.PERMANENT, "Permanent", "the gate is shut", pipeline.Stage.CLASSIFY)
    ] * 4
    gate.touch()
    assert batch.replay_dead([dead[0].item_id]) == 1
    assert (batch.wait(30).succeeded, batch.progress().dead) == (1, 3)
    for wrong in ("T-1", "0000000000000000-1", "1"):
        with pytest.raises(pipeline.InvalidInput, match=f"{wrong!r} is not the id of an item of batch {batch.id}"):
            batch.replay_dead([wrong])
    assert batch.replay_dead() == 3
    assert batch.wait(30).succeeded == 4


def test_a_result_has_types_in_python_and_goes_to_json_and_back(client: pipeline.Client, tmp_path: Path) -> None:
    source = """
    from pipeline import Classification

    def classify(item):
        return Classification("a", 0.5, {"a": 0.5, "b": 0.5}) if item.text == "scored" else "a"
    """
    begun = datetime.now(UTC)
    batch = client.submit([{"text": "scored"}, {"text": "x"}], make_definition(tmp_path, source, enrich=False))
    batch.wait(30)
    scored, plain = sorted(batch.results(), key=lambda result: result.item_id)
    assert scored.classification == pipeline.Classification("a", 0.5, {"a": 0.5, "b": 0.5})
    assert plain.classification == pipeline.Classification("a")
    assert scored.succeeded
    assert begun <= scored.timings.created_at <= scored.timings.finished_at <= datetime.now(UTC)
    for result in (scored, plain):
        data = result.to_dict()
        assert pipeline.Result.from_data(data) == result
        assert data["state"] == "succeeded"
        assert data["timings"]["created_at"].endswith("Z")
    assert "scores" not in plain.to_dict()["classification"]


def test_batches_are_listed_page_by_page(
    client: pipeline.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 2)
    definition = make_definition(tmp_path)
    submitted = [client.submit(make_items(1), definition) for _ in range(5)]
    newest_first = [batch.id for batch in reversed(submitted)]
    assert [each.batch_id for each in client.batches()] == newest_first
    assert [each.batch_id for each in client.batches(limit=3)] == newest_first[:3]
    assert [each.batch_id for each in client.batches(before=newest_first[2])] == newest_first[3:]
    assert [each.batch_id for each in client.batches(before=submitted[-1], limit=2)] == newest_first[1:3]
    assert list(client.batches(before=submitted[0])) == []
    with pytest.raises(pipeline.NotFound):
        client.batches(before="nothing")
    with pytest.raises(pipeline.InvalidInput, match="limit is 0; expected a whole number from 1"):
        client.batches(limit=0)


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
