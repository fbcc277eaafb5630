"""What can be submitted from Python: data frames and sources."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import pipeline
from tests.support.factories import client_context, connect, make_definition
from tests.support.lazy import Lazy

pandas = Lazy("pandas")
polars = Lazy("polars")

ROWS = {
    "text": ["one", "two", "three"],
    "id": ["a", "b", "c"],
    "at": [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
    "tags": [["x"], [], ["y", "z"]],
}
EXPECTED = [
    {"text": "one", "id": "a", "at": "2026-01-01T00:00:00Z", "tags": ["x"]},
    {"text": "two", "id": "b", "at": "2026-01-02T00:00:00Z", "tags": []},
    {"text": "three", "id": "c", "at": "2026-01-03T00:00:00Z", "tags": ["y", "z"]},
]
FRAMES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pandas.DataFrame(ROWS),
    "pandas with an index": lambda: pandas.DataFrame(ROWS).set_axis([7, 5, 9]),
    "polars": lambda: polars.DataFrame(ROWS),
    "a table": lambda: pyarrow.table(ROWS),
    "a reader": lambda: pyarrow.table(ROWS).to_reader(max_chunksize=2),
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[pipeline.Client]:
    with connect(tmp_path) as client:
        yield client


def payloads(client: pipeline.Client) -> list[Any]:
    with client_context(client).database.read() as connection:
        found = connection.exec_driver_sql("SELECT payload FROM items ORDER BY id").scalars()
        return [json.loads(each) for each in found]


@pytest.mark.parametrize("kind", FRAMES)
def test_a_data_frame_is_submitted(client: pipeline.Client, tmp_path: Path, kind: str) -> None:
    batch = client.submit(FRAMES[kind](), make_definition(tmp_path), key_field="id")
    assert batch.wait(60).succeeded == 3
    assert payloads(client) == EXPECTED
    assert {result.key for result in batch.results()} == {"a", "b", "c"}


def test_an_index_with_a_name_is_a_column(client: pipeline.Client, tmp_path: Path) -> None:
    frame = pandas.DataFrame({"text": ["one"]}, index=pandas.Index(["k"], name="id"))
    client.submit(frame, make_definition(tmp_path), key_field="id").wait(60)
    assert payloads(client) == [{"text": "one", "id": "k"}]


def test_rows_that_cannot_be_items_are_refused_by_their_number(client: pipeline.Client, tmp_path: Path) -> None:
    frame = polars.DataFrame({"text": ["a", "b", "c"], "score": [1.0, float("nan"), 2.0]})
    definition = make_definition(tmp_path)
    with pytest.raises(pipeline.InvalidItems, match="line 2: .*score is nan"):
        client.submit(frame, definition)
    refused: list[pipeline.Rejection] = []
    batch = client.submit(frame, definition, on_reject=refused.append)
    assert (batch.progress().total, [each.line for each in refused]) == (2, [2])
    with pytest.raises(pipeline.InvalidInput, match="column 'raw' contains bytes"):
        client.submit(polars.DataFrame({"text": ["a"], "raw": [b"x"]}), definition)
    with pytest.raises(pipeline.InvalidInput):
        client.submit(polars.Series("text", ["a"]), definition)


def test_a_source_is_read_and_resumed(client: pipeline.Client, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("id,text\n" + "".join(f"k{number},text {number}\n" for number in range(12_000)))
    definition = make_definition(tmp_path)
    source = pipeline.read(path)
    assert next(iter(source)) == {"id": "k0", "text": "text 0"}

    def stop(stored: int) -> None:
        if stored == 5_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.submit(source, definition, idempotency_key="k", key_field="id", on_progress=stop)
    counts: list[int] = []
    batch = client.submit(source, definition, idempotency_key="k", key_field="id", on_progress=counts.append)
    assert (batch.progress().total, counts) == (12_000, [10_000, 12_000])
    path.write_text("id,text\nk,another\n")
    with pytest.raises(pipeline.Conflict, match="has other items"):
        client.submit(source, definition, idempotency_key="k", key_field="id")


def test_what_an_interrupted_submission_stored_is_discarded(client: pipeline.Client, tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"text": "a"}\n' * 6_000)
    definition = make_definition(tmp_path)

    def stop(stored: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.submit(pipeline.read(path), definition, idempotency_key="k", on_progress=stop)
    path.write_text('{"text": "b"}\n')
    with pytest.raises(pipeline.PipelineError, match="has changed since 5,000 of its items were stored"):
        client.submit(pipeline.read(path), definition, idempotency_key="k")
    assert client.submit(pipeline.read(path), definition, idempotency_key="k", discard=True).progress().total == 1


def test_rows_of_a_query_are_submitted(client: pipeline.Client, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as file, file:
        file.execute("CREATE TABLE mails (id INTEGER PRIMARY KEY, text TEXT)")
        file.executemany("INSERT INTO mails (text) VALUES (?)", [("one",), ("two",)])
    rows = pipeline.read(f"sqlite:///{tmp_path / 'shop.db'}", query="SELECT id, text FROM mails", order_by="id")
    client.submit(rows, make_definition(tmp_path), idempotency_key="k").wait(60)
    assert payloads(client) == [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]


def test_iterating_over_a_source_stops_at_a_row_that_is_no_item(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"text": "a"}\nno\n')
    found = iter(pipeline.read(tmp_path / "items.jsonl"))
    assert next(found) == {"text": "a"}
    with pytest.raises(pipeline.InvalidInput, match="^line 2: "):
        next(found)


@pytest.mark.parametrize("source", ["", [], 5, ["a.csv", 5], None])
def test_a_source_is_a_path_or_several(source: Any) -> None:
    with pytest.raises(pipeline.InvalidInput, match="source is"):
        pipeline.read(source)


def test_an_event_loop_submits_the_same(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"text": "a"}\n' * 3)

    async def totals() -> list[int]:
        async with pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'async.db'}") as client:
            definition = make_definition(tmp_path)
            batches = [
                await client.submit(given, definition) for given in (polars.DataFrame(ROWS), pipeline.read(path))
            ]
            return [(await batch.wait(60)).succeeded for batch in batches]

    assert asyncio.run(totals()) == [3, 3]
