"""Large payloads and results: what is claimed, recorded, stored or read at once is bounded by bytes as well."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from pipeline.batches import results
from pipeline.batches.store_items import CHUNK_BYTES
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.domain.portions import PORTION_BYTES, portions, text_bytes
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stage_runtime import MAX_BYTES
from pipeline.settings import load
from tests.integration.execution.test_micro_batch import runtime
from tests.support.factories import connect, make_definition

KIB = 1024
ITEMS, ITEM_KIB = 40, 250

ECHO = """
def classify(item):
    return "long"

def enrich(item):
    return {"text": item.text}
"""


@pytest.fixture
def context(sqlite_url: str) -> Iterator[Context]:
    opened = make_context(load(database_url=sqlite_url))
    yield opened
    opened.database.close()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1, 1, 1, 1], [3, 1]),
        ([6, 6, 6], [1, 1, 1]),
        ([20, 1, 20], [1, 1, 1]),
        ([5, 5, 1], [2, 1]),
    ],
)
def test_portions_are_bounded_in_number_and_bytes(sizes: list[int], expected: list[int]) -> None:
    found = list(portions(sizes, lambda size: size, count=3, size_limit=10))
    assert [len(portion) for portion in found] == expected
    assert [size for portion in found for size in portion] == sizes


def test_a_text_is_never_larger_than_it_is_taken_for() -> None:
    for text in ("a" * 100, "ä" * 100, "\N{GRINNING FACE}" + "a" * 99):
        assert text_bytes(text) >= text.__sizeof__() - "\N{GRINNING FACE}".__sizeof__()


def test_a_submission_is_stored_in_portions_of_bytes(context: Context, tmp_path: Path) -> None:
    stored: list[int] = []
    items = ({"text": "x" * 250 * KIB} for _ in range(ITEMS))
    submit(context, items, Submission(make_definition(tmp_path)), on_progress=stored.append)
    assert stored[-1] == ITEMS
    assert len(stored) == -(-ITEMS * ITEM_KIB * KIB // CHUNK_BYTES)


def test_items_are_claimed_recorded_and_read_in_portions_of_bytes(tmp_path: Path) -> None:
    def measure(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        # A recorded result is part of a parameter, once as a column and once in its event.
        sizes.append(sum(len(each) for each in parameters if isinstance(each, str | bytes)))

    sizes: list[int] = []
    with connect(tmp_path, batch_items=ITEMS) as client:
        event.listen(client._session.context.database.engine, "before_cursor_execute", measure)
        batch = client.submit(({"text": "x" * 250 * KIB} for _ in range(ITEMS)), make_definition(tmp_path, ECHO))
        assert batch.wait(60).succeeded == ITEMS
        page = results.page(client._session.context, batch._row_id, 0)
        assert len(page.results) * ITEM_KIB * KIB <= PORTION_BYTES
        assert len(list(batch.results())) == ITEMS
    assert PORTION_BYTES / 2 < max(sizes) < 2 * PORTION_BYTES


def test_no_more_is_claimed_while_what_is_under_way_takes_too_much(context: Context) -> None:
    with runtime(context) as running:
        running.start_renewing({Ref(0, 1): 100})
        assert running.wait_for_room() > 10_000
        running.stop_renewing([Ref(0, 1)])
        running.start_renewing({Ref(1, 1): MAX_BYTES // 2})
        running.add_results({Ref(1, 1): MAX_BYTES // 2, Ref(2, 1): MAX_BYTES})
        numbers: list[int] = []
        waiting = threading.Thread(target=lambda: numbers.append(running.wait_for_room()))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        running.stop_renewing([Ref(1, 1), Ref(2, 1)])
        waiting.join(30)
        # Payloads were large: only one is claimed next.
        assert numbers == [1]
        running.start_renewing({Ref(3, 1): MAX_BYTES})
        running.close()
        running.wait_for_room()
