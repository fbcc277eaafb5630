"""An expired token: items wait, none but the first few are dead, and they go on when the token is renewed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from pipeline.database.tables import alerts, attempts, items, step_breakers
from pipeline.execution.breaker_board import forget_unused
from pipeline.execution.waiting_steps import find_waiting_steps
from pipeline.stages.run import step_breaker
from tests.integration.alerts.test_guards import wait_for
from tests.support.factories import client_context, connect, make_definition
from tests.support.gateway import HANG_SECONDS

EXPIRING = """
from datetime import timedelta
from pathlib import Path
from pipeline import Permanent

EXPIRED = Path(__file__).with_name("expired")
CALLS = Path(__file__).with_name("calls")

def classify(item):
    return "fine"

def enrich(item):
    if EXPIRED.exists():
        with CALLS.open("a") as calls:
            calls.write("x")
        error = Permanent("crm answered 401")
        error.status = 401
        raise error
    return {"is": "known"}
"""


def test_an_expired_token_makes_items_wait_and_kills_only_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_breaker, "FIRST_PAUSE", 0.3)
    monkeypatch.setattr(step_breaker, "LONGEST_PAUSE", 0.3)
    (tmp_path / "expired").touch()
    with connect(tmp_path, concurrency=2) as client:
        context = client_context(client)
        definition = make_definition(tmp_path, EXPIRING, enriching={"name": "crm"})
        batch = client.submit([{"text": str(number)} for number in range(400)], definition)

        def has_probed() -> bool:
            with context.database.read() as connection:
                return bool(connection.scalar(select(step_breakers.c.probes)))

        wait_for(has_probed)
        (waiting,) = find_waiting_steps(context, batch.id)
        assert (waiting.step, waiting.failures, waiting.error) == ("crm", 20, "crm answered 401")
        dead = batch.progress().dead
        assert 0 < dead < 20
        with context.database.read() as connection:
            assert connection.scalars(select(alerts.c.state)).all() == ["firing"]
            # What waits is put down as waiting; no attempt of it counts.
            waits = items.c.state == "pending", items.c.error_type == "step_waits"
            assert connection.scalar(select(func.max(items.c.attempt)).where(*waits)) == 0
            assert connection.scalar(select(func.count()).select_from(items).where(*waits))
            assert connection.scalar(select(func.count()).select_from(attempts)) == dead
        (tmp_path / "expired").unlink()
        batch.wait(timeout=HANG_SECONDS)
        progress = batch.progress()
        assert (progress.succeeded, progress.dead) == (400 - dead, dead)
        # 25 calls until it opened, those under way then, and a few probes.
        assert len((tmp_path / "calls").read_text()) < 60
        wait_for(lambda: not find_waiting_steps(context))
        with context.database.read() as connection:
            assert connection.execute(select(alerts.c.state, alerts.c.reason)).all() == [("resolved", "recovered")]
        # The 401 was what killed them: they can be replayed by it.
        assert batch.replay_dead() == dead
        batch.wait(timeout=HANG_SECONDS)
        assert batch.progress().succeeded == 400


def test_a_breaker_that_nothing_waits_for_is_forgotten(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        context = client_context(client)
        with context.database.write() as connection:
            row = {"definition_id": 7, "step": "crm", "failures": 20, "calls": 25, "error": "crm answered 401"}
            now = context.now()
            connection.execute(step_breakers.insert().values(**row, opened_at=now, open_until=now))
        forget_unused(context)
        with context.database.write() as connection:
            assert connection.scalar(select(func.count()).select_from(step_breakers)) == 1
            connection.execute(update(step_breakers).values(open_until=context.now() - timedelta(hours=1)))
        forget_unused(context)
        with context.database.read() as connection:
            assert connection.scalar(select(func.count()).select_from(step_breakers)) == 0
