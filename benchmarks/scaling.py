"""What further stage processes bring: the same batch with 1, 2, 3 and 4 of them.

python -m benchmarks.scaling [--items 20000] [--processes 1 --processes 4] [--broker redis|rabbitmq] [--json FILE]
"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.figures import Figures, json_option, write
from benchmarks.passage import passage, warm
from benchmarks.processes import processor_seconds
from benchmarks.stand import BROKERS, stand


@click.command()
@click.option("--items", default=20_000, show_default=True)
@click.option("--processes", multiple=True, default=(1, 2, 3, 4), show_default=True, help="May be given again.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@json_option
def main(items: int, processes: tuple[int, ...], broker: str, json_file: Path | None) -> None:
    """Measure items a second. One more process dispatches; with PostgreSQL and the broker they share the cores."""
    figures = Figures("stage processes", {"items/s": ",.0f", "against one": ".2f", "stages, ms an item": ".2f"})
    first = 0.0
    with stand(broker, processes=0) as ready:
        for number in processes:
            with ready.crew(number) as (_, *stages):
                warm(ready)
                before = processor_seconds(stages)
                run = passage(ready, items)
                spent = processor_seconds(stages) - before
            first = first or run.rate
            figures.add(number, run.rate, run.rate / first, spent / items * 1e3)
    write(json_file, figures)


if __name__ == "__main__":
    main()
