"""The job by hand on Procrastinate, whose queue is in PostgreSQL: three jobs for each item, each defers the next.

Jobs that succeeded are deleted, which keeps the table small. Workers are woken by NOTIFY. Items are deferred a thousand
at a time. The way is `coroutines-N`: N at once in all in as many processes as there may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import procrastinate
import psycopg
import uvloop

from benchmarks.contestants import table
from benchmarks.contestants.asynchronous import Steps
from benchmarks.contestants.program import READY, Crew, Row, Submit, place

NAME = "benchmarks.contestants.procrastinate_jobs"
SUBMIT_TOGETHER = 1_000

HERE = place()
AT_ONCE = max(1, int(HERE.way.partition("-")[2]) // HERE.processes)
steps = Steps(HERE, connections=AT_ONCE)
app = procrastinate.App(
    # One more listens. Opened as they are needed: the program that submits needs one.
    connector=procrastinate.PsycopgConnector(conninfo=HERE.database_url, min_size=1, max_size=AT_ONCE + 1)
)
RETRY = procrastinate.RetryStrategy(max_attempts=5, exponential_wait=2)


@app.task(retry=RETRY)
async def classify(number: int) -> None:
    """Label an item."""
    await steps.classify(number)
    await enrich.defer_async(number=number)


@app.task(retry=RETRY)
async def enrich(number: int) -> None:
    """Enrich an item."""
    number, label, enrichment = await steps.enrich(number)
    await call_back.defer_async(number=number, label=label, enrichment=enrichment)


@app.task(retry=RETRY)
async def call_back(number: int, label: str, enrichment: dict[str, int]) -> None:
    """Post a result."""
    await steps.call_back(number, label, enrichment)


def consume() -> None:
    """Work until killed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_consume())


async def _consume() -> None:
    async with app.open_async(), steps:
        print("worker" + READY, flush=True)
        await app.run_worker_async(concurrency=AT_ONCE, delete_jobs="successful", listen_notify=True)


class ProcrastinateJobs:
    """The job on Procrastinate."""

    def prepare(self) -> None:
        table.make(HERE.database_url)
        with app.open():
            app.schema_manager.apply_schema()

    def crew(self) -> Crew:
        return Crew((("-c", f"import {NAME} as program; program.consume()"),) * HERE.processes, HERE.processes)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        with psycopg.connect(HERE.database_url) as connection, app.open():

            def submit(first: int, count: int) -> None:
                table.fill(connection, first, count)
                for start in range(first, first + count, SUBMIT_TOGETHER):
                    end = min(start + SUBMIT_TOGETHER, first + count)
                    classify.batch_defer(*({"number": number} for number in range(start, end)))

            yield submit

    def stored(self) -> tuple[int, Iterable[Row]]:
        return table.stored(HERE.database_url)


contestant = ProcrastinateJobs()
