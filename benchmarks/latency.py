"""How soon the first webhook follows a big submission, and a webhook its item's end at a steady pace.

python -m benchmarks.latency [--items 20000] [--rounds 3] [--rate 100] [--seconds 20] [--broker redis|rabbitmq]
"""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
from sqlalchemy import text

from benchmarks.comparison.receiver import Receiver
from benchmarks.figures import Figures, json_option, share, write
from benchmarks.passage import WARM_UP_ITEMS, require, row_of, submit
from benchmarks.stand import BROKERS, Stand, stand
from pipeline import Batch
from pipeline.database.instant import Instant
from pipeline.domain.ids import split_webhook_id

LOOK_SECONDS = 0.002
#: Between two submissions at a steady pace.
PACE_SECONDS = 0.1

_TIMES = text(
    """
    SELECT i.created_at, i.finished_at, coalesce(d.started_at, a.started_at) AS started_at FROM items i
    JOIN events e ON e.batch_id = i.batch_id AND e.item_id = i.id
    JOIN deliveries d ON d.batch_id = e.batch_id AND d.seq = e.seq
    LEFT JOIN attempts a ON a.delivery_id = d.id AND a.number = 1
    WHERE (d.started_at IS NOT NULL OR a.id IS NOT NULL) AND i.batch_id BETWEEN :first AND :last
    """
).columns(created_at=Instant, finished_at=Instant, started_at=Instant)


class Times(NamedTuple):
    """Of one item."""

    submitted: datetime
    finished: datetime
    sent: datetime


@click.command()
@click.option("--items", default=20_000, show_default=True, help="Of the big submission.")
@click.option("--rounds", default=3, show_default=True, help="Big submissions, one after the other.")
@click.option("--rate", default=100, show_default=True, help="Items a second at a steady pace.")
@click.option("--seconds", default=20.0, show_default=True, help="Of the steady pace.")
@click.option("--broker", type=click.Choice(list(BROKERS)), default="redis", show_default=True)
@json_option
def main(items: int, rounds: int, rate: int, seconds: float, broker: str, json_file: Path | None) -> None:
    """Measure latencies in milliseconds: of the first webhook of each round, and of each webhook at a steady pace."""
    with stand(broker) as ready, Receiver() as receiver:
        _called_back(ready, receiver, [submit(ready, WARM_UP_ITEMS, receiver.url)], WARM_UP_ITEMS)
        first = Figures(
            f"first of {items:,}, ms", dict.fromkeys(("accepted in", "first webhook", "from the call"), ".0f")
        )
        for number in range(1, rounds + 1):
            first.add(f"round {number}", *_first(ready, receiver, items))
        steady = Figures(f"{rate} items/s, ms", dict.fromkeys(("p50", "p95", "p99", "most"), ".0f"))
        times = _steady(ready, receiver, int(rate * PACE_SECONDS), int(seconds / PACE_SECONDS))
        for name, values in {
            "submitted to finished": [(each.finished - each.submitted).total_seconds() for each in times],
            "finished to request": [(each.sent - each.finished).total_seconds() for each in times],
        }.items():
            steady.add(name, *(share(values, part) * 1e3 for part in (0.5, 0.95, 0.99, 1)))
    write(json_file, first, steady)


def _first(ready: Stand, receiver: Receiver, items: int) -> list[float]:
    """Submit a batch; return when it was accepted, and when its first webhook came, after that and after the call."""
    receiver.forget()
    called = time.monotonic()
    batch = submit(ready, items, receiver.url)
    accepted = time.monotonic()
    while not receiver.ids():
        time.sleep(LOOK_SECONDS)
    came = time.monotonic()
    _called_back(ready, receiver, [batch], items)
    return [(end - begin) * 1e3 for begin, end in ((called, accepted), (accepted, came), (called, came))]


def _steady(ready: Stand, receiver: Receiver, items: int, times: int) -> list[Times]:
    """Submit so many items so many times; return when each was submitted, finished, and its request began."""
    receiver.forget()
    started, batches = time.monotonic(), []
    for number in range(times):
        time.sleep(max(0.0, started + number * PACE_SECONDS - time.monotonic()))
        batches.append(submit(ready, items, receiver.url))
    pace = items * times / (time.monotonic() - started + PACE_SECONDS)
    click.echo(f"submitted at {pace:.0f} items a second")
    _called_back(ready, receiver, batches, items)
    with ready.cluster.database.read() as connection:
        first, last = row_of(connection, batches[0]), row_of(connection, batches[-1])
        rows = connection.execute(_TIMES, {"first": first, "last": last})
        return [Times(*row) for row in rows]


def _called_back(ready: Stand, receiver: Receiver, batches: list[Batch], items: int) -> None:
    """Wait for the webhooks of these batches, of so many items each; they are all there is."""
    ready.cluster.wait_for(lambda: len(receiver.ids()) >= items * len(batches), 300)
    of_batch = defaultdict(list)
    for name in receiver.ids():
        parts = split_webhook_id(name)
        of_batch[parts[0] if parts else ""].append(name)
    for batch in batches:
        require(ready.cluster.database, batch, items, of_batch[batch.id])


if __name__ == "__main__":
    main()
