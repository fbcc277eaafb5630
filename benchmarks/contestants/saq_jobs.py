"""The job by hand on SAQ: three jobs for each item, each enqueues the next.

A job is kept in a list of active ones until it is done, and swept from there when its worker was killed. It is retried
with exponential backoff and jitter; no result is kept. The way is `coroutines-N`: N at once in all in as many processes
as there may be, each with a connection to the database and one to the receiver.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import uvloop
from saq import Queue, Worker

from benchmarks.contestants import table
from benchmarks.contestants.asynchronous import Steps
from benchmarks.contestants.program import READY, Crew, Row, Submit, broker_url_of, place

NAME = "benchmarks.contestants.saq_jobs"
#: Messages that are on their way to the broker at once.
SUBMIT_TOGETHER = 100
JOB: dict[str, Any] = {"retries": 5, "retry_delay": 1.0, "retry_backoff": True, "ttl": -1}

HERE = place()
AT_ONCE = max(1, int(HERE.way.partition("-")[2]) // HERE.processes)
steps = Steps(HERE, connections=AT_ONCE)
queue = Queue.from_url(broker_url_of(HERE), max_concurrent_ops=SUBMIT_TOGETHER)


async def classify(_: object, *, number: int) -> None:
    """Label an item."""
    await steps.classify(number)
    await queue.enqueue("enrich", number=number, **JOB)


async def enrich(_: object, *, number: int) -> None:
    """Enrich an item."""
    number, label, enrichment = await steps.enrich(number)
    await queue.enqueue("call_back", number=number, label=label, enrichment=enrichment, **JOB)


async def call_back(_: object, *, number: int, label: str, enrichment: dict[str, int]) -> None:
    """Post a result."""
    await steps.call_back(number, label, enrichment)


def consume() -> None:
    """Work until killed."""
    logging.getLogger("saq").setLevel(logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_consume())


async def _consume() -> None:
    async with steps:
        await queue.connect()
        print("worker" + READY, flush=True)
        await Worker(queue, [classify, enrich, call_back], concurrency=AT_ONCE).start()


class SaqJobs:
    """The job on SAQ."""

    def prepare(self) -> None:
        table.make(HERE.database_url)

    def crew(self) -> Crew:
        return Crew((("-c", f"import {NAME} as program; program.consume()"),) * HERE.processes, HERE.processes)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        with psycopg.connect(HERE.database_url) as connection, asyncio.Runner() as runner:
            runner.run(queue.connect())

            def submit(first: int, count: int) -> None:
                table.fill(connection, first, count)
                runner.run(_send(range(first, first + count)))

            yield submit
            runner.run(queue.disconnect())

    def stored(self) -> tuple[int, Iterable[Row]]:
        return table.stored(HERE.database_url)


async def _send(numbers: range) -> None:
    for start in range(0, len(numbers), SUBMIT_TOGETHER):
        together = numbers[start : start + SUBMIT_TOGETHER]
        await asyncio.gather(*(queue.enqueue("classify", number=number, **JOB) for number in together))


contestant = SaqJobs()
