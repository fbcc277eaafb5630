"""Replaying more items than one transaction takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.batches import control, replay
from pipeline.batches.progress import progress
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.domain.item import ItemState
from pipeline.errors import NotFound
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
