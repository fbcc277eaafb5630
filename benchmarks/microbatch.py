"""What the size of micro-batches and the wait for company do to throughput and to a lone item.

python -m benchmarks.microbatch [--items 10000] [--sizes 1 --sizes 128] [--waits 0 --waits 5] [--json FILE]
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import click
from sqlalchemy import text

from benchmarks.figures import Figures, json_option, share, write
from benchmarks.passage import passage, require, row_of, submit, warm
from benchmarks.processes import processor_seconds
from benchmarks.stand import BROKERS, Stand, stand
from pipeline.database.instant import Instant
from pipeline.settings import Settings

#: Between two lone items.
PACE_SECONDS = 0.05

_TIMES = text("SELECT created_at, finished_at FROM items WHERE batch_id BETWEEN :first AND :last").columns(
    created_at=Instant, finished_at=Instant
)


@click.command()
@click.option("--items", default=10_000, show_default=True, help="Of each run; a fifth where they travel alone.")
@click.option("--lone", default=100, show_default=True, help="Items that are submitted one by one, 20 a second.")
@click.option("--sizes", multiple=True, default=(1, 8, 32, 128, 512), show_default=True)
@click.option("--waits", multiple=True, default=(0.0, 5.0, 20.0), show_default=True, help="Milliseconds.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@json_option
def main(
    items: int, lone: int, sizes: tuple[int, ...], waits: tuple[float, ...], broker: str, json_file: Path | None
) -> None:
    """Measure each size with the default wait, and each wait with the default size."""
    usual = Settings()
    pairs = [(size, usual.batch_wait_ms) for size in sizes]
    pairs += [(usual.batch_items, wait) for wait in waits if wait != usual.batch_wait_ms]
    heads = {"wait, ms": "g", "items/s": ",.0f", "stages, ms an item": ".2f", "lone p50, ms": ".0f", "p95, ms": ".0f"}
    figures = Figures("items in a micro-batch", heads)
    with stand(broker, processes=0) as ready:
        for size, wait in pairs:
            with ready.crew(batch_items=size, batch_wait_ms=wait) as (_, stages):
                warm(ready)
                before = processor_seconds([stages])
                run = passage(ready, items if size > 1 else items // 5)
                spent = processor_seconds([stages]) - before
                latencies = _lone(ready, lone)
            parts = [share(latencies, part) * 1e3 for part in (0.5, 0.95)]
            figures.add(size, wait, run.rate, spent / run.items * 1e3, *parts)
    write(json_file, figures)


def _lone(ready: Stand, number: int) -> list[float]:
    """Submit items one by one; return the seconds from each submission to the item's end."""
    started, batches = time.monotonic(), []
    for count in range(number):
        time.sleep(max(0.0, started + count * PACE_SECONDS - time.monotonic()))
        batches.append(submit(ready, 1))
    for batch in batches:
        batch.wait(60)
        require(ready.cluster.database, batch, 1)
    with ready.cluster.database.read() as connection:
        first, last = row_of(connection, batches[0]), row_of(connection, batches[-1])
        rows = connection.execute(_TIMES, {"first": first, "last": last})
        times: list[tuple[datetime, datetime]] = [(row.created_at, row.finished_at) for row in rows]
    return [(finished - created).total_seconds() for created, finished in times]


if __name__ == "__main__":
    main()
