"""Messages as they lie in Redis: those that are published together are what kombu writes one by one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from kombu import Connection

from tests.support.servers.fixtures import on_redis
from tests.support.servers.redis import Redis

pytestmark = on_redis

QUEUE = "one"


@pytest.fixture
def connection(broker: Redis) -> Iterator[Connection]:
    broker.clear()
    with Connection(broker.url, transport="workers.transports.redis_bulk:RedisTransport") as made:
        yield made


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("plain ü", id="text"),
        pytest.param(2**40, id="number"),
        pytest.param(2**80, id="long number"),
        pytest.param(0.1, id="fraction"),
        pytest.param(float("nan"), id="no number"),
        pytest.param("\ud800", id="half a character"),
        pytest.param(uuid.UUID(int=5), id="identifier"),
        pytest.param(datetime(2026, 11, 21, tzinfo=UTC), id="instant"),
        pytest.param(Decimal("1.50"), id="decimal"),
        pytest.param({"deep": [None, {"at": datetime(2026, 11, 21, tzinfo=UTC)}]}, id="nested"),
    ],
)
@pytest.mark.parametrize("place", ["headers", "properties"])
def test_a_message_of_a_batch_is_written_as_one_alone(
    connection: Connection, broker: Redis, place: str, value: object
) -> None:
    options: dict[str, Any] = {"headers": {"own": value}} if place == "headers" else {"own": value}
    with connection.Producer() as producer:
        producer.publish({"number": 1}, exchange="", routing_key=QUEUE, priority=3, **options)
        with producer.batch():
            producer.publish({"number": 1}, exchange="", routing_key=QUEUE, priority=3, **options)
    together, alone = _messages(broker, f"{QUEUE}\x06\x163")
    assert together["properties"].pop("delivery_tag") != alone["properties"].pop("delivery_tag")
    # As text: what is no number equals nothing.
    assert json.dumps(together, sort_keys=True) == json.dumps(alone, sort_keys=True)


def test_no_tag_comes_twice(broker: Redis) -> None:
    broker.clear()
    for _ in range(2):
        with (
            Connection(broker.url, transport="workers.transports.redis_bulk:RedisTransport") as connection,
            connection.Producer() as producer,
        ):
            with producer.batch():
                for number in range(20):
                    producer.publish(number, exchange="", routing_key=QUEUE)
            producer.publish(20, exchange="", routing_key=QUEUE)
    tags = [message["properties"]["delivery_tag"] for message in _messages(broker, QUEUE)]
    assert len(set(tags)) == len(tags) == 42


def _messages(broker: Redis, key: str) -> list[dict[str, Any]]:
    """Return the messages of a queue, the newest first."""
    with broker.client() as client:
        return [json.loads(each) for each in client.lrange(key, 0, -1)]
