"""What Flower costs: the events of each item's tasks not sent, sent to nobody, and sent to a Flower that listens.

python -m benchmarks.events [--items 10000] [--rounds 3] [--broker redis|rabbitmq] [--json FILE]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks.figures import Figures, json_option, write
from benchmarks.passage import passage, warm
from benchmarks.processes import processor_seconds
from benchmarks.stand import BROKERS, Stand, stand
from tests.support.servers.server import Server
from workers.app import app

#: Until Flower has seen the last events of a run.
SETTLE_SECONDS = 2.0


class Flower(Server):
    """`pipeline flower`, which has workers send events."""

    name = "flower"

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self._environment = environment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _launch(self) -> None:
        options = ("--no-auth", "--port", str(self.port))
        self._spawn([sys.executable, "-m", "pipeline", "flower", *options], environment=self._environment)

    def _probe(self) -> None:
        if "listens on" not in self.log:
            raise OSError("it does not listen yet")


@click.command()
@click.option("--items", default=10_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@json_option
def main(items: int, rounds: int, broker: str, json_file: Path | None) -> None:
    """Measure items a second and processor time an item, the ways taking turns; medians."""
    ways = {"off": False, "on, nobody listens": True, "on, Flower listens": True}
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    with stand(broker, processes=0) as ready:
        for _ in range(rounds):
            for way, has_events in ways.items():
                found[way].append(_run(ready, items, has_events=has_events, has_flower="Flower" in way))
    heads = {"items/s": ",.0f", "against off": ".2f", "stages, ms an item": ".2f", "times off": ".1f"}
    figures = Figures("events", heads | {"Flower, ms an item": ".2f"})
    base = [statistics.median(values) for values in zip(*found["off"], strict=True)]
    for way, runs in found.items():
        rate, stages, flower = (statistics.median(values) for values in zip(*runs, strict=True))
        figures.add(way, rate, rate / base[0], stages, stages / base[1], flower)
    write(json_file, figures)


def _run(ready: Stand, items: int, *, has_events: bool, has_flower: bool) -> tuple[float, float, float]:
    """Return items a second, and the milliseconds of a core that an item takes of the stages and of Flower."""
    with ready.crew(task_events=has_events) as (_, stages), _flower(ready, has_flower) as flowers:
        if has_events:
            app.conf.broker_url = ready.broker.url
            app.control.enable_events()
        warm(ready)
        before, before_flower = processor_seconds([stages]), processor_seconds(flowers)
        run = passage(ready, items)
        spent = processor_seconds([stages]) - before
        if flowers:
            time.sleep(SETTLE_SECONDS)
        return run.rate, spent / items * 1e3, (processor_seconds(flowers) - before_flower) / items * 1e3


@contextmanager
def _flower(ready: Stand, is_wanted: bool) -> Iterator[list[Flower]]:
    if not is_wanted:
        yield []
        return
    with Flower(ready.cluster.environment) as flower:
        yield [flower]


if __name__ == "__main__":
    main()
