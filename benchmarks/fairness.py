"""What a small batch waits behind a big one, what that costs the big one, and what weights give.

python -m benchmarks.fairness [--items 100000] [--rounds 8] [--broker redis|rabbitmq]
"""

from __future__ import annotations

import statistics
import time

import click

from benchmarks.stand import BROKERS, Stand, stand
from pipeline import Batch

#: Of the small batch.
SMALL = 20
#: One look at the big batch, with a small one in it or without.
SPAN_SECONDS = 5.0
WEIGHTS = (3, 1)


@click.command()
@click.option("--items", default=100_000, show_default=True, help="Of the big batch.")
@click.option("--rounds", default=8, show_default=True, help="Small batches, one after the other.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@click.option("--processes", default=1, show_default=True, help="Worker processes for the stages.")
def main(items: int, rounds: int, broker: str, processes: int) -> None:
    """Measure fair dispatch."""
    with stand(broker, processes=processes) as ready:
        behind(ready, items, rounds)
    with stand(broker, processes=processes) as ready:
        weights(ready, items // 4)


def behind(ready: Stand, items: int, rounds: int) -> None:
    """Submit small batches behind a big one, with spans in between in which the big one is alone."""
    big = _submit(ready, items, "big")
    _await_flow(big)
    latencies, ratios = [], []
    for _ in range(rounds):
        alone = _rate(big, SPAN_SECONDS)
        started, before = time.monotonic(), big.progress().final
        small = _submit(ready, SMALL, "small")
        small.wait(60)
        latencies.append(time.monotonic() - started)
        time.sleep(max(0.0, SPAN_SECONDS - latencies[-1]))
        beside = (big.progress().final - before) / (time.monotonic() - started)
        ratios.append(beside / alone)
        click.echo(
            f"  {latencies[-1]:5.2f} s for {SMALL} items; big batch {alone:,.0f}/s alone, {beside:,.0f}/s beside"
        )
        if big.progress().waiting < alone * SPAN_SECONDS * 3:
            break
    click.echo(f"{SMALL} behind {items:,}: median {statistics.median(latencies):.2f} s, worst {max(latencies):.2f} s")
    click.echo(f"the big batch beside small ones, against alone: {statistics.median(ratios):.3f}, {_spread(ratios)}")


def weights(ready: Stand, items: int) -> None:
    """Compare the progress of two fair keys while both have work waiting."""
    batches = [_submit(ready, items, f"key-{weight}", weight) for weight in WEIGHTS]
    for batch in batches:
        _await_flow(batch)
    heavy, light = batches
    ratios = []
    begin = [batch.progress().final for batch in batches]
    while heavy.progress().waiting > items // 10:
        time.sleep(SPAN_SECONDS)
        now = [batch.progress().final for batch in batches]
        ratios.append((now[0] - begin[0]) / max(1, now[1] - begin[1]))
        begin = now
    click.echo(f"weights {WEIGHTS[0]}:{WEIGHTS[1]}: {statistics.median(ratios):.2f}, {_spread(ratios)}")
    light.cancel()


def _submit(ready: Stand, items: int, key: str, weight: int = 1) -> Batch:
    texts = ({"text": f"{key} {number}"} for number in range(items))
    return ready.cluster.client.submit(texts, ready.definition, fair_key=key, weight=weight)


def _await_flow(batch: Batch) -> None:
    while batch.progress().final < 1_000:
        time.sleep(0.1)


def _rate(batch: Batch, seconds: float) -> float:
    begin, started = batch.progress().final, time.monotonic()
    time.sleep(seconds)
    return (batch.progress().final - begin) / (time.monotonic() - started)


def _spread(ratios: list[float]) -> str:
    return f"from {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} spans"


if __name__ == "__main__":
    main()
