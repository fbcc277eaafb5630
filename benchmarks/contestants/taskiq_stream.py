"""The job by hand on taskiq: three tasks for each item, each sends the next, on a stream of Redis that is acknowledged.

A list would be faster and lose what a killed worker held. The event loop is uvloop, which taskiq takes where it is
installed. The way is `coroutines-N`: N at once in all in as many processes as there may be, each with a connection to
the database and one to the receiver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psycopg
from taskiq import SmartRetryMiddleware, TaskiqEvents
from taskiq_redis import RedisStreamBroker

from benchmarks.contestants import table
from benchmarks.contestants.asynchronous import Steps
from benchmarks.contestants.program import READY, Crew, Row, Submit, broker_url_of, place

NAME = "benchmarks.contestants.taskiq_stream"
#: Messages that are on their way to the broker at once.
SUBMIT_TOGETHER = 100

HERE = place()
AT_ONCE = max(1, int(HERE.way.partition("-")[2]) // HERE.processes)
steps = Steps(HERE, connections=AT_ONCE)
# From the stream's beginning: by default, what was sent before the first worker came is never read.
broker = RedisStreamBroker(broker_url_of(HERE), consumer_id="0").with_middlewares(
    SmartRetryMiddleware(
        default_retry_count=5, default_retry_label=True, default_delay=1, use_jitter=True, use_delay_exponent=True
    )
)


@broker.task
async def classify(number: int) -> None:
    """Label an item."""
    await steps.classify(number)
    await enrich.kiq(number)


@broker.task
async def enrich(number: int) -> None:
    """Enrich an item."""
    await call_back.kiq(*await steps.enrich(number))


@broker.task
async def call_back(number: int, label: str, enrichment: dict[str, int]) -> None:
    """Post a result."""
    await steps.call_back(number, label, enrichment)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _open(_: object) -> None:
    await steps.__aenter__()
    print("worker" + READY, flush=True)


class TaskiqStream:
    """The job on taskiq."""

    def prepare(self) -> None:
        table.make(HERE.database_url)

    def crew(self) -> Crew:
        command: tuple[str, ...] = ("-m", "taskiq", "worker", f"{NAME}:broker", "--workers", str(HERE.processes))
        command += ("--max-async-tasks", str(AT_ONCE), "--max-prefetch", str(AT_ONCE), "--log-level", "WARNING")
        return Crew((command,), HERE.processes)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        with psycopg.connect(HERE.database_url) as connection, asyncio.Runner() as runner:
            runner.run(broker.startup())

            def submit(first: int, count: int) -> None:
                table.fill(connection, first, count)
                runner.run(_send(range(first, first + count)))

            yield submit
            runner.run(broker.shutdown())

    def stored(self) -> tuple[int, Iterable[Row]]:
        return table.stored(HERE.database_url)


async def _send(numbers: range) -> None:
    for start in range(0, len(numbers), SUBMIT_TOGETHER):
        await asyncio.gather(*(classify.kiq(number) for number in numbers[start : start + SUBMIT_TOGETHER]))


contestant = TaskiqStream()
