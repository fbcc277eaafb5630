"""What tests of intakes share: a context whose clock they move, and what is submitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.batches.submission import Submission
from pipeline.bootstrap import make_context
from pipeline.connections.connection import NamedConnections
from pipeline.context import Context
from pipeline.intakes import intakes
from pipeline.intakes.consume import Consumed, Consumption, IntakeConsumer
from pipeline.intakes.rules.options import IntakeOptions
from pipeline.intakes.sources.open_source import locate
from pipeline.intakes.sources.source import IntakeReader
from pipeline.settings import load
from tests.support.clock import Clock
from tests.support.intaking import IDLE, Consume, Stop, make_submission


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(database_url: str, clock: Clock) -> Iterator[Context]:
    context = replace(make_context(load(database_url=database_url)), now=clock)
    yield context
    context.database.close()


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    return make_submission(tmp_path)


@pytest.fixture
def consume(context: Context, submission: Submission) -> Consume:
    def run(
        url: str,
        *,
        waits: int = 10,
        at_end: bool = False,
        on_check: Callable[[int], object] = lambda number: None,
        connections: NamedConnections | None = None,
        stop: Stop | None = None,
        **options: float,
    ) -> Consumed:
        given = IntakeOptions(**options)  # type: ignore[arg-type]
        place, open_source = locate(url, connections or NamedConnections())
        intake = intakes.register(context, place.name, url, submission, given)
        opened = partial(open_source, IntakeReader(place.name, given.chunk, at_end))
        consumption = Consumption(place.name, intake["id"], submission, given, opened, at_end, IDLE)
        return IntakeConsumer(context, consumption, lambda: None).run(stop or Stop(waits, on_check))

    return run
