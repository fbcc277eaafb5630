"""The whole engine in one process: real worker, real broker, real database, real receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

import pipeline
from pipeline.errors import Conflict
from tests.support.factories import client_context, connect, make_definition, make_items
from tests.support.invariants import assert_complete
from tests.support.receiver import SECRET, Receiver

LOOPBACK = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}


def test_every_item_is_classified_enriched_stored_and_called_back(tmp_path: Path) -> None:
    with Receiver() as receiver, connect(tmp_path, **LOOPBACK) as client:
        batch = client.submit(
            make_items(500),
            make_definition(tmp_path),
            callback_url=receiver.url,
            batch_callback_url=receiver.url,
        )
        results = list(batch.results(follow=True))
        receiver.wait_for(lambda r: len(r.bodies) == 501)
        states = assert_complete(client_context(client).database, batch.id, 500)

    assert states == {"succeeded": 500}
    assert [result.seq for result in results] == list(range(1, 501))
    assert {result.label for result in results} == {"short"}
    assert all(
        result.enrichment == {"enrich": {"characters": len("text number ") + len(str(n))}}
        for result in results
        for n in [result.item_id.split("-")[1]]
    )
    assert receiver.of_type("batch.completed")[0]["succeeded"] == 500
    of_receiver = {data["item_id"]: data for data in receiver.of_type("item.completed")}
    assert of_receiver == {result.item_id: result.to_dict() for result in results}
    assert receiver.unverified == 0


def test_an_item_may_have_its_own_callback_url_beside_the_batch(tmp_path: Path) -> None:
    with Receiver() as one, Receiver() as all_of_them, connect(tmp_path, **LOOPBACK) as client:
        items = [pipeline.Item({"text": "a"}, key="a", callback_url=one.url), pipeline.Item({"text": "b"}, key="b")]
        batch = client.submit(items, make_definition(tmp_path), callback_url=all_of_them.url)
        batch.wait(30)
        all_of_them.wait_for(lambda r: len(r.bodies) == 2)
        one.wait_for(lambda r: len(r.bodies) == 1)
    assert [data["key"] for data in one.of_type("item.completed")] == ["a"]
    assert {data["key"] for data in all_of_them.of_type("item.completed")} == {"a", "b"}


def test_a_definition_without_enrichers_ends_after_classify(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        batch = client.submit(make_items(50), make_definition(tmp_path, enrich=False))
        results = list(batch.results(follow=True))
        assert_complete(client_context(client).database, batch.id, 50)
    assert {(result.state, result.label, len(result.enrichment)) for result in results} == {("succeeded", "short", 0)}


def test_a_slow_item_delays_no_other(tmp_path: Path) -> None:
    source = """
    import asyncio, pathlib

    def classify(item):
        return "x"

    async def enrich(item):
        while item.text == "slow" and not pathlib.Path(item.payload["gate"]).exists():
            await asyncio.sleep(0.01)
        return {}
    """
    gate = tmp_path / "gate"
    items = [{"text": "slow" if n == 7 else "quick", "gate": str(gate)} for n in range(200)]
    with Receiver() as receiver, connect(tmp_path, **LOOPBACK) as client:
        batch = client.submit(items, make_definition(tmp_path, source), callback_url=receiver.url)
        receiver.wait_for(lambda r: len(r.bodies) == 199)
        assert batch.progress().succeeded == 199
        gate.touch()
        batch.wait(30)
        receiver.wait_for(lambda r: len(r.bodies) == 200)


def test_a_slow_item_of_a_blocking_function_delays_no_other(tmp_path: Path) -> None:
    source = """
    import pathlib, threading

    def classify(item):
        while item.text == "slow" and not pathlib.Path(item.payload["gate"]).exists():
            threading.Event().wait(0.01)
        return "x"
    """
    gate = tmp_path / "gate"
    items = [{"text": "slow" if n == 0 else "quick", "gate": str(gate)} for n in range(200)]
    with connect(tmp_path) as client:
        batch = client.submit(items, make_definition(tmp_path, source, enrich=False))
        seen = []
        for result in batch.results(follow=True):
            seen.append(result.item_id)
            if len(seen) == 199:
                gate.touch()
    assert seen[-1].endswith("-1")


FAULTS = """
import threading
from pipeline import Permanent, Throttled, Transient, batched

@batched(max_items=64)
def classify(items):
    for item in items:
        if item.text == "raises":
            raise ValueError("no such thing")
        if item.text == "hangs":
            threading.Event().wait(60)
    if any(item.text == "too few" for item in items):
        return []
    return ["unheard" if item.text == "wrong label" else "x" for item in items]

async def enrich(item):
    if item.text == "permanent":
        raise Permanent("never")
    if item.text == "not json":
        return {"value": object()}
    if item.text == "transient" and item.attempt < 3:
        raise Transient("not yet")
    if item.text == "throttled" and item.attempt == 1 and not item.payload.setdefault("seen", SEEN.get(item.item_id)):
        SEEN[item.item_id] = True
        raise Throttled(retry_after=0.01)
    return {}

SEEN = {}
"""


def test_each_kind_of_failure_is_that_items_own(tmp_path: Path) -> None:
    bad = ["raises", "hangs", "too few", "wrong label", "permanent", "not json"]
    passing = ["transient", "throttled"]
    items = [pipeline.Item({"text": "fine"}, key=f"fine {n}") for n in range(40)]
    items += [pipeline.Item({"text": text}, key=text) for text in bad + passing]
    definition = make_definition(
        tmp_path,
        FAULTS,
        classify={"labels": ["x", "y"], "timeout_seconds": 0.5},
        retry={"base_seconds": 0.01, "max_attempts": 3},
    )
    with connect(tmp_path) as client:
        batch = client.submit(items, definition)
        results = {result.key: result for result in batch.results(follow=True)}
        states = assert_complete(client_context(client).database, batch.id, len(items))

    assert states == {"succeeded": 42, "dead": 6}
    assert all(results[f"fine {n}"].succeeded for n in range(40))
    assert {key: results[key].error.type for key in bad} == {
        "raises": "ValueError",
        "hangs": "timeout",
        "too few": "wrong_length",
        "wrong label": "unknown_label",
        "permanent": "Permanent",
        "not json": "invalid_enrichment",
    }
    assert results["transient"].attempts == 4
    # One at each stage: that it was put off counts none.
    assert results["throttled"].attempts == 2
    assert results["permanent"].error.stage == "enrich"
    assert results["raises"].error.message == "no such thing"


def test_a_retry_resumes_at_the_stage_that_failed(tmp_path: Path) -> None:
    source = """
    CALLS = []
    def classify(item):
        CALLS.append(item.item_id)
        return "x"
    async def enrich(item):
        if item.attempt == 1:
            raise RuntimeError("once")
        return {"classified": CALLS.count(item.item_id)}
    """
    with connect(tmp_path) as client:
        batch = client.submit(make_items(20), make_definition(tmp_path, source))
        results = list(batch.results(follow=True))
    assert {result.enrichment["enrich"]["classified"] for result in results} == {1}


def test_dead_items_are_replayed_by_request_and_complete_again(tmp_path: Path) -> None:
    source = """
    import pathlib
    from pipeline import Permanent
    def classify(item):
        if not pathlib.Path(item.payload["cure"]).exists():
            raise Permanent("ill")
        return "well"
    """
    cure = tmp_path / "cure"
    with connect(tmp_path) as client:
        batch = client.submit([{"text": "a", "cure": str(cure)}] * 5, make_definition(tmp_path, source, enrich=False))
        assert batch.wait(30).dead == 5
        cure.touch()
        assert batch.replay_dead([f"{batch.id}-1", f"{batch.id}-2"]) == 2
        progress = batch.wait(30)
        assert (progress.succeeded, progress.dead) == (2, 3)
        assert batch.replay_dead() == 3
        assert batch.wait(30).succeeded == 5


def test_a_paused_batch_rests_until_it_is_resumed(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        client.work()
        first = client.submit(make_items(3_000), make_definition(tmp_path))
        first.pause()
        # Another batch passes while the first rests.
        client.submit(make_items(50), make_definition(tmp_path)).wait(30)
        resting = first.progress()
        assert resting.state == "paused"
        first.resume()
        assert first.wait(60).succeeded == 3_000


def test_cancel_ends_what_has_not_begun_and_tells_its_receiver(tmp_path: Path) -> None:
    source = """
    import asyncio, pathlib
    def classify(item):
        return "x"
    async def enrich(item):
        while not pathlib.Path(item.payload["gate"]).exists():
            await asyncio.sleep(0.01)
        return {}
    """
    gate = tmp_path / "gate"
    items = [{"text": "a", "gate": str(gate)}] * 2_500
    with Receiver() as receiver, connect(tmp_path, batch_items=16, concurrency=1, **LOOPBACK) as client:
        batch = client.submit(items, make_definition(tmp_path, source), callback_url=receiver.url)
        cancelled = batch.cancel()
        assert cancelled > 0
        gate.touch()
        progress = batch.wait(60)
        receiver.wait_for(lambda r: len(r.bodies) == 2_500)
        states = assert_complete(client_context(client).database, batch.id, 2_500)
    assert progress.state == "cancelled"
    assert states["cancelled"] >= cancelled
    assert len(receiver.of_type("item.cancelled")) == states["cancelled"]


def test_results_go_on_behind_any_seq(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        batch = client.submit(make_items(30), make_definition(tmp_path))
        batch.wait(30)
        everything = list(batch.results())
        assert [list(batch.results(after=result.seq)) for result in everything[::7]] == [
            everything[result.seq :] for result in everything[::7]
        ]


def test_results_can_be_followed_from_an_event_loop(tmp_path: Path) -> None:
    async def follow() -> list[int]:
        async with pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'pipeline.db'}") as client:
            batch = await client.submit(make_items(30), make_definition(tmp_path))
            return [result.seq async for result in batch.results(follow=True)]

    assert asyncio.run(follow()) == list(range(1, 31))


def test_a_hook_writes_in_the_transaction_of_the_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def note(connection: Connection, events: Sequence[pipeline.Event]) -> None:
        for each in events:
            if each.item_id is not None:
                row = {"key": each.key, "label": each.data["label"]}
                connection.execute(text("INSERT INTO notes VALUES (:key, :label)"), row)

    def fail(connection: Connection, events: Sequence[pipeline.Event]) -> None:
        connection.execute(text("INSERT INTO notes VALUES ('never', 'seen')"))
        raise RuntimeError("broken hook")

    with connect(tmp_path, hooks=[note, fail]) as client:
        with client.transaction() as connection:
            connection.execute(text("CREATE TABLE notes (key TEXT, label TEXT)"))
        items = [pipeline.Item({"text": "t"}, key=str(n)) for n in range(20)]
        batch = client.submit(items, make_definition(tmp_path))
        batch.wait(30)
        with client.transaction() as connection:
            noted = connection.execute(text("SELECT key, label FROM notes")).all()
    assert sorted(noted) == sorted((str(n), "short") for n in range(20))
    failed = [line for line in caplog.messages if line.startswith("hook_failed")]
    assert any(f"'{batch.id}-1'" in line for line in failed)


def test_a_second_batch_is_not_stuck_behind_a_huge_one(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        definition = make_definition(tmp_path)
        huge = client.submit(make_items(8_000), definition)
        small = client.submit(make_items(20), definition)
        small.wait(60)
        assert huge.progress().final < 8_000
        huge.cancel()


def test_a_client_takes_up_what_an_earlier_one_left(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    client = connect(tmp_path)
    batch = client.submit(make_items(4_000), definition)
    next(batch.results(follow=True))
    client.close()
    with connect(tmp_path) as client:
        again = client.batch(batch.id)
        assert again.progress().final < 4_000
        assert again.wait(60).succeeded == 4_000
        assert_complete(client_context(client).database, batch.id, 4_000)


def test_an_idempotency_key_submits_once(tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    with connect(tmp_path) as client:
        first = client.submit(make_items(5), definition, idempotency_key="today")
        second = client.submit(make_items(5), definition, idempotency_key="today")
        assert (first.is_new, second.is_new) == (True, False)
        assert second.id == first.id
        assert second.wait(30).total == 5
        with pytest.raises(Conflict, match="different definition"):
            client.submit(make_items(5), make_definition(tmp_path), idempotency_key="today")
