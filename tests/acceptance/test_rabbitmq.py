"""A Celery application that has nothing to do with pipeline, on the RabbitMQ transport that does things in bulk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import pools

from tests.support.servers.fixtures import on_rabbitmq
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.worker import ROOT, Worker, wait_for

pytestmark = [on_rabbitmq, pytest.mark.slow]

APPLICATION = """
import os, time
from celery import Celery

app = Celery("plain", broker=os.environ["BROKER"])
app.conf.update(
    broker_transport="workers.transports.rabbitmq.transport:RabbitMQTransport",
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue="plain",
    worker_prefetch_multiplier=50,
    # After a lost connection, Celery's consumer may stay at a limit of none, with any transport.
    worker_enable_prefetch_count_reduction=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
)

@app.task(name="note")
def note(number):
    time.sleep(0.02)
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{number}\\n")
"""
TASKS = 400


class Plain(Worker):
    """A worker of that application."""

    program = ("celery", "--app", "plain", "worker", "--concurrency", "2", "--loglevel", "info", "--queues", "plain")


class Notes:
    """What its tasks have written down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def numbers(self) -> list[int]:
        return [int(line) for line in self.path.read_text().split()] if self.path.exists() else []


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


@pytest.fixture
def app(broker: RabbitMQ) -> Iterator[Celery]:
    """The application, for sending and for asking its workers."""
    with Celery("plain", broker=broker.url, set_as_current=False) as made:
        yield made


# A prefork pool of Celery 5.7 that is stopped at work now and then waits forever, with any transport.
only_threads = pytest.mark.parametrize("worker", ["threads"], indirect=True)


@pytest.fixture(params=["threads", "prefork"])
def worker(request: pytest.FixtureRequest, broker: RabbitMQ, notes: Notes) -> Iterator[Worker]:
    """A worker with a pool of either kind."""
    folder = notes.path.parent
    (folder / "plain.py").write_text(APPLICATION)
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)]), "BROKER": broker.url}
    with Plain(environment | {"NOTES": str(notes.path)}, "--pool", request.param) as running:
        yield running


def send(app: Celery, numbers: range) -> None:
    with app.connection_for_write() as connection, connection.Producer() as producer, producer.batch():
        for number in numbers:
            app.send_task("note", (number,), producer=producer, queue="plain")


def left_behind(app: Celery) -> int:
    """Return how many messages wait, those included that the worker had not acknowledged when its connection ended."""
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel

        def has_no_consumer() -> bool:
            return not channel.queue_declare("plain", passive=True).consumer_count

        wait_for(has_no_consumer)
        return int(channel.queue_declare("plain", passive=True).message_count)


def answers(broker: RabbitMQ) -> list[Any]:
    """Ask workers whether they are there, over a new connection."""
    # Those of all applications of this process.
    pools.reset()
    with Celery("plain", broker=broker.url, set_as_current=False) as asking:
        return [answer for each in asking.control.ping(timeout=5, limit=1) for answer in each.values()]


@only_threads
def test_a_worker_that_is_stopped_gives_back_exactly_what_it_has_not_done(
    worker: Worker, app: Celery, notes: Notes
) -> None:
    send(app, range(TASKS))
    wait_for(lambda: len(notes.numbers) >= 50)
    worker.stop()
    done = notes.numbers
    assert len(done) < TASKS
    assert left_behind(app) == TASKS - len(done)
    worker.start()
    wait_for(lambda: len(notes.numbers) >= TASKS)
    assert sorted(notes.numbers) == list(range(TASKS))


def test_a_worker_answers_and_goes_on_after_a_lost_connection(
    worker: Worker, app: Celery, broker: RabbitMQ, notes: Notes
) -> None:
    send(app, range(TASKS))
    wait_for(lambda: len(notes.numbers) >= 50)
    assert answers(broker) == [{"ok": "pong"}]
    broker.close_connections()
    wait_for(lambda: set(notes.numbers) == set(range(TASKS)))
    # Until the worker has declared its queue for questions again, nobody hears them.
    wait_for(lambda: answers(broker) == [{"ok": "pong"}])
    worker.kill()
    assert left_behind(app) == 0
