"""SQS beyond the contract: FIFO queues on moto; entries that fail one by one and throttling, which moto never does."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiobotocore.session import get_session
from sqlalchemy import select

from pipeline.connections.connection import NamedConnection, NamedConnections
from pipeline.connections.destinations import Destinations
from pipeline.database import tables
from pipeline.database.engine import Database
from tests.integration.delivery.targets.contract import BATCH, Targets, event, in_loop, owed
from tests.support.collection import INTEGRATION
from tests.support.faulty_http import answering
from tests.support.receivers.owed import Sending, deliveries, options, owe, states, wait_until
from tests.support.servers.fixtures import on_sqlite
from tests.support.servers.moto import Moto

pytestmark = pytest.mark.xdist_group(INTEGRATION)
KEYS = {"access_key_id": "tests", "secret_access_key": "right"}


def at(endpoint: str) -> Destinations:
    bus = NamedConnection("bus", "sqs://eu-central-1/123456789012", options={**KEYS, "endpoint": endpoint})
    return Destinations(connections=NamedConnections({"bus": bus}))


@asynccontextmanager
async def made_queue(server: Moto) -> AsyncIterator[tuple[str, Any]]:
    """Make a FIFO queue. Yield its name, and a client."""
    keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "right"}
    made = get_session().create_client("sqs", region_name="eu-central-1", endpoint_url=server.url, **keys)
    async with made as client:
        name = f"tests-{secrets.token_hex(4)}.fifo"
        await client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})
        yield name, client


async def receive(server: Moto, client: Any, name: str) -> list[dict[str, str]]:
    url = f"{server.url}/123456789012/{name}"
    found = await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"])
    return [message["Attributes"] for message in found.get("Messages", [])]


@in_loop
async def _fifo(server: Moto) -> None:
    async with made_queue(server) as (name, client), Targets(at(server.url)) as post:
        url = f"conn://bus/{name}"
        answers = [
            await post(owed(url)),
            await post(owed(url, attempt=2)),
            await post(owed(url, attempt=3, replays=1)),
        ]
        assert {answer.status for answer in answers} == {202}
        # What is a repeat is dropped, and what a person asked for is not.
        found = await receive(server, client, name)
        assert [each["MessageDeduplicationId"] for each in found] == [
            f"msg_{BATCH}000000000001", f"msg_{BATCH}000000000001.r1",
        ]  # fmt: skip
        assert {each["MessageGroupId"] for each in found} == {BATCH}


def test_a_fifo_queue_drops_repeats_and_keeps_the_order_of_a_batch(sqs: Moto) -> None:
    _fifo(sqs)


@in_loop
async def _group_by_key(server: Moto) -> None:
    async with made_queue(server) as (name, client), Targets(at(server.url)) as post:
        assert (await post(owed(f"conn://bus/{name}?group=key"))).is_success
        assert [each["MessageGroupId"] for each in await receive(server, client, name)] == ["T-1"]


def test_a_fifo_queue_may_have_a_group_for_each_item(sqs: Moto) -> None:
    _group_by_key(sqs)


def answer_batch(body: bytes) -> tuple[int, bytes]:
    """Refuse the entries that say so, and take the others."""
    given = json.loads(body)
    good, bad = [], []
    for entry in given["Entries"]:
        text = entry["MessageBody"]
        if '"refuse"' in text:
            bad.append({"Id": entry["Id"], "Code": "InternalError", "SenderFault": False})
        elif '"spoilt"' in text:
            bad.append({"Id": entry["Id"], "Code": "InvalidThing", "SenderFault": True})
        else:
            good.append({"Id": entry["Id"], "MessageId": f"id-{entry['Id']}", "MD5OfMessageBody": ""})
    return 200, json.dumps({"Successful": good, "Failed": bad}).encode()


@in_loop
async def _some_fail(url: str) -> None:
    keys = [*(["T-1"] * 4), "refuse", "spoilt", *(["T-1"] * 4)]
    async with Targets(at(url)) as post:
        posts = [post(owed("conn://bus/q", seq, body=event(seq, key=key))) for seq, key in enumerate(keys, 1)]
        answers = await asyncio.gather(*posts)
    codes = [answer.code for answer in answers]
    assert codes == [None] * 4 + ["unavailable", "rejected"] + [None] * 4


def test_of_ten_entries_those_that_fail_fail_alone() -> None:
    with answering(answer_batch) as (url, _):
        _some_fail(url)


@on_sqlite
def test_a_queue_that_throttles_is_left_alone_for_a_second_and_no_attempt_is_counted(database: Database) -> None:
    refused: list[bytes] = []

    def answer(body: bytes) -> tuple[int, bytes]:
        if not refused:
            refused.append(body)
            return 400, b'{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}'
        return answer_batch(body)

    with answering(answer) as (url, _):
        owe(database, [("conn://bus/q", "conn://bus")], body=event())
        with Sending(database, destinations=at(url), options=options(delays=[])):
            wait_until(lambda: states(database) == ["delivered"])
    (delivery,) = deliveries(database)
    # With a schedule of no delays, a counted attempt would have been the last.
    assert (delivery["attempt"], len(refused)) == (1, 1)


@on_sqlite
def test_what_is_too_large_is_dead_at_once_and_told_to_the_fallback(database: Database) -> None:
    with answering(answer_batch) as (url, taken):
        owe(database, [("conn://bus/q", "conn://bus")], body=event(padding=2 * 2**20))
        with database.write() as connection:
            connection.execute(tables.batches.update().values(fallback_url="conn://bus/fallback", next_seq=100))
        with Sending(database, destinations=at(url), options=options()):
            wait_until(lambda: states(database) == ["dead", "dead"])
        # The event that is told would not fit either: both are dead, and stay readable.
        assert [row["last_error"] for row in deliveries(database)] == ["too_large", "too_large"]
        assert taken == []
    with database.read() as connection:
        types = list(connection.scalars(select(tables.events.c.type).order_by(tables.events.c.seq)))
    assert types == ["item.completed", "delivery.exhausted"]
