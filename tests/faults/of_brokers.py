"""What happens to brokers: they are emptied, restarted, hang, and lose their connections."""

from __future__ import annotations

from random import Random

from tests.faults.fault import Faults, every, last
from tests.faults.site import RABBITMQ, REDIS, Site
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis

fault = Faults("broker")


@fault(REDIS, seconds=1, longest=5)
def redis_is_emptied(site: Site, random: Random, seconds: float) -> None:
    for _ in every(0.5, seconds):
        _redis(site).clear()


@fault(REDIS, seconds=1, longest=15)
def redis_restarts_without_its_data(site: Site, random: Random, seconds: float) -> None:
    server = _redis(site)
    server.kill()
    last(seconds)
    server.start()


@fault(REDIS, seconds=1, longest=5)
def redis_closes_all_connections(site: Site, random: Random, seconds: float) -> None:
    for _ in every(0.2, seconds):
        _redis(site).disconnect()


@fault(RABBITMQ, seconds=0, longest=5)
def rabbitmq_restarts(site: Site, random: Random, seconds: float) -> None:
    server = _rabbitmq(site)
    server.stop()
    last(seconds)
    server.start()


@fault(RABBITMQ, seconds=0, longest=5)
def rabbitmq_is_purged(site: Site, random: Random, seconds: float) -> None:
    for _ in every(1, seconds):
        _rabbitmq(site).purge()


@fault(RABBITMQ, seconds=0, longest=5)
def rabbitmq_closes_all_connections(site: Site, random: Random, seconds: float) -> None:
    for _ in every(1, seconds):
        _rabbitmq(site).close_connections()


@fault(REDIS, RABBITMQ, seconds=12, longest=20)
def the_broker_hangs(site: Site, random: Random, seconds: float) -> None:
    assert site.broker is not None
    site.broker.suspend()
    last(seconds)
    site.broker.resume()


def _redis(site: Site) -> Redis:
    assert isinstance(site.broker, Redis)
    return site.broker


def _rabbitmq(site: Site) -> RabbitMQ:
    assert isinstance(site.broker, RabbitMQ)
    return site.broker
