"""Guards at work: a batch is paused soon after something breaks, once, and goes on after it is mended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

import pipeline
from pipeline.batches import control, guards
from pipeline.batches.replays.replay import replay_dead
from pipeline.database.tables import alerts, batches, events, interventions, items
from pipeline.domain.batch import BatchState
from pipeline.errors import Conflict, InvalidInput
from tests.support.factories import client_context, connect, make_definition
from tests.support.gateway import HANG_SECONDS

#: 20 % of the items fail from the 500th on, as long as the file `broken` is there.
FAILING = """
from pathlib import Path
from pipeline import Permanent, batched

BROKEN = Path(__file__).with_name("broken")

@batched(max_items=64)
def classify(items):
    broken = BROKEN.exists()
    return [fail(item) if broken and fails(int(item.text)) else "fine" for item in items]

def fails(number):
    return number >= 500 and number % 5 == 0

def fail(item):
    return Permanent(f"row {item.text} is refused")
"""


def wait_for(condition: Callable[[], bool]) -> None:
    ticks = threading.Event()
    for _ in range(int(HANG_SECONDS / 0.02)):
        if condition():
            return
        ticks.wait(0.02)
    pytest.fail("it did not come about")


def test_a_batch_is_paused_soon_after_items_begin_to_fail_and_goes_on_without_gaps(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    with connect(tmp_path) as client:
        context = client_context(client)
        batch = client.submit(
            ({"text": str(number)} for number in range(2_000)),
            make_definition(tmp_path, FAILING, enrich=False),
            guards="rate=5%,in_flight=32",
        )
        wait_for(lambda: batch.progress().state is BatchState.PAUSED and not batch.progress().in_flight)
        stopped = batch.progress()
        assert stopped.paused_by == "guard:failures"
        with context.database.read() as connection:
            started = connection.scalar(select(func.count()).select_from(items).where(items.c.started_at.is_not(None)))
        # Items are numbered from 0, and the fault begins at 500.
        assert started is not None
        assert 500 < started < 750
        found = guards.list_guards(context, batch.id)[0]
        assert (found.state, found.episode) == ("fired", 1)
        assert found.summary is not None
        assert "5 % are tolerated" in found.summary
        assert found.score > 7

        with pytest.raises(Conflict, match="guard failures of batch .* has fired"):
            replay_dead(context, batch.id)
        (tmp_path / "broken").unlink()
        # The rest need not be slow.
        guards.set_guard(context, batch.id, "failures", {"in_flight": None})
        client.batch(batch.id).resume()
        batch.wait(timeout=HANG_SECONDS)
        ended = batch.progress()
        assert (ended.succeeded, ended.dead) == (2_000 - stopped.dead, stopped.dead)
        assert guards.list_guards(context, batch.id)[0].state == "watching"
        with context.database.read() as connection:
            fired = connection.execute(select(alerts)).mappings().all()
            assert [(row["state"], row["reason"], row["severity"]) for row in fired] == [
                ("resolved", "resumed", "critical")
            ]
            # The log of the installation, batch 0, tells of the alert.
            of_batch = select(func.count(), func.count(events.c.item_id.distinct())).where(events.c.batch_id != 0)
            assert connection.execute(of_batch).one() == (2_001, 2_000)
            did = connection.execute(
                select(interventions.c.action, interventions.c.actor).order_by(interventions.c.id)
            ).all()
        assert [action for action, _ in did] == ["pause", "resume"]
        assert did[0].actor == "guard:failures"
        # It is over: its guards count from nothing when items are replayed.
        assert batch.replay_dead() == stopped.dead
        batch.wait(timeout=HANG_SECONDS)
        assert batch.progress().dead == 0


ALL_FAIL = """
from pipeline import Permanent

def classify(item):
    raise Permanent(item.text)
"""


def test_a_batch_of_5_dead_items_is_too_small_for_a_rate_and_not_for_a_count(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        context = client_context(client)
        definition = make_definition(tmp_path, ALL_FAIL, enrich=False, guard=[{"rate": 0.05, "action": "alert"}])
        batch = client.submit(
            [{"text": "no"}] * 5, definition, guards=[pipeline.Guard(count=3, name="some", action="alert")]
        )
        batch.wait(timeout=HANG_SECONDS)
        states = {each.guard.name: each.state for each in guards.list_guards(context, batch.id)}
        assert states == {"failures": "watching", "some": "fired"}
        with context.database.read() as connection:
            (row,) = connection.execute(select(alerts)).mappings()
            completed = select(func.count()).where(events.c.type == "batch.completed")
            assert connection.scalar(completed.select_from(events)) == 1
        assert (row["state"], row["reason"]) == ("resolved", "batch_ended")
        assert "failed; it fires at 3" in row["summary"]


def test_a_guard_that_cancels_ends_the_batch(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        guard = {"count": 1, "errors": ["Perm*"], "of": "attempts", "action": "cancel", "in_flight": 4}
        definition = make_definition(tmp_path, ALL_FAIL, enrich=False, guard=[guard])
        batch = client.submit([{"text": "no"}] * 200, definition)
        batch.wait(timeout=HANG_SECONDS)
        progress = batch.progress()
        assert progress.state is BatchState.CANCELLED
        assert progress.cancelled > 100
        with client_context(client).database.read() as connection:
            assert connection.scalars(select(alerts.c.state)).all() == ["resolved"]


def test_guards_are_changed_while_the_batch_runs(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        context = client_context(client)
        batch = client.submit(
            [{"text": "no"}], make_definition(tmp_path, ALL_FAIL, enrich=False), guards="rate=5%,in_flight=32"
        )
        batch.wait(timeout=HANG_SECONDS)
        assert guards.list_guards(context, batch.id)[0].failed == 1
        # What it counts stays the same: so does what it has counted.
        assert guards.set_guard(context, batch.id, "failures", {"action": "alert"}).failed == 1
        changed = guards.set_guard(context, batch.id, "failures", {"rate": "10%", "in_flight": 8})
        assert (changed.failed, changed.guard.rate, changed.failures) == (0, 0.1, 1)
        guards.set_guard(context, batch.id, "quota", {"count": 1, "in_flight": 4})
        assert in_flight(client) == 4
        guards.remove_guard(context, batch.id, "quota")
        assert in_flight(client) == 8
        with pytest.raises(InvalidInput, match="rate of guard 'failures' is 2"):
            guards.set_guard(context, batch.id, "failures", {"rate": 2})
        with pytest.raises(pipeline.NotFound, match="no guard 'quota'; its guards: failures"):
            guards.reset_guard(context, batch.id, "quota")
        guards.reset_guard(context, batch.id, "failures")
        assert guards.list_guards(context, batch.id)[0].failures == 0


def in_flight(client: pipeline.Client) -> int | None:
    with client_context(client).database.read() as connection:
        return connection.scalar(select(batches.c.max_in_flight))


def test_who_paused_it_first_stays_known(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        context = client_context(client)
        definition = make_definition(tmp_path, ALL_FAIL, enrich=False)
        batch = client.submit([{"text": "no"}] * 2_000, definition, guards="count=1")
        wait_for(lambda: batch.progress().state is BatchState.PAUSED)
        control.pause(context, batch.id)
        assert batch.progress().paused_by == "guard:failures"
        batch.resume()
        # The fault is still there: it pauses again, as a second episode.
        wait_for(lambda: batch.progress().state is BatchState.PAUSED)
        assert guards.list_guards(context, batch.id)[0].episode == 2
