"""Pages of a batch's results."""

from __future__ import annotations

from pathlib import Path

from pipeline.batches import control, results
from pipeline.batches.sql import events
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from tests.support.factories import client_context, connect, make_definition, make_items


def test_a_page_says_whether_there_are_more_results(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        context = client_context(client)
        batch = submit(context, make_items(5), Submission(make_definition(tmp_path)))
        assert results.page(context, batch.row_id, 0) == results.Page([], 0, has_more=False, is_end=False)
        control.cancel(context, batch.batch_id)

        # Five results and the end of the batch.
        first = results.page(context, batch.row_id, 0, limit=4)
        second = results.page(context, batch.row_id, first.last_seq, limit=4)
    assert [len(page.results) for page in (first, second)] == [4, 1]
    assert [(page.last_seq, page.has_more, page.is_end) for page in (first, second)] == [
        (4, True, False),
        (6, False, True),
    ]


def test_a_page_that_is_cut_by_its_bytes_says_that_there_are_more(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        context = client_context(client)
        batch = submit(context, make_items(3), Submission(make_definition(tmp_path)))
        control.cancel(context, batch.batch_id)
        with context.database.read() as connection:
            cut = [events.find_after(connection, batch.row_id, after, limit=100, size_limit=1) for after in range(5)]
    # One event at a time, however large it is.
    assert [([row["seq"] for row in found], has_more) for found, has_more in cut] == [
        ([1], True),
        ([2], True),
        ([3], True),
        ([4], False),
        ([], False),
    ]
