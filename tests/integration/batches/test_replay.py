"""Replaying more items than one transaction takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

import pipeline
from pipeline.batches import control, event_log
from pipeline.batches.find import find_batch
from pipeline.batches.progress import progress
from pipeline.batches.replays import dead_items, replay
from pipeline.batches.replays.completion_hold import CompletionHold, release_abandoned
from pipeline.batches.replays.dead_items import DeadFilter, ReplayCount
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.domain.item import ItemState
from pipeline.errors import NotFound
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import client_context, connect, make_definition, make_items


@pytest.mark.parametrize("positions", [None, [1, 2, 3, 4, 6, 7, 99]])
def test_every_item_is_replayed_once_however_many_transactions_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, positions: list[int] | None
) -> None:
    monkeypatch.setattr(replay, "CHUNK", 3)
    with connect(tmp_path) as client:
        context = client_context(client)
        batch = submit(context, make_items(7), Submission(make_definition(tmp_path))).batch_id
        control.cancel(context, batch)
        expected = 7 if positions is None else 6
        assert replay.replay(context, batch, ItemState.CANCELLED, positions=positions) == expected
        assert progress(context, batch).cancelled == 7 - expected


def test_more_items_are_named_than_a_statement_takes_parameters(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        context = client_context(client)
        batch = submit(context, make_items(1), Submission(make_definition(tmp_path))).batch_id
        control.cancel(context, batch)
        assert replay.replay(context, batch, ItemState.CANCELLED, positions=range(1, 260_000)) == 1


def test_a_batch_that_is_not_there_is_not_found_without_items_either(tmp_path: Path) -> None:
    with connect(tmp_path) as client, pytest.raises(NotFound):
        replay.replay_dead(client_context(client), "nothing", positions=[])


class FinishedInBetween:
    """A database where the items that were replayed are final again before the next transaction begins."""

    def __init__(self, batch: WrittenBatch) -> None:
        self._batch, self._database = batch, batch.context.database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._batch.finish_pending()
        with self._database.write() as connection:
            yield connection


@pytest.mark.parametrize("way", ["all", "positions", "filter"])
def test_a_batch_completes_once_for_a_replay_in_several_chunks(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(replay, "CHUNK", 2)
    monkeypatch.setattr(dead_items, "CHUNK", 2)
    with pipeline.connect(database_url=database_url) as client:
        batch = write_batch(client_context(client), tmp_path, 7)
        batch.finish(7, ItemState.DEAD)
        context = replace(batch.context, database=FinishedInBetween(batch))  # type: ignore[arg-type]
        if way == "filter":
            with context.database.read() as connection:
                row = find_batch(connection, batch.id)
            assert dead_items.replay_matching(context, row, DeadFilter()) == ReplayCount(7, 7)
        else:
            positions = None if way == "all" else range(1, 8)
            assert replay.replay_dead(context, batch.id, positions=positions) == 7
        batch.finish_pending()
        found = event_log.read(batch.context, batch.row_id, 0, limit=100)
        assert [each.seq for each in found.events if each.type == "batch.completed"] == [8, 16]
        assert (found.version.last_seq, found.version.succeeded, found.version.dead) == (16, 7, 0)


def test_a_replay_whose_process_died_holds_up_nothing_for_longer_than_its_lease(
    database_url: str, tmp_path: Path
) -> None:
    with pipeline.connect(database_url=database_url) as client:
        batch = write_batch(client_context(client), tmp_path, 3)
        batch.finish(3, ItemState.DEAD)
        context = batch.context
        hold = CompletionHold(context, batch.row_id)
        with context.database.write() as connection:
            hold.keep(connection)
        assert replay.replay_dead(context, batch.id) == 3
        batch.finish_pending()
        assert not event_log.version(context, batch.row_id).is_complete
        assert release_abandoned(context) == 0
        later = replace(context, now=lambda: context.now() + 2 * context.lease)
        assert release_abandoned(later) == 1
        assert event_log.version(context, batch.row_id).is_complete
