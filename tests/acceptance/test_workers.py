"""Workers of their own, on PostgreSQL and each broker."""

from __future__ import annotations

import os
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from sqlalchemy import select

from pipeline.client.client import Batch
from pipeline.database.tables import attempts, items
from tests.support.factories import make_items
from tests.support.invariants import assert_complete, assert_delivered
from tests.support.receiver import Receiver
from tests.support.servers.fixtures import on_redis
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.worker import LEASE_SECONDS, Cluster, Worker


def test_what_is_submitted_while_the_broker_is_down_begins_when_it_is_back(
    cluster: Cluster, broker: Redis | RabbitMQ
) -> None:
    cluster.worker()
    broker.stop()
    try:
        batch = cluster.client.submit(make_items(50), cluster.definition())
        assert batch.progress().waiting + batch.progress().in_flight == 50
    finally:
        broker.start()
    batch.wait(60)
    assert assert_complete(cluster.database, batch.id, 50) == {"succeeded": 50}


@on_redis
def test_a_worker_that_hangs_up_starts_anew_as_the_same_process(cluster: Cluster) -> None:
    worker = cluster.worker()
    os.kill(worker.pid, signal.SIGHUP)
    worker.wait_for(lambda: worker.log.count(" ready.") == 2)
    worker.stop()
    assert "Traceback" not in worker.log


FAILING = """
from pipeline import Permanent, Transient

def classify(item):
    if item.text == "text number 3":
        raise Permanent("never")
    if item.text == "text number 5" and item.attempt == 1:
        raise Transient("not yet")
    return "x"

def enrich(item):
    return {}
"""


@on_redis
@pytest.mark.parametrize("pool", ["threads", "solo", "prefork"])
def test_every_pool_runs_both_stages_and_stops_in_good_order(cluster: Cluster, pool: str) -> None:
    worker = cluster.worker("--pool", pool)
    # A message from elsewhere does not end the worker.
    cluster.publish("classify", b"{none of ours", task="items.classify", id="odd")
    cluster.publish("classify", b'[["secret", 1], {}, {}]', task="items.classify", id="odd")
    with Receiver() as receiver:
        batch = cluster.client.submit(
            make_items(100), cluster.definition(FAILING), callback_url=receiver.url, batch_callback_url=receiver.url
        )
        assert [result.seq for result in batch.results(follow=True)] == list(range(1, 101))
        receiver.wait_for(lambda arrived: len(arrived.bodies) == 101)
        assert receiver.unverified == 0
    assert assert_complete(cluster.database, batch.id, 100) == {"succeeded": 99, "dead": 1}
    assert_delivered(cluster.database, batch.id, 101)
    with cluster.database.read() as connection:
        outcomes = Counter(connection.scalars(select(attempts.c.outcome).where(attempts.c.item_id.is_not(None))))
    assert outcomes == {"dead": 1, "retry": 1}
    worker.wait_for(lambda: worker.log.count("message_refused") == 2)
    worker.stop()
    assert "Traceback" not in worker.log


SLOW = """
import asyncio, pathlib

def classify(item):
    return "x"

async def enrich(item):
    while not pathlib.Path({gate!r}).exists():
        await asyncio.sleep(0.02)
    return {{}}
"""


def stop_with_work_in_hand(
    worker: Worker, cluster: Cluster, signals: list[signal.Signals], gate: Path, count: int
) -> Batch:
    """Stop a worker that runs items until `gate` is there: they are handed back, and no attempt is counted."""
    batch = cluster.client.submit(make_items(count), cluster.definition(SLOW.format(gate=str(gate))))
    cluster.wait_for(lambda: cluster.count(stage="enrich", state="running") == count)
    *first, worker.stop_signal = signals  # type: ignore[misc]
    for number in first:
        os.kill(worker.pid, number)
        worker.wait_for(lambda: "Warm shutdown" in worker.log)
    worker.stop()
    with cluster.database.read() as connection:
        rows = connection.execute(select(items.c.state, items.c.attempt, items.c.crashes)).all()
    assert Counter(map(tuple, rows)) == {("pending", 0, 0): count}
    assert "Traceback" not in worker.log
    return batch


@pytest.mark.parametrize(("signals", "seconds"), [([signal.SIGTERM], 1), ([signal.SIGQUIT], 3_600)])
def test_what_a_stopping_worker_cannot_finish_is_handed_back_for_another(
    cluster: Cluster, signals: list[signal.Signals], seconds: int, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    batch = stop_with_work_in_hand(cluster.worker(stop_seconds=seconds), cluster, signals, gate, 20)
    gate.touch()
    cluster.worker()
    batch.wait(60)
    assert assert_complete(cluster.database, batch.id, 20) == {"succeeded": 20}


@on_redis
@pytest.mark.parametrize(
    ("signals", "seconds"),
    [([signal.SIGTERM], 1), ([signal.SIGQUIT], 3_600), ([signal.SIGINT, signal.SIGINT], 3_600)],
)
def test_so_it_is_where_children_run_it(
    cluster: Cluster, signals: list[signal.Signals], seconds: int, tmp_path: Path
) -> None:
    worker = cluster.worker("--pool", "prefork", stop_seconds=seconds)
    # A child is given no second micro-batch while it runs the first.
    stop_with_work_in_hand(worker, cluster, signals, tmp_path / "gate", 1)


POISON = """
import os

def classify(item):
    if item.text == "text number 7":
        os._exit(66)
    return "x"

def enrich(item):
    return {}
"""


@on_redis
def test_an_item_that_kills_its_child_ends_dead_and_its_neighbours_succeed(cluster: Cluster) -> None:
    worker = cluster.worker("--pool", "prefork", "--processes", "2")
    pid = worker.pid
    batch = cluster.client.submit(make_items(40), cluster.definition(POISON))
    batch.wait(100)
    assert assert_complete(cluster.database, batch.id, 40) == {"succeeded": 39, "dead": 1}
    assert [result.error.type for result in batch.results() if result.error] == ["worker_died"]
    os.kill(pid, 0)
    worker.stop()


@on_redis
def test_a_supervisor_starts_anew_what_dies_and_stops_all_together(cluster: Cluster) -> None:
    worker = cluster.worker("--processes", "2")
    first, second = worker.children()
    os.kill(first, signal.SIGKILL)
    batch = cluster.client.submit(make_items(200), cluster.definition())
    batch.wait(60)
    worker.wait_for(lambda: len(worker.children()) == 2 and first not in worker.children())
    assert second in worker.children()
    worker.stop()
    assert "worker_died" in worker.log


@on_redis
def test_a_child_that_starts_while_the_database_is_away_waits_for_it(cluster: Cluster, postgres: Postgres) -> None:
    worker = cluster.worker("--pool", "prefork", "--processes", "2")
    first = worker.pool()

    def are_waiting() -> bool:
        pids = worker.pool()
        return len(pids) == 2 and all(f" {pid} pipeline.database.trouble: " in worker.log for pid in pids)

    postgres.stop()
    try:
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        worker.wait_for(are_waiting)
    finally:
        postgres.start()
    batch = cluster.client.submit(make_items(50), cluster.definition())
    batch.wait(60)
    assert assert_complete(cluster.database, batch.id, 50) == {"succeeded": 50}
    assert "child_lost" not in worker.log
    worker.stop()


@on_redis
def test_liveness_tells_progress_from_mere_running(cluster: Cluster, broker: Redis) -> None:
    assert cluster.exit_code("doctor", "--live") == 1
    worker = cluster.worker()
    assert cluster.exit_code("doctor", "--live") == 0
    worker.suspend()
    cluster.wait_for(lambda: cluster.exit_code("doctor", "--live") == 1)
    worker.resume()
    cluster.wait_for(lambda: cluster.exit_code("doctor", "--live") == 0)
    with Celery("probe", broker=broker.url, set_as_current=False) as probe:
        probe.control.cancel_consumer("classify", reply=True)
        batch = cluster.client.submit(make_items(10), cluster.definition())
        cluster.wait_for(lambda: cluster.exit_code("doctor", "--live") == 1)
        assert "not_consuming" in worker.log
        probe.control.add_consumer("classify", reply=True)
        batch.wait(60)
    cluster.wait_for(lambda: cluster.exit_code("doctor", "--live") == 0)
    worker.stop()
    assert cluster.exit_code("doctor", "--live") == 1


@on_redis
def test_a_worker_that_waits_for_its_broker_is_not_started_anew(cluster: Cluster, broker: Redis) -> None:
    worker = cluster.worker()
    broker.stop()
    try:
        worker.wait_for(lambda: "Connection to broker lost" in worker.log)
        # Two leases without the broker.
        beats = cluster.signs_of_life()
        cluster.wait_for(lambda: cluster.signs_of_life() > beats + timedelta(seconds=2 * LEASE_SECONDS))
        assert cluster.exit_code("doctor", "--live") == 0
    finally:
        broker.start()
    cluster.client.submit(make_items(10), cluster.definition()).wait(60)


@on_redis
def test_beat_nudges_dispatch_and_sweeps(cluster: Cluster, broker: Redis) -> None:
    cluster.beat()
    with broker.client() as redis:
        cluster.wait_for(lambda: redis.llen("control") >= 1)
    cluster.worker()
    with broker.client() as redis:
        cluster.wait_for(lambda: redis.llen("control") == 0)
    cluster.client.submit(make_items(10), cluster.definition()).wait(60)
