"""The job by hand on DBOS, whose queue and checkpoints are in the database: a workflow of three steps per item.

As a good engineer would have it in an afternoon:
- each step is recorded when it is done, so that a workflow whose worker was killed resumes behind its last one;
- a step is retried with exponential backoff; repeating one of the first two changes nothing. DBOS's own transactions,
  which record a step together with its data, were slower;
- workflows are enqueued a thousand in a transaction;
- the queue is polled 20 times a second instead of once, and each process has four workflows at hand for each thread.

The way is `threads-N`: N threads in all in as many processes as there may be, on PostgreSQL; on SQLite, in the program
that submits, as the pipeline's embedded mode has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import psycopg
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, run_dbos_database_migrations
from sqlalchemy import Engine, create_engine

from benchmarks.contestants import sqlite_table, table
from benchmarks.contestants.program import READY, Crew, Row, Submit, place
from benchmarks.contestants.synchronous import Result, Steps

NAME = "benchmarks.contestants.dbos_workflows"
QUEUE = "items"
#: Workflows that are enqueued in one transaction.
SUBMIT_TOGETHER = 1_000
#: Workflows that a process claims for each of its threads.
AT_HAND = 4
POLLING_SECONDS = 0.05
OPTIONS: EnqueueOptions = {"workflow_name": "process", "queue_name": QUEUE}
RETRY: dict[str, Any] = {"retries_allowed": True, "max_attempts": 5, "interval_seconds": 1.0, "backoff_rate": 2.0}

HERE = place()
IS_EMBEDDED = HERE.database_url.startswith("sqlite:")
PROCESSES = 0 if IS_EMBEDDED else HERE.processes
THREADS = max(1, int(HERE.way.partition("-")[2]) // max(1, PROCESSES))
URL = HERE.database_url.replace("postgresql:", "postgresql+psycopg:")
steps = Steps(HERE, connections=THREADS)
if IS_EMBEDDED:
    sqlite_table.tune_all_engines()


@DBOS.step(**RETRY)
def classify(number: int) -> None:
    """Label an item."""
    steps.classify(number)


@DBOS.step(**RETRY)
def enrich(number: int) -> Result:
    """Enrich an item."""
    return steps.enrich(number)


@DBOS.step(**RETRY)
def call_back(result: Result) -> None:
    """Post a result."""
    steps.call_back(result)


@DBOS.workflow()
def process(number: int) -> None:
    """Do the whole job for an item."""
    classify(number)
    call_back(enrich(number))


def consume(worker: int) -> None:
    """Work until killed.

    Args:
        worker: its number. Without names of their own, each would take what the others work on for left behind.
    """
    _launch(f"worker-{worker}")
    print("worker" + READY, flush=True)
    Event().wait()


def _launch(worker: str) -> None:
    config: DBOSConfig = {
        "name": "benchmark",
        "application_version": "1",
        "executor_id": worker,
        "system_database_url": URL,
        "sys_db_pool_size": THREADS + 2,
        "max_executor_threads": THREADS,
        "log_level": "WARNING",
        "run_migrations": False,
    }
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=THREADS * AT_HAND, polling_interval_sec=POLLING_SECONDS)


class DbosWorkflows:
    """The job on DBOS."""

    def prepare(self) -> None:
        (sqlite_table if IS_EMBEDDED else table).make(HERE.database_url)
        run_dbos_database_migrations(URL)

    def crew(self) -> Crew:
        code = f"import {NAME} as program; program.consume"
        return Crew(tuple(("-c", f"{code}({worker})") for worker in range(PROCESSES)), PROCESSES)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        if IS_EMBEDDED:
            _launch("embedded")
        engine = create_engine(URL)
        client = DBOSClient(system_database_url=URL)

        def submit(first: int, count: int) -> None:
            _fill(engine, first, count)
            for start in range(first, first + count, SUBMIT_TOGETHER):
                with engine.begin() as transaction:
                    for number in range(start, min(start + SUBMIT_TOGETHER, first + count)):
                        client.enqueue_in_transaction(transaction, OPTIONS, number)

        yield submit
        client.destroy()
        engine.dispose()
        if IS_EMBEDDED:
            DBOS.destroy()

    def stored(self) -> tuple[int, Iterable[Row]]:
        return (sqlite_table if IS_EMBEDDED else table).stored(HERE.database_url)


def _fill(engine: Engine, first: int, count: int) -> None:
    if IS_EMBEDDED:
        sqlite_table.fill(engine, first, count)
        return
    with psycopg.connect(HERE.database_url) as connection:
        table.fill(connection, first, count)


contestant = DbosWorkflows()
