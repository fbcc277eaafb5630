"""A batch through a stand, timed; it counts only if it came through whole."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import click
import orjson
from sqlalchemy import Connection, text

from benchmarks.comparison.completeness import Outcome, complaints
from benchmarks.job import enrichment_of, label_of, text_of
from benchmarks.stand import Stand
from pipeline import Batch
from pipeline.batches.find import find_batch
from pipeline.database.engine import Database

#: Before anything is timed: connections, caches, definitions.
WARM_UP_ITEMS = 300
#: A batch that takes longer has stopped.
LONGEST_SECONDS = 600.0

_ITEMS = text("SELECT payload, label, enrichment, state FROM items WHERE batch_id = :batch")


@dataclass(frozen=True)
class Passage:
    """How a batch came through: from the return of the call that submits it to its last item's end."""

    batch: Batch
    items: int
    seconds: float

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.seconds


def warm(ready: Stand) -> None:
    """Send some items through, so that everything has been done once."""
    passage(ready, WARM_UP_ITEMS)


def passage(ready: Stand, items: int) -> Passage:
    """Send items through and time them.

    Raises:
        click.ClickException: not all of them came through, or not right.
    """
    batch = submit(ready, items)
    started = time.monotonic()
    batch.wait(LONGEST_SECONDS)
    seconds = time.monotonic() - started
    require(ready.cluster.database, batch, items)
    return Passage(batch, items, seconds)


def submit(ready: Stand, items: int, callback_url: str | None = None) -> Batch:
    """Submit so many texts."""
    texts = ({"text": text_of(number)} for number in range(items))
    return ready.cluster.client.submit(texts, ready.definition, callback_url=callback_url)


def require(database: Database, batch: Batch, items: int, ids: Collection[str] | None = None) -> None:
    """See to it that a batch is stored whole and right, and called back once for each item where `ids` are given.

    Raises:
        click.ClickException: it is not; the run does not count.
    """
    stored = right = 0
    with database.read() as connection:
        # A million of them do not fit into memory.
        for row in connection.execution_options(yield_per=5_000).execute(_ITEMS, {"batch": row_of(connection, batch)}):
            stored += 1
            right += row.state == "succeeded" and _is_right(row.payload, row.label, row.enrichment)
    called = range(items) if ids is None else ids
    found = complaints(items, Outcome(stored, right, [str(each) for each in called]))
    if found:
        raise click.ClickException("this run does not count: " + "; ".join(found))


def row_of(connection: Connection, batch: Batch) -> int:
    """Return the id of a batch's row."""
    return int(find_batch(connection, batch.id)["id"])


def _is_right(payload: str, label: str, enrichment: str) -> bool:
    given = orjson.loads(payload)["text"]
    return label == label_of(given) and orjson.loads(enrichment)["enrich"] == enrichment_of(given)
