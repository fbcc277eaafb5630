"""Our publisher against real brokers: what only it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from celery import Celery

from pipeline.broker.confirms import NotConfirmed
from pipeline.broker.messages import DELIVER_TASK
from pipeline.broker.publisher import open_publisher, wake_dispatcher
from pipeline.settings import Transport, load
from tests.support.servers.fixtures import on_redis
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.worker import wait_for
from tests.support.transports import Candidate, on


@pytest.fixture
def app(candidate: Candidate, broker_server: RabbitMQ) -> Iterator[Celery]:
    """An application on the broker that sends, and is inspected, as a worker is."""
    broker_server.clear()
    with Celery("probe", broker=broker_server.url, set_as_current=False) as made:
        made.conf.broker_transport = candidate.name
        yield made


@on(Transport.RABBITMQ)
def test_replies_to_who_inspects_workers_do_not_count_as_messages_of_ours(app: Celery) -> None:
    with closing(open_publisher(app)) as ours, app.connection_for_write() as connection:
        # As in a worker, which answers Flower like this.
        worker = app.control.mailbox.Node(channel=connection.default_channel, handlers={"ping": lambda _: "pong"})
        for _ in range(4):
            # Raises where it waits for a confirm that does not come.
            ours.nudge(DELIVER_TASK)
            worker.dispatch("ping", reply_to={"exchange": "reply.celery.pidbox", "routing_key": "me"}, ticket="1")


@on(Transport.RABBITMQ)
def test_a_broker_that_hangs_is_said_not_to_have_confirmed(
    app: Celery, broker_server: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.broker.bulk_publisher.CONFIRM_SECONDS", 0.2)
    with closing(open_publisher(app)) as ours:
        ours.nudge(DELIVER_TASK)
        broker_server.suspend()
        try:
            with pytest.raises(NotConfirmed, match="did not confirm 1 messages"):
                ours.nudge(DELIVER_TASK)
        finally:
            broker_server.resume()
        ours.nudge(DELIVER_TASK)


@on_redis
def test_a_program_that_submits_keeps_no_connection_to_the_broker(broker: Redis) -> None:
    before = broker.connections()
    assert wake_dispatcher(load(broker_url=broker.url))
    # Redis hears of the end of a connection a moment later.
    wait_for(lambda: not broker.connections() - before)
