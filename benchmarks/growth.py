"""One large batch from submit to the end: rate and memory as it goes on, and what an item costs each part.

python -m benchmarks.growth [--items 1000000] [--processes 2] [--broker redis|rabbitmq]
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from benchmarks.meter import read
from benchmarks.passage import require
from benchmarks.processes import memory
from benchmarks.stand import BROKERS, Stand, stand
from pipeline import Batch

#: Rows of the table.
PARTS = 20
LOOK_SECONDS = 0.5
MIB = 2**20


@click.command()
@click.option("--items", default=1_000_000, show_default=True)
@click.option("--processes", default=2, show_default=True, help="Worker processes for the stages.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
def main(items: int, processes: int, broker: str) -> None:
    """Measure one large batch."""
    with stand(broker, processes=processes) as ready:
        path = generate(ready.cluster.folder / "items.jsonl", items)
        click.echo(f"{items:,} items, {path.stat().st_size / MIB:,.0f} MiB")
        started = time.monotonic()
        batch = ready.cluster.client.submit(_read(path), ready.definition)
        taken = time.monotonic() - started
        click.echo(f"accepted in {taken:.1f} s, {items / taken:,.0f} items/s")
        _watch(ready, batch, items)
        require(ready.cluster.database, batch, items)
        _costs(ready, items)


def _watch(ready: Stand, batch: Batch, items: int) -> None:
    """Print a row whenever another part of the batch is final."""
    workers = ready.cluster.workers
    names = ["control, MiB", *(f"stages {number}, MiB" for number in range(1, len(workers))), "broker, MiB"]
    click.echo("".join(f"{head:>14}" for head in ("done", "items/s", *names, "status, ms")))
    begin, then = 0, time.monotonic()
    peaks = [0.0] * len(names)
    while begin < items:
        target = begin + items // PARTS
        while (final := batch.progress().final) < min(target, items):
            found = [*(memory(worker) for worker in workers), memory(ready.broker)]
            peaks = [max(pair) for pair in zip(peaks, found, strict=True)]
            time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        batch.progress()
        status = (time.monotonic() - now) * 1_000
        cells = [f"{final / items:.0%}", f"{(final - begin) / (now - then):,.0f}", *(f"{peak:,.0f}" for peak in peaks)]
        click.echo("".join(f"{cell:>14}" for cell in (*cells, f"{status:.1f}")))
        begin, then, peaks = final, now, [0.0] * len(names)


def _costs(ready: Stand, items: int) -> None:
    """Print what an item took: processor time of each part, log and space of the database."""
    used = read(ready)
    for name, seconds in used.processor.items():
        click.echo(f"{name:<12}{seconds / items * 1_000:8.3f} ms of a core for an item")
    click.echo(f"{'log':<12}{used.log / items:8,.0f} bytes for an item, its submission included")
    click.echo(f"{'space':<12}{used.space / items:8,.0f} bytes for an item")


def generate(path: Path, items: int) -> Path:
    """Write a file of so many items, as JSON Lines."""
    with path.open("wb") as file:
        for number in range(items):
            file.write(orjson.dumps({"key": f"k{number}", "text": f"short text number {number}"}) + b"\n")
    return path


def _read(path: Path) -> Iterator[dict[str, object]]:
    with path.open("rb") as file:
        for line in file:
            yield orjson.loads(line)


if __name__ == "__main__":
    main()
