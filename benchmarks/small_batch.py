"""How long a small batch takes behind a big one, from the call that submits it to its last item, and where that goes.

python -m benchmarks.small_batch [--items 100000] [--rounds 10] [--on redis|rabbitmq|embedded]
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import text

import pipeline
from benchmarks.figures import Figures, json_option, write
from benchmarks.job import text_of
from benchmarks.passage import LONGEST_SECONDS, require, row_of
from benchmarks.stand import BROKERS, DEFINITION, stand
from pipeline import Batch, Client
from pipeline.database.engine import Database
from pipeline.database.instant import Instant
from workers.garbage_collector import calm

#: Of the small batch.
SMALL = 20
#: Between two small batches.
APART_SECONDS = 1.0
#: Items of the big batch that are done before the first small one.
IN_FLOW = 2_000

_TIMES = text(
    "SELECT max(queued_at) AS queued, max(started_at) AS started, max(finished_at) AS finished FROM items "
    "WHERE batch_id = :batch"
).columns(queued=Instant, started=Instant, finished=Instant)


@click.command()
@click.option("--items", default=100_000, show_default=True, help="Of the big batch.")
@click.option("--rounds", default=10, show_default=True, help="Small batches, one after the other.")
@click.option("--on", type=click.Choice([*BROKERS, "embedded"]), default="redis", show_default=True)
@click.option("--processes", default=1, show_default=True, help="Worker processes for the stages.")
@json_option
def main(items: int, rounds: int, on: str, processes: int, json_file: Path | None) -> None:
    """Measure small batches in milliseconds: from one step of its last item to the next, and in all."""
    heads = ("submitted", "released", "claimed", "finished", "seen", "in all")
    figures = Figures(f"{SMALL} behind {items:,}, ms", dict.fromkeys(heads, ".0f"))
    with _embedded() if on == "embedded" else _divided(on, processes) as (client, database, definition):
        big = _submit(client, definition, items)
        while big.progress().final < IN_FLOW:
            time.sleep(0.1)
        found = []
        for number in range(1, rounds + 1):
            time.sleep(APART_SECONDS)
            found.append(_small(client, database, definition))
            figures.add(f"round {number}", *found[-1])
            if big.progress().is_complete:
                raise click.ClickException("the big batch was done before the last small one; give it more items")
        columns = list(zip(*found, strict=True))
        figures.add("median", *map(statistics.median, columns))
        figures.add("worst", *map(max, columns))
        big.cancel()
    write(json_file, figures)


def _small(client: Client, database: Database, definition: Path) -> list[float]:
    """Submit a small batch and wait for it; return the milliseconds of each step, and of all of them."""
    called = datetime.now(UTC)
    batch = _submit(client, definition, SMALL)
    accepted = datetime.now(UTC)
    batch.wait(LONGEST_SECONDS)
    seen = datetime.now(UTC)
    require(database, batch, SMALL)
    with database.read() as connection:
        times = connection.execute(_TIMES, {"batch": row_of(connection, batch)}).one()
    steps = [called, accepted, times.queued, times.started, times.finished, seen]
    spans = [(end - begin).total_seconds() * 1e3 for begin, end in zip(steps, steps[1:], strict=False)]
    return [*spans, (seen - called).total_seconds() * 1e3]


def _submit(client: Client, definition: Path, items: int) -> Batch:
    return client.submit(({"text": text_of(number)} for number in range(items)), str(definition))


@contextmanager
def _divided(broker: str, processes: int) -> Iterator[tuple[Client, Database, Path]]:
    with stand(broker, processes=processes) as ready:
        yield ready.cluster.client, ready.cluster.database, ready.cluster.folder / "benchmark.toml"


@contextmanager
def _embedded() -> Iterator[tuple[Client, Database, Path]]:
    # As `pipeline run` does: this process is our own.
    calm()
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name:
        definition = Path(name) / "benchmark.toml"
        definition.write_text(DEFINITION)
        url = f"sqlite:///{name}/pipeline.db"
        with pipeline.connect(database_url=url) as client:
            database = Database(url)
            try:
                yield client, database, definition
            finally:
                database.close()


if __name__ == "__main__":
    main()
