"""What every client of the Python API promises: that of a database, and that of a server, also if connections break."""

from __future__ import annotations

import copy
import inspect
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.client import paging
from pipeline.client.remote import server
from pipeline.crypto.encryption import new_encryption_key
from tests.support.clients import KINDS, Definitions, client_of
from tests.support.factories import make_items
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import wait_until

GATED = """
import pathlib
from pipeline import Permanent

def classify(item):
    if not pathlib.Path(item.payload["gate"]).exists():
        raise Permanent("the gate is shut")
    return "x"
"""
WAITING = """
import asyncio
import pathlib

async def classify(item):
    while not pathlib.Path(item.payload["gate"]).exists():
        await asyncio.sleep(0.01)
    return "x"
"""


@pytest.fixture
def definitions(tmp_path: Path) -> Definitions:
    return Definitions(tmp_path)


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    settings = {
        "webhook_secret": SECRET,
        "encryption_key": new_encryption_key(),
        "allow_private_callbacks": "127.0.0.0/8",
    }
    with client_of(request.param, tmp_path, **settings) as client:
        yield client


@pytest.mark.parametrize(
    ("embedded", "remote"),
    [
        (pipeline.Client, pipeline.RemoteClient),
        (pipeline.Batch, pipeline.RemoteBatch),
        (pipeline.Delivery, pipeline.RemoteDelivery),
        (pipeline.Endpoint, pipeline.RemoteEndpoint),
    ],
)
def test_the_methods_are_those_of_the_embedded_client(embedded: type, remote: type) -> None:
    for name, method in inspect.getmembers(embedded, inspect.isfunction):
        if not name.startswith("_"):
            theirs = inspect.signature(getattr(remote, name)).parameters
            mine = inspect.signature(method).parameters
            assert [(each, value.kind, value.default) for each, value in theirs.items()] == [
                (each, value.kind, value.default) for each, value in mine.items()
            ], name


def test_a_batch_is_paused_cancelled_and_replayed(client: Any, definitions: Definitions) -> None:
    gate = definitions.folder / "gate"
    batch = client.submit([{"text": "a", "gate": str(gate)}] * 600, definitions.add(WAITING, enrich=False))
    batch.pause()
    assert batch.progress().state == "paused"
    batch.cancel()
    gate.touch()
    ended = batch.wait(30)
    assert ended.state == "cancelled"
    assert ended.cancelled + ended.succeeded == 600
    for wrong in ("1", "0000000000000000-1"):
        with pytest.raises(pipeline.InvalidInput, match="is not the id of an item of batch"):
            batch.replay_cancelled([wrong])
    assert batch.replay_cancelled() == ended.cancelled > 0
    assert batch.wait(30).succeeded == 600
    with pytest.raises(pipeline.Conflict, match="completed"):
        batch.pause()
    assert [result.seq for result in batch.results(follow=True)][-1] == batch.progress().last_seq - 1


def test_results_are_tables(client: Any, definitions: Definitions) -> None:
    gate = definitions.folder / "gate"
    batch = client.submit([{"text": "a", "gate": str(gate)}] * 5, definitions.add(GATED, enrich=False))
    assert batch.wait(30).dead == 5
    gate.touch()
    assert batch.replay_dead([next(batch.results()).item_id]) == 1
    batch.wait(30)
    states = batch.to_arrow().column("state").to_pylist()
    assert (len(states), states.count("succeeded")) == (5, 1)
    assert batch.to_arrow(all_ends=True).num_rows == 6
    assert [each.num_rows for each in batch.arrow_batches(rows=2, follow=True)] == [2, 2, 1]
    assert batch.to_polars().shape == batch.to_pandas().shape


def test_a_closed_client_says_so(client: Any, definitions: Definitions) -> None:
    batch = client.submit(make_items(1), definitions.add())
    delivery = client.deliveries()
    client.close()
    for call in (
        batch.progress,
        lambda: client.batch("last"),
        lambda: next(batch.results()),
        lambda: next(delivery),
        lambda: client.endpoint("https://example.com"),
    ):
        with pytest.raises(pipeline.ClientClosed, match="this client is closed"):
            call()


def test_a_wait_that_takes_too_long_says_how_far_the_batch_is(client: Any, definitions: Definitions) -> None:
    gate = definitions.folder / "gate"
    batch = client.submit([{"text": "a", "gate": str(gate)}] * 3, definitions.add(WAITING, enrich=False))
    with pytest.raises(pipeline.WaitTimeout, match=f"batch {batch.id} has finished . of 3 items after 0 s") as raised:
        batch.wait(timeout=0)
    assert isinstance(raised.value, pipeline.PipelineError)
    assert isinstance(raised.value, TimeoutError)
    assert (raised.value.code, raised.value.progress.total) == ("wait_timeout", 3)
    copied = copy.copy(raised.value)
    assert (str(copied), copied.progress) == (str(raised.value), raised.value.progress)
    batch.pause()
    batch.resume()
    gate.touch()
    assert batch.wait(timeout=30).succeeded == 3


def test_a_handle_says_whether_its_call_stored_the_batch(client: Any, definitions: Definitions) -> None:
    definition = definitions.add()
    first = client.submit(make_items(1), definition, idempotency_key="k")
    again = client.submit(make_items(1), definition, idempotency_key="k")
    found = client.batch(first.id[:6])
    assert [each.is_new for each in (first, again, found)] == [True, False, False]
    assert first.id == again.id == found.id == client.batch("last").id


def test_dead_items_are_replayed_by_their_ids(client: Any, definitions: Definitions) -> None:
    gate = definitions.folder / f"gate-{uuid.uuid4().hex}"
    items = [{"text": "a", "gate": str(gate)}] * 4
    batch = client.submit(items, definitions.add(GATED, enrich=False))
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


def test_a_result_has_types_in_python_and_goes_to_json_and_back(client: Any, definitions: Definitions) -> None:
    source = """
    from pipeline import Classification

    def classify(item):
        return Classification("a", 0.5, {"a": 0.5, "b": 0.5}) if item.text == "scored" else "a"
    """
    begun = datetime.now(UTC)
    batch = client.submit([{"text": "scored"}, {"text": "x"}], definitions.add(source, enrich=False))
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
    client: Any, definitions: Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 2)
    monkeypatch.setattr(server, "PAGE", 2)
    definition = definitions.add()
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


def test_an_endpoint_is_configured_disabled_and_enabled(client: Any, definitions: Definitions) -> None:
    with Receiver() as receiver:
        endpoint = client.endpoint(receiver.url)
        found = endpoint.configure(rate=1_000, in_flight_cap=2, headers={"X-Key": "hidden"})
        assert (found.origin, found.settings.rate, found.headers) == (endpoint.origin, 1_000, ("x-key",))
        assert "hidden" not in repr(found)
        assert endpoint.disable("it moves") == 0

        batch = client.submit(make_items(3), definitions.add(), callback_url=receiver.url)
        batch.wait(60)
        wait_until(lambda: len(list(client.deliveries(batch=batch.id, state="paused"))) == 3)
        (known,) = client.endpoints()
        assert (known.state, known.reason, known.backlog) == ("disabled", "manual: it moves", {"paused": 3})
        assert known.since is not None
        assert [(each.type, each.detail) for each in known.notices] == [("endpoint.disabled", "manual: it moves")]
        assert not receiver.bodies

        assert endpoint.enable() == 3
        receiver.wait_for(lambda seen: len(seen.bodies) == 3)
        wait_until(lambda: len(list(client.deliveries(state="delivered"))) == 3)
        assert endpoint.show().state == "ok"
        found = endpoint.configure(rate=None, headers={"x-key": None})
        assert (found.settings.rate, found.settings.in_flight_cap, found.headers) == (None, 2, ())


def test_deliveries_are_listed_and_replayed(client: Any, definitions: Definitions) -> None:
    with Receiver() as receiver:
        with receiver.refusing(410):
            batch = client.submit(make_items(3), definitions.add(), callback_url=receiver.url)
            batch.wait(60)
            wait_until(lambda: not {"pending", "sending"} & {each.state for each in client.deliveries()})
        dead = list(client.deliveries(batch="last", state="dead", endpoint=receiver.url))
        assert dead
        assert {each.item_id for each in dead} <= {f"{batch.id}-{number}" for number in (1, 2, 3)}
        assert {(each.type, each.last_status, each.attempts) for each in dead} == {("item.completed", 410, 1)}
        assert list(client.deliveries(before=min(each.id for each in client.deliveries()))) == []
        assert client.replay_deliveries(batch=batch.id) == 0, "the endpoint is disabled"
        client.endpoint(receiver.url).enable()
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        assert client.replay_deliveries(until=hour_ago) == 0
        assert client.replay_deliveries(endpoint=receiver.url, since=hour_ago, dry_run=True) == len(dead)
        assert client.replay_deliveries(endpoint=receiver.url, since=hour_ago) == len(dead)
        receiver.wait_for(lambda seen: len(seen.bodies) == 3)
        wait_until(lambda: len(list(client.deliveries(state="delivered"))) == 3)
        assert {each.webhook_id for each in client.deliveries()} == set(receiver.bodies)


def test_a_delivery_is_looked_at_and_sent_again(client: Any, definitions: Definitions) -> None:
    with Receiver() as receiver:
        batch = client.submit(make_items(1), definitions.add(), callback_url=receiver.url)
        batch.wait(60)
        wait_until(lambda: len(list(client.deliveries(batch=batch, state="delivered", since=timedelta(hours=1)))) == 1)
        (found,) = client.deliveries(item=f"{batch.id}-1")
        assert client.delivery(found.webhook_id) == client.delivery(found.id) == found
        assert [(each.number, each.outcome, each.status) for each in found.history()] == [(1, "succeeded", 204)]
        assert found.replay().state == "pending"
        wait_until(lambda: len(found.history()) == 2)
        assert [each.trigger for each in client.delivery(found.id).history()] == [None, "manual"]

        late = f"{receiver.url}/late"
        assert client.replay_missing(late, batch, dry_run=True) == 1
        assert client.replay_missing(late, batch.id, batch_events=True) == 2
        wait_until(lambda: len(list(client.deliveries(state="delivered"))) == 3)
        assert client.replay_deliveries(batch=batch, states="delivered", since=timedelta(minutes=5), dry_run=True) == 3
        assert client.replay_deliveries(states=["delivered"], until=timedelta(days=1)) == 0


def test_an_endpoint_is_tested(client: Any) -> None:
    with Receiver() as receiver:
        found = client.endpoint(receiver.url).test()
        assert (found.status, found.error, found.is_success) == (204, None, True)
        assert found.duration_seconds < 60
        with receiver.refusing(500):
            assert client.endpoint("http://127.0.0.1:1").origin == "http://127.0.0.1:1"
            failed = client.endpoint(receiver.url).test(receiver.url)
            assert (failed.error, failed.is_success) == ("http_500", False)
        with pytest.raises(pipeline.InvalidInput, match="is not of"):
            client.endpoint(receiver.url).test("https://example.com/hook")


BAD_CALLS: list[tuple[Callable[[Any], object], str]] = [
    (
        lambda client: client.replay_deliveries(since="6h"),
        "since is '6h'; expected an aware datetime, or a timedelta",
    ),
    (lambda client: client.replay_deliveries(batch=7), "batch is 7; expected an id"),
    (lambda client: client.replay_deliveries(states=[1]), "states is"),
    (lambda client: client.replay_deliveries(states="pending"), "'pending' cannot be replayed"),
    (lambda client: client.deliveries(before=datetime.now(UTC)), "before is of type datetime"),
    (lambda client: client.deliveries(limit=0), "limit is 0; expected a whole number from 1"),
    (lambda client: client.deliveries(before=2**63), "before is 9223372036854775808"),
    (lambda client: client.delivery("T-1"), "'T-1' is not a delivery"),
]


def test_what_cannot_be_used_is_bad_input(client: Any) -> None:
    for call, said in BAD_CALLS:
        with pytest.raises(pipeline.InvalidInput, match=said):
            call(client)


def test_a_secret_of_its_own_is_returned_once(client: Any) -> None:
    endpoint = client.endpoint("https://example.com/hook?token=hidden")
    assert repr(endpoint).endswith("Endpoint('https://example.com:443')")
    secret = endpoint.rotate_secret(grace_seconds=60)
    assert len(endpoint.show().secrets) == 2
    assert secret not in repr(endpoint.show())
    endpoint.forget_secret()
    with pytest.raises(pipeline.NotFound, match="has no secrets or headers"):
        endpoint.forget_secret()


def test_what_cannot_be_done_says_why(client: Any) -> None:
    endpoint = client.endpoint("https://example.com")
    for do in (endpoint.show, endpoint.enable):
        with pytest.raises(pipeline.NotFound, match="the endpoint https://example.com:443 is unknown"):
            do()
    with pytest.raises(pipeline.InvalidInput, match="did you mean 'rate'"):
        endpoint.configure(rat=1)  # type: ignore[call-arg] - what is refused
    with pytest.raises(pipeline.InvalidInput, match="the endpoint 'example.com' is not an absolute URL"):
        client.endpoint("example.com")
    with pytest.raises(pipeline.InvalidInput, match="there is no delivery state 'lost'; choose from pending"):
        client.deliveries(state="lost")
    with pytest.raises(pipeline.InvalidInput, match="since is 2026-11-21 08:00:00, which has no time zone"):
        client.replay_deliveries(since=datetime(2026, 11, 21, 8))  # noqa: DTZ001 - what is refused
