"""Enrichment that waits for a service elsewhere: how much of what its places allow is used.

python -m benchmarks.network [--items 8000] [--processes 1] [--broker redis|rabbitmq] [--json FILE]

Latencies are log-normal, with a median of 50 ms and a p99 of 2 s; they are the same in every run,
and cut at 20 s, before the enricher's timeout.
"""

from __future__ import annotations

import statistics
from dataclasses import fields
from pathlib import Path

import click
import orjson
from sqlalchemy import text

from benchmarks.figures import Figures, json_option, write
from benchmarks.job import text_of
from benchmarks.passage import passage, row_of, warm
from benchmarks.processes import processor_seconds
from benchmarks.stages import latency_of
from benchmarks.stand import BROKERS, Stand, stand
from pipeline import Batch
from pipeline.database.instant import Instant
from pipeline.stages.catalog.step import Step

DEFINITION = """
name = "network"
[classify]
use = "benchmarks.stages:classify"
[[enrich]]
use = "benchmarks.stages:wait"
name = "enrich"
"""
#: Calls under way at once in a process.
PLACES = int(next(str(each.default) for each in fields(Step) if each.name == "max_concurrency"))
_ENDS = text("SELECT payload, finished_at FROM items WHERE batch_id = :batch").columns(finished_at=Instant)


@click.command()
@click.option("--items", default=8_000, show_default=True)
@click.option("--processes", default=1, show_default=True, help="Worker processes for the stages.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@json_option
def main(items: int, processes: int, broker: str, json_file: Path | None) -> None:
    """Measure how much of their time places are taken, and what that makes in items a second.

    The time is that from submission to the beginning of the last call: after that, places are free for want of items.
    """
    mean = statistics.fmean(latency_of(text_of(number)) for number in range(items))
    allowed = PLACES * processes / mean
    heads = {"items/s": ",.0f", "allowed": ",.0f", "share": ".1%", "stages, ms an item": ".2f"}
    figures = Figures(f"{PLACES * processes} places, mean {mean * 1e3:.0f} ms", heads)
    with stand(broker, processes=processes, content=DEFINITION) as ready:
        warm(ready)
        _, *stages = ready.cluster.workers
        before = processor_seconds(stages)
        run = passage(ready, items)
        spent = processor_seconds(stages) - before
        share = _taken(ready, run.batch) / (PLACES * processes)
    figures.add(f"{items:,} items", share * allowed, allowed, share, spent / items * 1e3)
    write(json_file, figures)


def _taken(ready: Stand, batch: Batch) -> float:
    """Return how many places were taken in the mean."""
    with ready.cluster.database.read() as connection:
        rows = connection.execute(_ENDS, {"batch": row_of(connection, batch)}).all()
    submitted = batch.progress().created_at
    calls: list[tuple[float, float]] = []
    for row in rows:
        latency = latency_of(orjson.loads(row.payload)["text"])
        calls.append(((row.finished_at - submitted).total_seconds() - latency, latency))
    end = max(begin for begin, _ in calls)
    return sum(min(latency, end - begin) for begin, latency in calls) / end


if __name__ == "__main__":
    main()
