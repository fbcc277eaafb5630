"""Intakes that tests fill without a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
from sqlalchemy import select

from pipeline.batches.submission import Submission
from pipeline.context import Context
from pipeline.database.row import Row, rows
from pipeline.database.tables import batches, events, items
from pipeline.domain.event import EventType
from pipeline.intakes.consume import Consumed
from pipeline.intakes.intakes import register
from pipeline.intakes.rules.messages import Chunk, IntakeMessage, OffsetRange
from pipeline.intakes.rules.options import IntakeOptions
from tests.support.factories import make_definition

#: How long a source that has nothing is waited for.
IDLE = 0.1
#: Runs a consumer until its source is idle. Returns what it has done.
Consume = Callable[..., Consumed]


class Halted(Exception):
    """The test stops the consumer."""


class Stop:
    """Lets a consumer wait a number of times.

    Args:
        on_check: called with the number of the round, before each round.
    """

    def __init__(self, waits: int = 10, on_check: Callable[[int], object] = lambda number: None) -> None:
        self._waits, self._on_check, self._rounds = waits, on_check, 0

    def check(self) -> None:
        self._rounds += 1
        self._on_check(self._rounds)

    def wait(self, seconds: float) -> None:
        self._waits -= 1
        if not self._waits:
            raise Halted


def make_submission(folder: Path, **tables: object) -> Submission:
    """Return how the messages of an intake are processed."""
    return Submission(make_definition(folder, enrich=False, **tables))


def make_intake(context: Context, submission: Submission, **options: object) -> int:
    """Register an intake. Return its id."""
    found = register(context, "tickets", "redis://h:6379/0/s", submission, IntakeOptions(**options))  # type: ignore[arg-type]
    return int(found["id"])


def offset(number: int) -> str:
    return f"{number:020}"


def body(number: int) -> bytes:
    return orjson.dumps({"text": f"message {number}"})


def by_offsets(start: int, end: int) -> Chunk:
    """Return the messages of a partition from an offset to one before another."""
    messages = [IntakeMessage(body(each), "0", offset(each)) for each in range(start, end)]
    return Chunk(messages, (OffsetRange("0", offset(start), offset(end)),))


def by_ids(numbers: Sequence[int]) -> Chunk:
    return Chunk([IntakeMessage(body(each), message_id=f"m{each}") for each in numbers])


def stored_texts(context: Context) -> list[str]:
    """Return the texts of all items, in the order in which they were accepted."""
    with context.database.read() as connection:
        found = connection.scalars(select(items.c.payload).order_by(items.c.id))
        return [orjson.loads(each)["text"] for each in found]


def stored_batches(context: Context) -> list[Row]:
    with context.database.read() as connection:
        return rows(connection.execute(select(batches).order_by(batches.c.id)))


def completions(context: Context) -> int:
    with context.database.read() as connection:
        found = select(events.c.seq).where(events.c.type == EventType.BATCH_COMPLETED)
        return len(connection.execute(found).all())
