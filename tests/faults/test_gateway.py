"""A server that is killed at random moments: a few rounds of what `python -m tests.faults.gateway` runs for long."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.killed_gateway import KilledGateway


@pytest.mark.conformance
@pytest.mark.parametrize(("what", "seed"), [("batches", 1), ("uploads", 2)])
def test_nothing_is_lost_or_doubled_when_the_server_is_killed(tmp_path: Path, what: str, seed: int) -> None:
    rounds: list[str] = []
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'pipeline.db'}"
        KilledGateway(tmp_path, url, stack, random.Random(seed), rounds.append).run(2, what)
    assert len(rounds) == 2
