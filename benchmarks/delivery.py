"""What a delivery costs: claim, sign, guard, POST and record, by one sender process on loopback.

python -m benchmarks.delivery [--deliveries 10000] [--rounds 3] [--against CHECKOUT]
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import text

from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema
from tests.support.receivers.owed import owe, to
from tests.support.servers.postgres import Postgres

#: Of an event's body: those of a result with a few fields.
BODY_BYTES = 700
LOOK_SECONDS = 0.1
HERE = Path(__file__).parents[1]


@click.command()
@click.option("--deliveries", default=10_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--against", type=click.Path(path_type=Path, exists=True), help="Another checkout, measured in turn with this one."
)
def main(deliveries: int, rounds: int, against: Path | None) -> None:
    """Measure the sender. Its own processor time counts, without the receiver's and PostgreSQL's."""
    costs: dict[tuple[str, Path], list[float]] = defaultdict(list)
    with sink() as port, tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as folder, Postgres() as postgres:
        for number in range(rounds):
            for checkout in filter(None, (against, HERE)):
                file = Path(folder) / f"{number}-{checkout == HERE}.db"
                for kind, url in (("SQLite", f"sqlite:///{file}"), ("PostgreSQL", postgres.database())):
                    costs[kind, checkout].append(_cost(url, checkout, port, deliveries))
    _report(costs, against)


@contextmanager
def sink(*options: str) -> Iterator[int]:
    """Run a receiver that costs little; yield its port."""
    command = [sys.executable, "-m", "benchmarks.sink", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield int(running.stdout.readline())
        finally:
            running.kill()


def _cost(url: str, checkout: Path, port: int, deliveries: int) -> float:
    """Return the seconds of a core that a delivery takes."""
    database = Database(url)
    upgrade_schema(database)
    owe(database, to(*[port] * deliveries), body=b'{"type":"item.completed","data":"%s"}' % (b"x" * BODY_BYTES))
    with subprocess.Popen(
        # Each checkout runs its own sender; the folder of the program differs between versions.
        [sys.executable, str(next(checkout.glob("tests/**/receivers/process.py"))), url],
        env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as sender:
        try:
            while _left(database) and sender.poll() is None:
                time.sleep(LOOK_SECONDS)
        finally:
            sender.send_signal(signal.SIGTERM)
            said, _ = sender.communicate()
    database.close()
    return float(said.split()[-1]) / deliveries


def _left(database: Database) -> bool:
    with database.read() as connection:
        query = "SELECT 1 FROM deliveries WHERE state IN ('pending', 'sending') LIMIT 1"
        return connection.scalar(text(query)) is not None


def _report(costs: dict[tuple[str, Path], list[float]], against: Path | None) -> None:
    for (kind, checkout), found in costs.items():
        middle = statistics.median(found)
        name = "" if checkout == HERE else f" in {checkout}"
        click.echo(
            f"{kind:<11}{1 / middle:8,.0f} deliveries per second of a core, {middle * 1e6:.0f} µs each "
            f"(from {min(found) * 1e6:.0f} to {max(found) * 1e6:.0f}){name}"
        )
    if against is not None:
        for kind in ("SQLite", "PostgreSQL"):
            pairs = zip(costs[kind, against], costs[kind, HERE], strict=True)
            click.echo(f"{kind:<11}{statistics.median(there / here for there, here in pairs):8.2f} times as fast")


if __name__ == "__main__":
    main()
