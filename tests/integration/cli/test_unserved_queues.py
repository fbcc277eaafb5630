"""Work that waits for a queue nobody serves: `doctor`, `doctor --live` and `status` say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, update

from pipeline.batches import control, throughput
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.cli.checks.queues import unserved_queues
from pipeline.database.tables import items, unreleased
from pipeline.delivery import endpoints
from pipeline.execution.dispatch import Dispatcher
from pipeline.execution.liveness import lives, lives_here, show_life
from pipeline.execution.rescue import hand_back
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.receiver import SECRET
from tests.support.terminal import Terminal

LEASE = timedelta(seconds=30)
ITEMS = 40
#: Nobody listens there: the commands here leave the broker alone.
BROKER = "redis://127.0.0.1:1/0"
RECEIVER = "https://receiver.example"


class Fleet:
    """A batch of items with callbacks, and workers that say which queues they serve; the test moves the clock."""

    def __init__(self, url: str, terminal: Terminal) -> None:
        self.now = datetime.now(UTC)
        opened = make_context(
            load(database_url=url, broker_url=BROKER, webhook_secret=SECRET, lease_seconds=LEASE.total_seconds())
        )
        self.context = replace(opened, now=lambda: self.now)
        submission = Submission(make_definition(terminal.folder), callback_url=f"{RECEIVER}/hook")
        self.batch_id = submit(self.context, make_items(ITEMS), submission).batch_id

    def serve(self, *queues: str) -> None:
        show_life(self.context, queues)

    def unserved(self, batch: str | None = None) -> dict[str, int]:
        return unserved_queues(self.context, batch)

    def stands_still_since(self) -> datetime | None:
        return throughput.measure(self.context, self.batch_id).stands_still_since


@pytest.fixture
def fleet(database_url: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database_url)
    monkeypatch.setenv("PIPELINE_BROKER_URL", BROKER)
    made = Fleet(database_url, terminal)
    yield made
    made.context.database.close()


def test_items_that_wait_for_a_queue_nobody_serves_are_reported(fleet: Fleet, terminal: Terminal) -> None:
    fleet.serve("deliver", "control")
    problem = f"nobody serves classify: {ITEMS} items wait"
    live = terminal.run("doctor", "--live", "--json")
    assert live.exit_code == 1
    verdicts = {check["value"]: check["verdict"] for check in json.loads(live.stdout)}
    assert verdicts[problem] == "fail"
    assert verdicts[f"{fleet.context.worker} (control, deliver)"] == "ok"
    assert problem in terminal.run("doctor").stdout
    status = terminal.run("status", "last")
    assert f"{problem}; start a worker with `pipeline worker --queues classify`" in status.stderr
    assert terminal.data("status", "last")["unserved"] == {"classify": ITEMS}
    assert problem in terminal.run("status").stderr


def test_a_served_queue_is_no_problem_even_if_its_worker_is_on_another_host(fleet: Fleet, terminal: Terminal) -> None:
    elsewhere = replace(fleet.context, worker="12.34.abcd@elsewhere")
    show_life(elsewhere, {"classify", "enrich", "control"})
    assert fleet.unserved() == {}
    assert terminal.run("doctor", "--live").exit_code == 1, "no worker on this host"
    assert terminal.run("doctor", "--live", "--fleet").exit_code == 0
    assert [life.queues for life in lives(fleet.context)] == [("classify", "control", "enrich")]
    assert lives_here(fleet.context) == []


def test_fleet_needs_live(terminal: Terminal) -> None:
    assert terminal.run("doctor", "--fleet").exit_code == 2


@pytest.mark.parametrize("ending", ["killed", "stopped"])
def test_a_queue_is_unserved_a_lease_after_its_last_worker_not_earlier(fleet: Fleet, ending: str) -> None:
    fleet.serve("classify", "control")
    if ending == "stopped":
        hand_back(fleet.context)
    fleet.now += LEASE * 0.9
    assert fleet.unserved() == {}
    fleet.now += LEASE * 0.2
    assert fleet.unserved() == {"control": ITEMS, "classify": ITEMS}


def test_one_of_several_workers_of_a_queue_is_enough(fleet: Fleet) -> None:
    fleet.serve("classify", "control")
    fleet.now += LEASE * 0.9
    show_life(replace(fleet.context, worker="another"), {"classify", "control"})
    hand_back(fleet.context)
    fleet.now += LEASE * 0.9
    assert fleet.unserved() == {}


def test_released_items_wait_for_their_stage_and_no_longer_for_dispatch(fleet: Fleet) -> None:
    fleet.serve("deliver")
    Dispatcher(fleet.context, lambda messages: None).dispatch()
    assert fleet.unserved() == {"classify": ITEMS}


def test_a_paused_batch_and_a_foreign_batch_do_not_wait(fleet: Fleet, terminal: Terminal) -> None:
    fleet.serve("deliver")
    other = submit(fleet.context, make_items(1), Submission(make_definition(terminal.folder))).batch_id
    assert fleet.unserved(other) == {"control": 1, "classify": 1}
    control.pause(fleet.context, fleet.batch_id)
    assert fleet.unserved() == {"control": 1, "classify": 1}


def test_due_callbacks_wait_for_the_queue_deliver_unless_their_endpoint_is_disabled(fleet: Fleet) -> None:
    fleet.serve("classify", "control")
    control.cancel(fleet.context, fleet.batch_id)
    assert fleet.unserved() == fleet.unserved(fleet.batch_id) == {"deliver": ITEMS}
    endpoints.disable(fleet.context, RECEIVER)
    assert fleet.unserved() == {}


def test_a_batch_stands_still_after_a_lease_without_a_finished_item(fleet: Fleet, terminal: Terminal) -> None:
    started = fleet.now
    fleet.now += LEASE
    assert fleet.stands_still_since() is None
    fleet.now += timedelta(seconds=1)
    assert fleet.stands_still_since() == started
    assert throughput.measure(fleet.context, fleet.batch_id).items_per_second == 0


def test_a_batch_whose_items_wait_for_their_next_attempt_does_not_stand_still(fleet: Fleet) -> None:
    due_at = fleet.now + 5 * LEASE
    with fleet.context.database.write() as connection:
        connection.execute(update(items).values(due_at=due_at))
        connection.execute(delete(unreleased))
    fleet.now = due_at - LEASE
    assert fleet.stands_still_since() is None
    fleet.now = due_at + 1.5 * LEASE
    assert fleet.stands_still_since() == due_at
