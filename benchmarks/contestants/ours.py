"""The job on the pipeline: one definition, one call.

The ways are `split`, one process for dispatch and callbacks and the rest for the stages; `all`, every process does
everything; `embedded`, threads of the program that submits, on SQLite.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import orjson
from sqlalchemy import text

import pipeline
from benchmarks.contestants.program import Crew, Row, Submit, place
from benchmarks.job import SECRET_TEXT, text_of
from benchmarks.stand import DEFINITION
from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema

HERE = place()
os.environ |= {
    "PIPELINE_DATABASE_URL": HERE.database_url,
    "PIPELINE_WEBHOOK_SECRET": SECRET_TEXT,
    "PIPELINE_ALLOW_PRIVATE_CALLBACKS": "127.0.0.0/8",
    # As with the others: nobody looks.
    "PIPELINE_TASK_EVENTS": "false",
} | ({"PIPELINE_BROKER_URL": HERE.broker_url} if HERE.broker_url else {})

_STORED = text("SELECT payload, label, enrichment FROM items WHERE state = 'succeeded'")


class Ours:
    """The job on the pipeline."""

    def prepare(self) -> None:
        database = Database(HERE.database_url)
        upgrade_schema(database)
        database.close()

    def crew(self) -> Crew:
        worker = ("-m", "pipeline", "worker")
        if HERE.way == "embedded":
            return Crew((), 0)
        if HERE.way == "all" or HERE.processes == 1:
            return Crew(((*worker, "--processes", str(HERE.processes)),), HERE.processes)
        stages = (*worker, "--queues", "classify,enrich", "--processes", str(HERE.processes - 1))
        return Crew(((*worker, "--queues", "deliver,control"), stages), HERE.processes)

    @contextmanager
    def submitter(self) -> Iterator[Submit]:
        with open("benchmark.toml", "w", encoding="utf-8") as file:
            file.write(DEFINITION)
        with pipeline.connect() as client:

            def submit(first: int, count: int) -> None:
                items = ({"text": text_of(number)} for number in range(first, first + count))
                client.submit(items, "benchmark.toml", callback_url=HERE.callback_url)

            yield submit

    def stored(self) -> tuple[int, Iterable[Row]]:
        database = Database(HERE.database_url)
        with database.read() as connection:
            total = connection.scalar(text("SELECT count(*) FROM items"))
            rows = connection.execute(_STORED).all()
        database.close()
        return int(total or 0), [_row(*row) for row in rows]


def _row(payload: str, label: str, enrichment: str) -> Row:
    return Row(orjson.loads(payload)["text"], label, orjson.loads(enrichment)["enrich"])


contestant = Ours()
