"""The job by hand on Dramatiq: a pipeline of three actors for each item, the same steps as on Celery.

Dramatiq acknowledges late, and tries again with exponential backoff by itself. The way is `threads-N`: N threads in all
in as many processes as there may be. Each process takes two messages for each thread ahead, which is the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import psycopg
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from benchmarks.contestants import table
from benchmarks.contestants.program import READY, Crew, Row, Submit, broker_url_of, place
from benchmarks.contestants.synchronous import Result, Steps

NAME = "benchmarks.contestants.dramatiq_pipeline"
RETRY: dict[str, Any] = {"max_retries": 5, "min_backoff": 1_000}

HERE = place()
THREADS = max(1, int(HERE.way.partition("-")[2]) // HERE.processes)
steps = Steps(HERE, connections=THREADS)


class Ready(dramatiq.Middleware):
    """Says when a process consumes."""

    def after_worker_boot(self, broker: object, worker: object) -> None:
        print("worker" + READY, flush=True)


broker_url = broker_url_of(HERE)
broker = (RedisBroker if broker_url.startswith("redis:") else RabbitmqBroker)(
    # Pika writes the default virtual host so; kombu's `//` means the same.
    url=f"{broker_url[:-1]}%2F" if broker_url.endswith("//") else broker_url
)
broker.add_middleware(Ready())
dramatiq.set_broker(broker)


@dramatiq.actor(**RETRY)
def classify(number: int) -> int:
    """Label an item."""
    return steps.classify(number)


@dramatiq.actor(**RETRY)
def enrich(number: int) -> Result:
    """Enrich an item."""
    return steps.enrich(number)


@dramatiq.actor(**RETRY)
def call_back(result: Result) -> None:
    """Post a result."""
    steps.call_back(result)


class DramatiqPipeline:
    """The job on Dramatiq."""

    def prepare(self) -> None:
        table.make(HERE.database_url)

    def crew(self) -> Crew:
        command = ("-m", "dramatiq", NAME, "--processes", str(HERE.processes), "--threads", str(THREADS))
        return Crew((command,), HERE.processes)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        with psycopg.connect(HERE.database_url) as connection:

            def submit(first: int, count: int) -> None:
                table.fill(connection, first, count)
                for number in range(first, first + count):
                    dramatiq.pipeline([classify.message(number), enrich.message(), call_back.message()]).run()

            yield submit

    def stored(self) -> tuple[int, Iterable[Row]]:
        return table.stored(HERE.database_url)


contestant = DramatiqPipeline()
