"""`pipeline.testing.embedded` and `WebhookReceiver`, as the tests of a user's program use them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import pipeline
from pipeline.crypto.secrets import new_secret
from pipeline.testing import WebhookReceiver, embedded, embedded_async, sign_webhook
from tests.support.factories import make_definition, make_items
from tests.support.receivers.owed import wait_until

BODY = json.dumps({"type": "item.completed", "timestamp": "2026-11-21T10:15:02Z", "data": {}}).encode()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[pipeline.Client]:
    with embedded(tmp_path) as client:
        yield client


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    try:
        with urlopen(Request(url, body, headers), timeout=30) as response:
            return int(response.status)
    except HTTPError as refusal:
        return refusal.code


def test_callbacks_of_a_batch_reach_the_receiver(client: pipeline.Client, tmp_path: Path) -> None:
    with WebhookReceiver() as receiver:
        url = f"{receiver.url}hook"
        batch = client.submit(make_items(3), make_definition(tmp_path), callback_url=url, batch_callback_url=url)
        results = list(batch.results(follow=True))
        (summary,) = receiver.wait_for(type="batch.completed")
        events = receiver.wait_for(3, type="item.completed")
    assert summary["data"]["succeeded"] == 3
    assert sorted(event["data"]["seq"] for event in events) == [1, 2, 3]
    assert {result.item_id: result.to_dict() for result in results} == {
        event["data"]["item_id"]: event["data"] for event in events
    }
    assert {(each.path, each.status, each.error) for each in receiver.requests} == {("/hook", 204, None)}


def test_the_receiver_answers_as_it_is_told_and_keeps_each_event_once(client: pipeline.Client, tmp_path: Path) -> None:
    with WebhookReceiver() as receiver:
        receiver.answer_with(410)
        batch = client.submit(make_items(1), make_definition(tmp_path), callback_url=receiver.url)
        batch.wait(30)
        wait_until(lambda: bool(list(client.deliveries(batch=batch, state=pipeline.DeliveryState.DEAD))))
        assert receiver.events == []
        client.endpoint(receiver.url).enable()
        assert client.replay_deliveries(batch=batch) == 1
        receiver.wait_for()
        # The receiver has it before the sender has recorded the response.
        delivered = pipeline.DeliveryState.DELIVERED
        wait_until(lambda: bool(list(client.deliveries(batch=batch, state=delivered))))
        (delivery,) = client.deliveries(batch=batch)
        delivery.replay()
        wait_until(lambda: len(receiver.requests) == 3)
    first, second, third = receiver.requests
    assert (first.status, second.status, third.status) == (410, 204, 204)
    assert first.webhook_id == second.webhook_id == third.webhook_id == delivery.webhook_id
    assert [event["data"]["item_id"] for event in receiver.events] == [f"{batch.id}-1"]


def test_what_does_not_verify_is_refused_and_named() -> None:
    secret = new_secret()
    with WebhookReceiver(secret) as receiver:
        assert post(receiver.url, BODY, sign_webhook(BODY, new_secret())) == 400
        with pytest.raises(
            TimeoutError, match=r"0 of 1 events were accepted within 0 s; refused: no signature matches"
        ):
            receiver.wait_for(timeout=0)
        assert post(receiver.url, BODY, sign_webhook(BODY, secret)) == 204
        assert len(receiver.wait_for()) == 1
    refused, accepted = receiver.requests
    assert (refused.event, accepted.error) == (None, None)
    assert accepted.event == json.loads(BODY)
    assert (accepted.body, accepted.headers["webhook-attempt"]) == (BODY, "1")


def test_the_environment_does_not_decide_where_a_test_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", "postgresql://nowhere.invalid/db")
    monkeypatch.setenv("PIPELINE_BROKER_URL", "redis://nowhere.invalid")
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", new_secret())
    with embedded(tmp_path, lease_seconds=5) as client:
        assert client.submit(make_items(2), make_definition(tmp_path)).wait(30).succeeded == 2
    assert (tmp_path / "pipeline.db").exists()


def test_an_asynchronous_client_works_as_well(tmp_path: Path) -> None:
    async def work() -> None:
        async with embedded_async(tmp_path) as client:
            batch = await client.submit(make_items(2), make_definition(tmp_path))
            assert (await batch.wait(30)).succeeded == 2

    asyncio.run(work())


def test_nothing_of_it_imports_a_test_runner() -> None:
    program = "import sys, pipeline.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
