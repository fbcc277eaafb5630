"""Endpoints and callbacks by the Python API, against real receivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import pipeline
from pipeline.crypto.encryption import new_encryption_key
from tests.support.factories import make_definition, make_items
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import wait_until


@pytest.fixture
def client(database_url: str) -> Iterator[pipeline.Client]:
    with pipeline.connect(
        database_url=database_url,
        webhook_secret=SECRET,
        encryption_key=new_encryption_key(),
        allow_private_callbacks="127.0.0.0/8",
    ) as client:
        yield client


def test_an_endpoint_is_configured_disabled_and_enabled(client: pipeline.Client, tmp_path: Path) -> None:
    with Receiver() as receiver:
        endpoint = client.endpoint(receiver.url)
        found = endpoint.configure(rate=1_000, in_flight_cap=2, headers={"X-Key": "hidden"})
        assert (found.origin, found.settings.rate, found.headers) == (endpoint.origin, 1_000, ("x-key",))
        assert "hidden" not in repr(found)
        assert endpoint.disable("it moves") == 0

        batch = client.submit(make_items(3), make_definition(tmp_path), callback_url=receiver.url)
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


def test_deliveries_are_listed_and_replayed(client: pipeline.Client, tmp_path: Path) -> None:
    with Receiver() as receiver:
        with receiver.refusing(410):
            batch = client.submit(make_items(3), make_definition(tmp_path), callback_url=receiver.url)
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


def test_a_delivery_is_looked_at_and_sent_again(client: pipeline.Client, tmp_path: Path) -> None:
    with Receiver() as receiver:
        batch = client.submit(make_items(1), make_definition(tmp_path), callback_url=receiver.url)
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


def test_an_endpoint_is_tested(client: pipeline.Client) -> None:
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


@pytest.mark.parametrize(
    ("call", "said"),
    [
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
    ],
)
def test_what_cannot_be_used_is_bad_input(
    call: Callable[[pipeline.Client], object], said: str, client: pipeline.Client
) -> None:
    with pytest.raises(pipeline.InvalidInput, match=said):
        call(client)


def test_a_secret_of_its_own_is_returned_once(client: pipeline.Client) -> None:
    endpoint = client.endpoint("https://example.com/hook?token=hidden")
    assert repr(endpoint) == "Endpoint('https://example.com:443')"
    secret = endpoint.rotate_secret(grace_seconds=60)
    assert len(endpoint.show().secrets) == 2
    assert secret not in repr(endpoint.show())
    endpoint.forget_secret()
    with pytest.raises(pipeline.NotFound, match="has no secrets or headers"):
        endpoint.forget_secret()


def test_what_cannot_be_done_says_why(client: pipeline.Client) -> None:
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
