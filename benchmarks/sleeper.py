"""What one item that sleeps does to the others of its batch: their callbacks, with it and without.

python -m benchmarks.sleeper [--items 200] [--seconds 30] [--rounds 5] [--broker redis|rabbitmq] [--json FILE]
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import click

from benchmarks.comparison.receiver import Receiver
from benchmarks.figures import Figures, json_option, write
from benchmarks.job import text_of
from benchmarks.passage import require
from benchmarks.stand import BROKERS, Stand, stand
from pipeline import Batch

DEFINITION = """
name = "sleeper"
[classify]
use = "benchmarks.stages:classify"
[[enrich]]
use = "benchmarks.stages:doze"
name = "enrich"
timeout_seconds = 3600
"""
LOOK_SECONDS = 0.002


@click.command()
@click.option("--items", default=200, show_default=True)
@click.option("--seconds", default=30.0, show_default=True, help="That one of them sleeps.")
@click.option("--rounds", default=5, show_default=True, help="With it and without, in turns.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@json_option
def main(items: int, seconds: float, rounds: int, broker: str, json_file: Path | None) -> None:
    """Measure from the call that submits a batch to the callback of the last item that does not sleep; medians."""
    found: dict[bool, list[float]] = {False: [], True: []}
    sleepers = []
    with stand(broker, content=DEFINITION) as ready, Receiver() as receiver:
        _called_back(ready, receiver, items, 0)
        for _ in range(rounds):
            for sleeps, times in found.items():
                batch, taken = _called_back(ready, receiver, items, seconds if sleeps else 0)
                times.append(taken)
                sleepers += [batch] if sleeps else []
        for batch in sleepers:
            batch.wait(2 * seconds)
            require(ready.cluster.database, batch, items)
    figures = Figures(f"{items - 1} of {items} items", dict.fromkeys(("called back, ms", "least", "most"), ".0f"))
    for sleeps, times in found.items():
        name = f"one sleeps {seconds:g} s" if sleeps else "nobody sleeps"
        figures.add(name, *(each * 1e3 for each in (statistics.median(times), min(times), max(times))))
    write(json_file, figures)


def _called_back(ready: Stand, receiver: Receiver, items: int, sleep_seconds: float) -> tuple[Batch, float]:
    """Submit a batch whose first item sleeps; return it, and when all the others were called back."""
    receiver.forget()
    payloads: list[dict[str, object]] = [{"text": text_of(number)} for number in range(items)]
    if sleep_seconds:
        payloads[0]["sleep_seconds"] = sleep_seconds
    started = time.monotonic()
    batch = ready.cluster.client.submit(payloads, ready.definition, callback_url=receiver.url)
    while len(receiver.ids()) < items - 1:
        time.sleep(LOOK_SECONDS)
    taken = time.monotonic() - started
    if not sleep_seconds:
        ready.cluster.wait_for(lambda: len(receiver.ids()) >= items)
        require(ready.cluster.database, batch, items, receiver.ids())
    elif batch.progress().final != items - 1:
        raise click.ClickException("the one that sleeps did not; this run does not count")
    return batch, taken


if __name__ == "__main__":
    main()
