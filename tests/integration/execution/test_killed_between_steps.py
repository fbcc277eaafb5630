"""A process that is killed between any two steps loses nothing, and the stage that ran is charged."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import pipeline
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.database.tables import items
from pipeline.execution.rescue import rescue_lost
from pipeline.settings import load
from tests.support.factories import make_definition, make_items
from tests.support.invariants import assert_complete, assert_delivered
from tests.support.kill_points import settings_of, work_until_killed
from tests.support.receiver import Receiver
from workers.engine.sweeps import dead_holders

CALLABLES = """
def classify(item):
    return "x"

async def enrich(item):
    return {"attempt": item.attempt}
"""

#: Where it dies; whether its classifier is durable; and the item after the rescue: state, stage and crashes.
DEATHS = [
    ("released", False, ("pending", "classify", 0)),
    ("claimed", False, ("pending", "classify", 1)),
    ("classified", False, ("pending", "classify", 1)),
    # What is classified and not written is classified again.
    ("enrich begun, classification not stored", False, ("pending", "classify", 1)),
    ("classification stored, enrich not begun", True, ("pending", "enrich", 1)),
    ("enriched", True, ("pending", "enrich", 1)),
    ("enrich not published", False, ("pending", "enrich", 0)),
    ("recorded", False, ("succeeded", "enrich", 0)),
    ("not sent", False, ("succeeded", "enrich", 0)),
]


@pytest.mark.parametrize(("step", "is_durable", "rescued"), DEATHS, ids=[step for step, *_ in DEATHS])
def test_an_item_comes_through_a_kill_at_each_step(
    step: str, is_durable: bool, rescued: tuple[Any, ...], tmp_path: Path
) -> None:
    database_url = f"sqlite:///{tmp_path / 'pipeline.db'}"
    settings = settings_of(database_url)
    context = make_context(load(**settings))
    with Receiver() as receiver:
        definition = make_definition(tmp_path, CALLABLES, classify={"durable": is_durable})
        submission = Submission(definition, callback_url=receiver.url, batch_callback_url=receiver.url)
        batch_id = submit(context, make_items(1), submission).batch_id
        assert work_until_killed(step, database_url) == -signal.SIGKILL
        rescue_lost(context, dead_holders(context))
        assert _item(context, "state", "stage", "crashes") == rescued
        with pipeline.connect(**settings) as client:
            client.work()
            receiver.wait_for(lambda seen: len(seen.bodies) == 2)
        assert set(assert_complete(context.database, batch_id, 1)) == {"succeeded"}
        assert_delivered(context.database, batch_id, 2)
    assert _item(context, "attempt", "label", "enrichment") == (1, "x", '{"enrich":{"attempt":1}}')
    assert [len(set(bodies)) for bodies in receiver.bodies.values()] == [1, 1]
    context.database.close()


def _item(context: Context, *names: str) -> tuple[Any, ...]:
    with context.database.read() as connection:
        return tuple(connection.execute(select(*(items.c[name] for name in names))).one())
