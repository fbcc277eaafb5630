"""Publishing to real brokers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from celery import Celery

from pipeline.broker.confirms import NotConfirmed
from pipeline.broker.messages import DELIVER_TASK, NUDGES_WAITING, Broker, wake_dispatcher
from pipeline.settings import load
from tests.support.servers.fixtures import on_rabbitmq, on_redis
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis


@pytest.fixture
def app(broker: Redis | RabbitMQ) -> Iterator[Celery]:
    """An application on the broker that sends, and is inspected, as a worker is."""
    with Celery("probe", broker=broker.url, set_as_current=False) as made:
        yield made


@on_rabbitmq
def test_answers_to_who_inspects_workers_do_not_count_as_messages_of_ours(app: Celery) -> None:
    with closing(Broker(app)) as ours, app.connection_for_write() as connection:
        # As in a worker, which answers Flower like this.
        worker = app.control.mailbox.Node(channel=connection.default_channel, handlers={"ping": lambda _: "pong"})
        for _ in range(4):
            # Raises where it waits for a confirm that does not come.
            ours.nudge(DELIVER_TASK)
            worker.dispatch("ping", reply_to={"exchange": "reply.celery.pidbox", "routing_key": "me"}, ticket="1")


@on_rabbitmq
def test_a_broker_that_hangs_is_said_not_to_have_confirmed(
    app: Celery, broker: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.broker.messages.CONFIRM_SECONDS", 0.2)
    with closing(Broker(app)) as ours:
        ours.nudge(DELIVER_TASK)
        broker.suspend()
        try:
            with pytest.raises(NotConfirmed, match="did not confirm 1 messages"):
                ours.nudge(DELIVER_TASK)
        finally:
            broker.resume()
        ours.nudge(DELIVER_TASK)


@on_redis
def test_nudges_that_nobody_takes_do_not_pile_up(app: Celery, broker: Redis) -> None:
    with closing(Broker(app)) as ours, broker.client() as redis:
        for _ in range(NUDGES_WAITING + 5):
            ours.nudge(DELIVER_TASK)
        assert redis.llen("deliver") == NUDGES_WAITING


@on_redis
def test_a_program_that_submits_keeps_no_connection_to_the_broker(broker: Redis) -> None:
    with broker.client() as redis:
        before = redis.info("clients")["connected_clients"]
        assert wake_dispatcher(load(broker_url=broker.url))
        assert redis.info("clients")["connected_clients"] == before
