"""A batch remembers who paused, resumed, cancelled or replayed it, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline.batch_status import read_status
from pipeline.batches import control
from pipeline.batches.find import find_batch
from pipeline.batches.progress import details
from pipeline.batches.replays import replay, replay_item
from pipeline.context import Context
from pipeline.domain.item import ItemState
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import client_context


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    with pipeline.connect(database_url=database_url) as client:
        yield client_context(client)


def history(batch: WrittenBatch) -> list[tuple[str, str, int | None]]:
    """What was done to a batch, oldest first."""
    found = read_status(batch.context, batch.id, full=False).history
    assert all(each.at <= batch.context.now() for each in found)
    return [(each.action.value, each.actor, each.affected) for each in reversed(found)]


def test_who_controls_a_batch_is_recorded_once_for_each_change(context: Context, tmp_path: Path) -> None:
    batch, other = write_batch(context, tmp_path, 3), write_batch(context, tmp_path, 1)
    control.pause(context.acting_as("ann@here"), batch.id)
    control.pause(context.acting_as("bob@there"), batch.id)
    control.resume(context.acting_as("bob@there"), batch.id)
    control.cancel(context.acting_as("key:nightly"), batch.id)
    assert history(batch) == [
        ("pause", "ann@here", None),
        ("resume", "bob@there", None),
        ("cancel", "key:nightly", None),
    ]
    assert history(other) == []


def test_a_replay_is_one_intervention_however_many_transactions_it_takes(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "CHUNK", 2)
    batch = write_batch(context, tmp_path, 7)
    batch.finish(7, ItemState.DEAD)
    assert replay.replay(context.acting_as("ann@here"), batch.id, ItemState.DEAD) == 7
    assert replay.replay(context.acting_as("ann@here"), batch.id, ItemState.DEAD) == 0
    assert history(batch) == [("replay", "ann@here", 7)]


def test_a_replay_with_another_payload_is_recorded(context: Context, tmp_path: Path) -> None:
    batch = write_batch(context, tmp_path, 1)
    batch.finish(1, ItemState.DEAD)
    with context.database.read() as connection:
        row = find_batch(connection, batch.id)
    found = details(context, f"{batch.id}-1", None)
    assert found is not None
    assert replay_item.replay_with_payload(context.acting_as("ann@here"), row, found.item, {"text": "another"})
    assert history(batch) == [("replay", "ann@here", 1)]


def test_the_caller_is_named_by_default(context: Context, tmp_path: Path) -> None:
    batch = write_batch(context, tmp_path, 1)
    control.pause(context, batch.id)
    ((_, actor, _),) = history(batch)
    user, _, host = actor.partition("@")
    assert user
    assert host
