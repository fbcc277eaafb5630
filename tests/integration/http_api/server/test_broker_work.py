"""Waking workers elsewhere through a broker."""

from __future__ import annotations

from pipeline.http_api.server.work_beside import BrokerWork
from pipeline.settings import load
from tests.support.asgi_server import wait_until
from tests.support.servers.redis import Redis


def test_workers_elsewhere_are_woken(redis: Redis) -> None:
    work = BrokerWork(load(broker_url=f"redis://127.0.0.1:{redis.port}/0"))
    work.start()
    with redis.client() as client:
        before = client.llen("control")
        work.wake()
        wait_until(lambda: client.llen("control") == before + 1)
    assert work.problem() is None


def test_a_broker_that_is_away_delays_nobody() -> None:
    work = BrokerWork(load(broker_url="redis://127.0.0.1:9/0"))
    work.start()
    for _ in range(1_000):
        work.wake()
    # It tries again with the next one: the thread lives.
    wait_until(lambda: not work._is_wanted.is_set())
    work.wake()
    wait_until(lambda: not work._is_wanted.is_set())
    assert work._thread.is_alive()
