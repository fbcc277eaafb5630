"""The job by hand on Celery: a chain of three tasks for each item.

As a good engineer would have it in an afternoon:
- messages carry ids; the callback is a task of its own, so that a receiver that is down repeats no enrichment;
- acknowledged late, tried again with exponential backoff and jitter;
- no result backend, no events, no gossip, no mingling, warnings only: what nobody reads is not written;
- connections are kept, one producer submits everything, in batches where the transport has them, and items come into
  the table by COPY.

The ways are `prefork-N`, N children in all, and `threads-N`, N threads in all in as many processes as there may be.
Each child or thread has four messages at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import requests
from celery import Celery, chain
from celery.signals import worker_ready

from benchmarks.contestants import table
from benchmarks.contestants.program import READY, Crew, Row, Submit, broker_url_of, place
from benchmarks.contestants.synchronous import Result, Steps

NAME = "benchmarks.contestants.celery_chain"
#: Messages that go to the broker together.
SUBMIT_TOGETHER = 500
RETRY: dict[str, Any] = {"retry_backoff": True, "retry_jitter": True, "max_retries": 5}

HERE = place()
POOL, _, _in_all = HERE.way.partition("-")
#: The main process of a prefork pool takes messages for all its children.
NODES = 1 if POOL == "prefork" else HERE.processes
CONCURRENCY = max(1, int(_in_all or 1) // NODES)

app = Celery(NAME, broker=broker_url_of(HERE))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    worker_disable_rate_limits=True,
    broker_connection_retry_on_startup=True,
)
steps = Steps(HERE, connections=CONCURRENCY if POOL == "threads" else 1)


@app.task(autoretry_for=(Exception,), **RETRY)
def classify(number: int) -> int:
    """Label an item."""
    return steps.classify(number)


@app.task(autoretry_for=(Exception,), **RETRY)
def enrich(number: int) -> Result:
    """Enrich an item."""
    return steps.enrich(number)


@app.task(autoretry_for=(requests.RequestException,), **RETRY)
def call_back(result: Result) -> None:
    """Post a result."""
    steps.call_back(result)


@worker_ready.connect
def _on_ready(**_: object) -> None:
    print("worker" + READY, flush=True)


class CeleryChain:
    """The job on Celery."""

    def prepare(self) -> None:
        table.make(HERE.database_url)

    def crew(self) -> Crew:
        command: tuple[str, ...] = ("-m", "celery", "--app", NAME, "--quiet", "worker", "--pool", POOL)
        command += ("--concurrency", str(CONCURRENCY), "--loglevel", "warning")
        command += ("--without-gossip", "--without-mingle", "--without-heartbeat")
        return Crew(tuple((*command, "--hostname", f"node{node}@%h") for node in range(NODES)), NODES)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        with psycopg.connect(HERE.database_url) as connection, app.producer_pool.acquire(block=True) as producer:

            def submit(first: int, count: int) -> None:
                table.fill(connection, first, count)
                with producer.batch(SUBMIT_TOGETHER):
                    for number in range(first, first + count):
                        chain(classify.s(number), enrich.s(), call_back.s()).apply_async(producer=producer)

            yield submit

    def stored(self) -> tuple[int, Iterable[Row]]:
        return table.stored(HERE.database_url)


contestant = CeleryChain()
