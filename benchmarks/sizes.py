"""What an item costs as batches grow from a thousand items to a hundred thousand, or to a million: the same.

python -m benchmarks.sizes [--items 1000 --items 10000 --items 100000] [--processes 1] [--broker redis|rabbitmq]
"""

from __future__ import annotations

import time
from pathlib import Path

import click

from benchmarks import meter
from benchmarks.figures import Figures, json_option, write
from benchmarks.passage import LONGEST_SECONDS, require, submit, warm
from benchmarks.stand import BROKERS, stand

#: Items of each row at the least, in as many batches: a thousand alone are over before a clock of 10 ms tells much.
LEAST_ITEMS = 5_000


@click.command()
@click.option("--items", "sizes", multiple=True, default=(1_000, 10_000, 100_000), show_default=True)
@click.option("--processes", default=1, show_default=True, help="Worker processes for the stages.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@json_option
def main(sizes: tuple[int, ...], processes: int, broker: str, json_file: Path | None) -> None:
    """Measure batches one after the other, from the call that submits one to its last item's end."""
    with stand(broker, processes=processes) as ready:
        warm(ready)
        costs = [f"{part}, ms" for part in meter.read(ready).processor]
        figures = Figures("items", {"items/s": ",.0f"} | dict.fromkeys(costs, ".3f") | {"log, bytes": ",.0f"})
        for size in sizes:
            rounds = max(1, LEAST_ITEMS // size)
            seconds, before = 0.0, meter.read(ready)
            batches = []
            for _ in range(rounds):
                started = time.monotonic()
                batches.append(submit(ready, size))
                batches[-1].wait(LONGEST_SECONDS)
                seconds += time.monotonic() - started
            used = meter.read(ready) - before
            for batch in batches:
                require(ready.cluster.database, batch, size)
            items = size * rounds
            spent = [each / items * 1e3 for each in used.processor.values()]
            figures.add(f"{rounds} × {size:,}", items / seconds, *spent, used.log / items)
    write(json_file, figures)


if __name__ == "__main__":
    main()
