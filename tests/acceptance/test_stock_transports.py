"""The whole pipeline on kombu's own transports, which `PIPELINE_FAST_TRANSPORT=false` goes back to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.factories import client_context, connect, make_definition, make_items
from tests.support.invariants import assert_complete, assert_delivered
from tests.support.receiver import SECRET, Receiver
from tests.support.servers.fixtures import on_rabbitmq, on_redis
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.worker import Cluster

STAGES = ("--queues", "classify,enrich")
REST = ("--queues", "deliver,control")
#: Labels each item with the transport of the worker that classifies it.
SOURCE = """
    from workers.engine import engine

    def classify(item):
        [app] = engine._running
        kinds = type(app.connection_for_read().transport).__mro__
        # Each embedded client has a class of it.
        transport = next(kind for kind in kinds if kind.__module__ != "workers.transports.choice")
        return f"{transport.__module__}:{transport.__name__}"

    async def enrich(item):
        return {"characters": len(item.text)}
"""
GATED = """
    import asyncio, pathlib

    def classify(item):
        return "x"

    async def enrich(item):
        while not pathlib.Path(%r).exists():
            await asyncio.sleep(0.02)
        return {}
"""


@pytest.fixture(params=[False, True], ids=["stock", "fast"])
def is_fast(request: pytest.FixtureRequest) -> bool:
    """Whether the setting asks for our transports."""
    return bool(request.param)


@pytest.fixture
def stock(broker: Redis | RabbitMQ, postgresql_url: str, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster on kombu's own transport."""
    with Cluster(tmp_path, postgresql_url, broker.url, fast_transport=False) as running:
        yield running


def run_a_batch(cluster: Cluster) -> set[str | None]:
    """Run a small batch with callbacks from its submission to the last callback, and return the labels."""
    workers = [cluster.worker(*STAGES), cluster.worker(*REST)]
    with Receiver() as receiver:
        batch = cluster.client.submit(
            make_items(200), cluster.definition(SOURCE), callback_url=receiver.url, batch_callback_url=receiver.url
        )
        labels = {result.label for result in batch.results(follow=True)}
        receiver.wait_for(lambda r: len(r.bodies) == 201)
    assert assert_complete(cluster.database, batch.id, 200) == {"succeeded": 200}
    assert_delivered(cluster.database, batch.id, 201)
    for worker in workers:
        worker.stop()
        assert "Traceback" not in worker.log
    return labels


@on_redis
def test_a_batch_runs_on_kombus_transport_for_redis(stock: Cluster) -> None:
    assert run_a_batch(stock) == {"kombu.transport.redis:Transport"}


@on_rabbitmq
def test_a_batch_runs_on_kombus_transport_for_rabbitmq(stock: Cluster) -> None:
    assert run_a_batch(stock) == {"kombu.transport.pyamqp:Transport"}


def test_a_batch_runs_embedded_with_either_transport(tmp_path: Path, is_fast: bool) -> None:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8", "fast_transport": is_fast}
    with Receiver() as receiver, connect(tmp_path, **settings) as client:
        batch = client.submit(make_items(200), make_definition(tmp_path, SOURCE), callback_url=receiver.url)
        labels = {result.label for result in batch.results(follow=True)}
        receiver.wait_for(lambda r: len(r.bodies) == 200)
        assert assert_complete(client_context(client).database, batch.id, 200) == {"succeeded": 200}
    assert labels == {"workers.transports.memory:MemoryTransport" if is_fast else "kombu.transport.memory:Transport"}


def test_what_a_killed_worker_held_is_run_by_another_on_kombus_transports(stock: Cluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    stock.worker(*REST)
    killed = stock.worker(*STAGES)
    batch = stock.client.submit(make_items(100), stock.definition(GATED % str(gate)))
    stock.wait_for(lambda: stock.count(stage="enrich", state="running") > 0)
    killed.kill()
    gate.touch()
    stock.worker(*STAGES)
    batch.wait(60)
    assert assert_complete(stock.database, batch.id, 100) == {"succeeded": 100}


def test_workers_on_either_transport_share_the_queues(stock: Cluster) -> None:
    workers = [stock.worker(*STAGES), stock.worker(*STAGES, fast_transport=True), stock.worker(*REST)]
    batch = stock.client.submit(make_items(400), stock.definition(SOURCE))
    # The same items, whoever takes them.
    labels = {result.label for result in batch.results(follow=True)}
    assert assert_complete(stock.database, batch.id, 400) == {"succeeded": 400}
    assert any("workers.transports" in str(label) for label in labels)
    assert not any("Traceback" in worker.log for worker in workers)
