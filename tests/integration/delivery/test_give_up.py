"""What is given up is told to the batch's fallback URL, and stays readable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, update

import pipeline
from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.delivery.claim import claim_due, record_sent, take_back
from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.rules.delivery import Answer, Sent
from pipeline.domain.retry_schedule import Schedule
from pipeline.errors import Conflict, InvalidInput
from tests.support.factories import client_context, make_definition, make_items
from tests.support.receivers.owed import (
    BATCH,
    BODY,
    Sending,
    attempts,
    deliveries,
    options,
    owe,
    states,
    to,
    wait_until,
)
from tests.support.receivers.scripted import Scripted, answer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LEASE = timedelta(seconds=45)


def fall_back_to(database: Database, port: int) -> str:
    url = to(port, path="/fallback")[0][0]
    with database.write() as connection:
        connection.execute(update(tables.batches).values(fallback_url=url, next_seq=100))
    return url


def events(database: Database) -> list[tuple[int, str]]:
    with database.read() as connection:
        query = select(tables.events.c.seq, tables.events.c.type).order_by(tables.events.c.seq)
        return [(seq, type_) for seq, type_ in connection.execute(query)]


def test_a_delivery_that_is_given_up_is_told_to_the_fallback_url_with_its_event(database: Database) -> None:
    with Scripted(answer(500)) as failing, Scripted(answer(204, body=b"")) as fallback:
        owe(database, to(failing.port))
        url = fall_back_to(database, fallback.port)
        with Sending(database, options=options(delays=[])):
            wait_until(lambda: states(database) == ["dead", "delivered"])
    (request,) = fallback.requests
    body = orjson.loads(request.body)
    assert (body["type"], deliveries(database)[1]["url"]) == ("delivery.exhausted", url)
    assert {name: body["data"][name] for name in ("batch_id", "seq", "webhook_id", "attempts", "status", "error")} == {
        "batch_id": BATCH,
        "seq": 100,
        "webhook_id": f"msg_{BATCH}000000000001",
        "attempts": 1,
        "status": 500,
        "error": "http_500",
    }
    assert body["data"]["event"] == orjson.loads(BODY)
    assert request.headers["webhook-id"] == f"msg_{BATCH}000000000100"
    assert events(database) == [(1, "item.completed"), (100, "delivery.exhausted")]


def test_a_fallback_delivery_that_is_given_up_is_told_to_nobody(database: Database) -> None:
    with Scripted(answer(500)) as failing:
        owe(database, to(failing.port))
        fall_back_to(database, failing.port)
        with Sending(database, options=options(delays=[])):
            wait_until(lambda: states(database) == ["dead", "dead"])
    assert [type_ for _, type_ in events(database)] == ["item.completed", "delivery.exhausted"]
    assert len(attempts(database)) == 2


def test_without_a_fallback_url_the_log_of_the_batch_stays_as_it_is(database: Database) -> None:
    with Scripted(answer(500)) as failing:
        owe(database, to(failing.port))
        with Sending(database, options=options(delays=[])):
            wait_until(lambda: states(database) == ["dead"])
    assert [type_ for _, type_ in events(database)] == ["item.completed"]


def test_a_sender_that_lost_its_lease_gives_nothing_up(database: Database) -> None:
    owe(database, to(8_001), at=NOW)
    fall_back_to(database, 8_002)
    claim = claim_due(database, Capacity(9, 9), worker="slow", now=NOW, lease_until=lambda: NOW + LEASE, most=9)
    take_back(database, NOW + timedelta(hours=1))
    sent = Sent(claim.owed[0], Answer(500, control="abort-message"), NOW, NOW + timedelta(hours=1))
    record_sent(database, [sent], worker="slow", schedule=Schedule())
    assert (states(database), len(events(database))) == (["pending"], 1)


def test_what_cannot_be_delivered_stays_readable_and_its_log_has_no_gap(database_url: str, tmp_path: Path) -> None:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8", "database_url": database_url}
    # A receiver that wants none of these: each is given up at its first attempt.
    refusing = answer(400, "webhook-delivery: abort-message")
    with Scripted(refusing) as failing, Scripted(answer()) as fallback, pipeline.connect(**settings) as client:
        batch = client.submit(
            make_items(20),
            make_definition(tmp_path),
            callback_url=failing.url,
            fallback_url=fallback.url,
            callback_schedule="short",
            idempotency_key="k",
        )
        results = list(batch.results(follow=True))
        fallback.wait_for(lambda seen: len(seen.requests) == 20)
        wait_until(lambda: states(client_context(client).database).count("delivered") == 20)
        assert len(results) == len(list(batch.results())) == 20
        assert sorted(seq for seq, _ in events(client_context(client).database)) == list(range(1, 42))
        told = {orjson.loads(request.body)["data"]["event"]["data"]["item_id"] for request in fallback.requests}
        assert told == {result.item_id for result in results}


def test_a_fallback_url_is_checked_as_other_callback_urls_are(sqlite_url: str, tmp_path: Path) -> None:
    definition = make_definition(tmp_path)
    with pipeline.connect(database_url=sqlite_url, webhook_secret=SECRET) as client:
        with pytest.raises(InvalidInput, match="fallback_url 'https://10.0.0.1' has the private address"):
            client.submit(make_items(1), definition, fallback_url="https://10.0.0.1/")
        with pytest.raises(InvalidInput, match="fallback_url is also a callback URL of the batch"):
            client.submit(
                make_items(1), definition, callback_url="https://a.example/", fallback_url="https://A.example"
            )
        with pytest.raises(InvalidInput, match="there is no schedule 'shrot'"):
            client.submit(make_items(1), definition, callback_schedule="shrot")
        client.submit(make_items(1), definition, fallback_url="https://a.example/", idempotency_key="k")
        with pytest.raises(Conflict, match="a different fallback_url"):
            client.submit(make_items(1), definition, fallback_url="https://b.example/", idempotency_key="k")
