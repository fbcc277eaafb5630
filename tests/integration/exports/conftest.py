"""What tests of exports share: a context whose clock they move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.settings import load
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(database_url: str, clock: Clock) -> Iterator[Context]:
    context = replace(make_context(load(database_url=database_url, allow_targets="s3:*,127.0.0.1")), now=clock)
    yield context
    context.database.close()
