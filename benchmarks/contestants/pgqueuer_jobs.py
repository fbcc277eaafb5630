"""The job by hand on PgQueuer, whose queue is in PostgreSQL: three jobs for each item, each enqueues the next.

Workers are woken by NOTIFY, take jobs and report them done in batches, and each job is retried with exponential backoff
by the library's own executor. Items are enqueued a thousand at a time. The ways are `coroutines-N`, N at once in all in
as many processes as there may be, and `uncapped-N`, in which a process takes whatever is due, which is the library's
default, and N in all have a connection to the database and one to the receiver.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import psycopg
import uvloop
from pgqueuer import DatabaseRetryEntrypointExecutor, Job, PgQueuer, Queries

from benchmarks.contestants import table
from benchmarks.contestants.asynchronous import Steps
from benchmarks.contestants.program import READY, Crew, Row, Submit, place

NAME = "benchmarks.contestants.pgqueuer_jobs"
SUBMIT_TOGETHER = 1_000
#: Of the library's own connections in each process: the dequeuing one, the listening one, and those that enqueue.
QUEUE_CONNECTIONS = 5
#: Jobs that an uncapped process takes together.
BATCH = 50

HERE = place()
CAP, _, _in_all = HERE.way.partition("-")
AT_ONCE = max(2, int(_in_all) // HERE.processes)


def consume() -> None:
    """Work until killed."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_consume())


async def _consume() -> None:
    steps = Steps(HERE, connections=AT_ONCE)
    pool = asyncpg.create_pool(HERE.database_url, min_size=QUEUE_CONNECTIONS, max_size=QUEUE_CONNECTIONS)
    async with pool, steps:
        queuer = PgQueuer.from_asyncpg_pool(pool)
        _register(queuer, Queries.from_asyncpg_pool(pool), steps)
        print("worker" + READY, flush=True)
        if CAP == "uncapped":
            await queuer.run(batch_size=BATCH)
        else:
            # The cap has to be at least twice the batch.
            await queuer.run(batch_size=AT_ONCE // 2, max_concurrent_tasks=AT_ONCE)


def _register(queuer: PgQueuer, queries: Queries, steps: Steps) -> None:
    @queuer.entrypoint("classify", executor_factory=DatabaseRetryEntrypointExecutor)
    async def classify(job: Job) -> None:
        number = _arguments(job)
        await steps.classify(number)
        await queries.enqueue("enrich", json.dumps(number).encode())

    @queuer.entrypoint("enrich", executor_factory=DatabaseRetryEntrypointExecutor)
    async def enrich(job: Job) -> None:
        result = await steps.enrich(_arguments(job))
        await queries.enqueue("call_back", json.dumps(result).encode())

    @queuer.entrypoint("call_back", executor_factory=DatabaseRetryEntrypointExecutor)
    async def call_back(job: Job) -> None:
        await steps.call_back(*_arguments(job))


def _arguments(job: Job) -> Any:
    return json.loads(job.payload or b"")


class PgqueuerJobs:
    """The job on PgQueuer."""

    def prepare(self) -> None:
        table.make(HERE.database_url)
        asyncio.run(_install())

    def crew(self) -> Crew:
        return Crew((("-c", f"import {NAME} as program; program.consume()"),) * HERE.processes, HERE.processes)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        with psycopg.connect(HERE.database_url) as connection, asyncio.Runner() as runner:
            queue = runner.run(asyncpg.connect(HERE.database_url))

            def submit(first: int, count: int) -> None:
                table.fill(connection, first, count)
                runner.run(_enqueue(Queries.from_asyncpg_connection(queue), range(first, first + count)))

            yield submit
            runner.run(queue.close())

    def stored(self) -> tuple[int, Iterable[Row]]:
        return table.stored(HERE.database_url)


async def _install() -> None:
    connection = await asyncpg.connect(HERE.database_url)
    queries = Queries.from_asyncpg_connection(connection)
    await queries.install()
    # As its documents advise for busy queues.
    await queries.optimize_autovacuum()
    await connection.close()


async def _enqueue(queries: Queries, numbers: range) -> None:
    for start in range(0, len(numbers), SUBMIT_TOGETHER):
        payloads: list[bytes | None] = [str(number).encode() for number in numbers[start : start + SUBMIT_TOGETHER]]
        await queries.enqueue(["classify"] * len(payloads), payloads, [0] * len(payloads))


contestant = PgqueuerJobs()
