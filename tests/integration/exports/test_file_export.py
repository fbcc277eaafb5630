"""Exports to a folder: which results a part has, what the manifest says, and what a replay adds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import orjson
import pyarrow.parquet
import pytest
from sqlalchemy import select, update

from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.database.row import rows
from pipeline.database.tables import deliveries, events, items
from pipeline.domain.event import EventType
from pipeline.domain.item import ItemState
from pipeline.exports.exports import retry
from tests.support.clock import Clock
from tests.support.exporting import (
    export_of,
    finish_items,
    manifest_in,
    parts_of,
    problems_of,
    read_results,
    start_batch,
    work,
)
from tests.support.servers.fixtures import on_sqlite

RANGE = range(1, 11)


def test_parts_are_closed_by_rows_and_the_rest_by_the_end_of_the_batch(context: Context, tmp_path: Path) -> None:
    batch = start_batch(context, 10, f"{tmp_path}/?rows=4")
    finish_items(context, batch, range(1, 4))
    work(context)
    assert parts_of(context, batch) == []
    finish_items(context, batch, range(4, 11))
    work(context)
    manifest = manifest_in(tmp_path)
    assert [(part["first_seq"], part["last_seq"], part["rows"]) for part in manifest["parts"]] == [
        (1, 4, 4),
        (5, 8, 4),
        (9, 11, 2),
    ]
    assert [result["seq"] for result in read_results(tmp_path)] == [*RANGE]
    assert (manifest["total"], manifest["succeeded"], manifest["completion"]) == (10, 10, 1)
    assert problems_of(context, batch) == []


@on_sqlite
def test_a_part_is_closed_by_the_clock_without_a_further_result(context: Context, clock: Clock, tmp_path: Path) -> None:
    batch = start_batch(context, 10, f"{tmp_path}/?seconds=60", f"{tmp_path}/never/?seconds=0")
    finish_items(context, batch, [1, 2])
    clock.forward(59)
    work(context)
    assert parts_of(context, batch) == []
    clock.forward(1)
    work(context)
    assert [part["rows"] for part in parts_of(context, batch)] == [2]
    assert export_of(context, batch, 2)["parts"] == 0


@on_sqlite
def test_a_part_is_closed_by_bytes_and_payloads_count(context: Context, tmp_path: Path) -> None:
    body = 600
    targets = [f"{tmp_path}/a/?bytes={3 * body}", f"{tmp_path}/b/?bytes={3 * body}&fields=with_payload"]
    batch = start_batch(context, 10, *targets)
    with context.database.write() as connection:
        connection.execute(update(items).values(payload=json.dumps({"body": "x" * 3 * body})))
    finish_items(context, batch, RANGE)
    work(context)
    assert 1 < export_of(context, batch, 1)["parts"] < 10 == export_of(context, batch, 2)["parts"]
    assert all(len(result["payload"]["body"]) == 3 * body for result in read_results(tmp_path / "b"))


def test_an_export_completes_once_and_tells_the_batchs_callback_url(context: Context, tmp_path: Path) -> None:
    batch = start_batch(context, 2, f"{tmp_path}/", url="https://example.com/hook")
    finish_items(context, batch, [1, 2])
    work(context)
    work(context)
    with context.database.read() as connection:
        log = rows(connection.execute(select(events).where(events.c.batch_id == batch).order_by(events.c.seq)))
        owed = list(connection.scalars(select(deliveries.c.seq).order_by(deliveries.c.seq)))
    assert [row["type"] for row in log][2:] == [EventType.BATCH_COMPLETED, EventType.EXPORT_COMPLETED]
    assert owed == [3, 4]
    data = orjson.loads(log[-1]["body"])["data"]
    assert (data["parts"], data["rows"], data["completion"], data["seq"]) == (1, 2, 1, 4)
    assert Path(data["manifest"].removeprefix("file://")).exists()
    assert data["target"] == f"file://{tmp_path}/"


def test_a_replay_adds_parts_and_a_second_manifest(context: Context, tmp_path: Path) -> None:
    batch = start_batch(context, 3, f"{tmp_path}/")
    finish_items(context, batch, [1, 2])
    finish_items(context, batch, [3], state="dead")
    work(context)
    first = manifest_in(tmp_path)
    assert export_of(context, batch)["state"] == "complete"
    with context.database.write() as connection:
        batches.reopen(connection, batch, 1, ItemState.DEAD)
    work(context)
    assert export_of(context, batch)["state"] == "running"
    finish_items(context, batch, [3])
    work(context)
    newest = manifest_in(tmp_path)
    assert newest == manifest_in(tmp_path, "manifest-2.json")
    assert newest["parts"][:1] == first["parts"]
    assert (newest["completion"], newest["dead"], newest["succeeded"]) == (2, 0, 3)
    results = read_results(tmp_path)
    assert [(result["key"], result["state"]) for result in results][2:] == [("K-3", "dead"), ("K-3", "succeeded")]
    assert problems_of(context, batch) == []


@on_sqlite
@pytest.mark.parametrize("partition", ["label", "state", "date"])
def test_partitions_are_folders_and_hold_each_result_once(context: Context, tmp_path: Path, partition: str) -> None:
    batch = start_batch(context, 9, f"{tmp_path}/?partition={partition}&rows=6")
    for number, label in enumerate(["a/b", "..", "ä"]):
        finish_items(context, batch, [3 * number + 1, 3 * number + 2], label=label)
    finish_items(context, batch, [3, 6, 9], state="dead")
    work(context)
    folders = {path.parent.name for path in tmp_path.rglob("part-*")}
    assert (
        folders
        == {
            "label": {"label=a%2Fb", "label=%2E%2E", "label=%C3%A4", "label=__HIVE_DEFAULT_PARTITION__"},
            "state": {"state=succeeded", "state=dead"},
            "date": {"date=2026-01-01"},
        }[partition]
    )
    assert [result["seq"] for result in read_results(tmp_path)] == [*range(1, 10)]
    assert problems_of(context, batch) == []


@on_sqlite
def test_many_partitions_are_written_in_several_passes(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.exports.file_export.MAX_OPEN", 2)
    batch = start_batch(context, 7, f"{tmp_path}/?partition=label")
    for position in range(1, 8):
        finish_items(context, batch, [position], label=f"l{position}")
    work(context)
    assert len(parts_of(context, batch)) == 7
    assert problems_of(context, batch) == []


@on_sqlite
def test_too_many_partitions_fail_the_export(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.exports.plan_parts.MAX_PARTITIONS", 1)
    batch = start_batch(context, 2, f"{tmp_path}/?partition=label")
    for position in (1, 2):
        finish_items(context, batch, [position], label=f"l{position}")
    work(context)
    export = export_of(context, batch)
    assert export["state"] == "failed"
    assert "more than 1 values" in export["last_error"]


@on_sqlite
@pytest.mark.parametrize("format", ["jsonl.gz", "jsonl", "csv", "parquet"])
@pytest.mark.parametrize("fields", ["results", "with_payload"])
def test_each_format_holds_the_results(context: Context, tmp_path: Path, format: str, fields: str) -> None:
    batch = start_batch(context, 4, f"{tmp_path}/?format={format}&fields={fields}")
    finish_items(context, batch, [1, 2, 3], label="=cmd")
    finish_items(context, batch, [4], state="dead")
    work(context)
    (part,) = tmp_path.rglob(f"part-*.{format}")
    if format == "parquet":
        with pyarrow.parquet.ParquetFile(part) as file:
            table, compression = file.read().to_pylist(), file.metadata.row_group(0).column(0).compression
        assert [row["label"] for row in table] == ["=cmd"] * 3 + [None]
        assert table[0]["timings"]["finished_at"] == context.now()
        assert compression == "ZSTD"
        assert ("payload" in table[0]) == (fields == "with_payload")
    elif format == "csv":
        table = list(csv.DictReader(part.read_text().splitlines()))
        assert [row["label"] for row in table] == ["'=cmd"] * 3 + [""]
        assert table[3]["error.message"] == "no"
        assert ("payload" in table[0]) == (fields == "with_payload")
    else:
        found = read_results(tmp_path)
        assert [result["label"] for result in found] == ["=cmd"] * 3 + [None]
        assert found[3]["error"]["message"] == "no"
        assert [result.get("payload") for result in found] == (
            [{"body": f"text {number}"} for number in range(1, 5)] if fields == "with_payload" else [None] * 4
        )
    names = {column["name"] for column in manifest_in(tmp_path)["schema"]}
    assert ("payload" in names) == (fields == "with_payload")
    assert problems_of(context, batch) == []


@on_sqlite
def test_a_foreign_file_of_a_parts_name_is_left_alone(context: Context, tmp_path: Path) -> None:
    batch = start_batch(context, 1, f"{tmp_path}/")
    finish_items(context, batch, [1])
    foreign = tmp_path / export_of(context, batch)["public_id"] / "part-000000000001-000000000002.jsonl.gz"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    work(context)
    export = export_of(context, batch)
    assert export["state"] == "failed"
    assert export["last_error"].endswith("holds another part of that name; move it away, or use another folder")
    assert foreign.read_text() == "mine"
    foreign.unlink()
    retry(context, str(export["id"]))
    work(context)
    assert export_of(context, batch)["state"] == "complete"
    assert problems_of(context, batch) == []


@on_sqlite
def test_verification_finds_what_was_changed_removed_and_added(context: Context, tmp_path: Path) -> None:
    batch = start_batch(context, 9, f"{tmp_path}/?rows=3&format=jsonl")
    finish_items(context, batch, range(1, 10))
    work(context)
    first, second, third = sorted(tmp_path.rglob("part-*"))
    first.write_text(first.read_text().replace("billing", "selling"))
    second.unlink()
    third.write_text(third.read_text()[:-20])
    (third.parent / "stray.txt").touch()
    problems = "\n".join(problems_of(context, batch))
    for expected in ("has other bytes", "is missing", "cannot be read", "does not belong", "the batch has 9"):
        assert expected in problems
