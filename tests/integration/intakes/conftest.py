"""What tests of intakes share: a context whose clock they move, and what is submitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.batches.submission import Submission
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.settings import load
from tests.support.clock import Clock
from tests.support.intaking import make_submission


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
