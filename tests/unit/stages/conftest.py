"""Fixtures for tests that run stages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.stages.run.executor import Executor


@pytest.fixture
def executor() -> Iterator[Executor]:
    """An executor with its default limits."""
    with Executor() as executor:
        yield executor
