"""Which results a part has, what it is called, what a manifest says, and how a result becomes a row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.urls.export_target import ExportFormat, ExportOptions, Partition
from pipeline.exports.rules.manifest import (
    completion_of,
    encode_manifest,
    is_of_same_completion,
    is_same_manifest,
    make_manifest,
)
from pipeline.exports.rules.part_names import NO_VALUE, part_name, partition_value
from pipeline.exports.rules.part_range import LogEntry, OpenRange
from pipeline.exports.rules.table_rows import COLUMNS, newest_by_key, table_row

AT = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = ("created_at", "queued_at", "started_at", "classified_at", "finished_at")


def entry(seq: int, size: int = 10, *, is_result: bool = True) -> LogEntry:
    return LogEntry(seq, size, is_result, AT + timedelta(seconds=seq))


@given(
    sizes=st.lists(st.tuples(st.integers(1, 100), st.booleans()), max_size=50),
    rows=st.integers(1, 10),
    limit=st.integers(1, 300),
)
def test_ranges_cover_the_log_without_gaps_and_are_as_small_as_possible(
    sizes: list[tuple[int, bool]], rows: int, limit: int
) -> None:
    options = ExportOptions(rows=rows, bytes=limit)
    ranges = [OpenRange.starting_at(1)]
    for seq, (size, is_result) in enumerate(sizes, 1):
        if ranges[-1].add(entry(seq, size, is_result=is_result), options):
            ranges.append(OpenRange.starting_at(seq + 1))
    assert [each.first_seq for each in ranges[1:]] == [each.last_seq + 1 for each in ranges[:-1]]
    assert sum(each.rows for each in ranges) == sum(is_result for _, is_result in sizes)
    for each in ranges[:-1]:
        assert each.is_full(options)
        assert each.rows <= rows
        last = sizes[each.last_seq - 1][0]
        assert each.rows == rows or each.bytes - last < limit


def test_a_range_is_due_by_the_clock_from_its_first_result() -> None:
    options = ExportOptions(seconds=60)
    range_ = OpenRange.starting_at(1)
    assert not range_.is_due(options, AT + timedelta(days=1))
    range_.add(entry(1, is_result=False), options)
    assert not range_.is_due(options, AT + timedelta(days=1))
    range_.add(entry(2), options)
    range_.add(entry(30), options)
    assert not range_.is_due(options, AT + timedelta(seconds=61))
    assert range_.is_due(options, AT + timedelta(seconds=62))
    assert not range_.is_due(ExportOptions(seconds=0), AT + timedelta(days=1))


@given(st.one_of(st.none(), st.text(max_size=300)), st.one_of(st.none(), st.text(max_size=300)))
def test_names_of_partitions_are_folders_and_differ(one: str | None, other: str | None) -> None:
    names = [part_name(1, 2, ExportFormat.CSV, Partition.LABEL, value) for value in (one, other)]
    for name in names:
        folder, _, file = name.partition("/")
        assert file == "part-000000000001-000000000002.csv"
        assert folder.startswith("label=")
        assert folder.isascii()
        assert len(folder) <= 255
        assert folder.removeprefix("label=") not in ("", ".", "..")
    assert (names[0] == names[1]) is (one == other)
    assert (NO_VALUE in names[0]) is (one is None or NO_VALUE in one)


def test_values_to_partition_by() -> None:
    result = {"label": None, "state": "dead", "timings": {"finished_at": "2026-11-21T10:15:02.250000Z"}}
    assert [partition_value(each, result) for each in Partition] == [None, "dead", "2026-11-21"]


def manifest(number: int, *, completion: int = 1, now: datetime = AT) -> dict[str, Any]:
    batch = {"public_id": "b", "definition": "d", "total": 3, "succeeded": number, "dead": 0, "cancelled": 0}
    parts = [
        {
            "name": f"p{each}",
            "partition": None,
            "first_seq": each,
            "last_seq": each,
            "rows": 1,
            "bytes": 9,
            "sha256": "x",
        }
        for each in range(1, number + 1)
    ]
    return make_manifest(batch, parts, completion=completion, schema=[], now=now)


def test_manifests_are_compared_by_what_they_say() -> None:
    stored = encode_manifest(manifest(2))
    assert is_same_manifest(stored, manifest(2, now=AT + timedelta(days=1)))
    assert not is_same_manifest(stored, manifest(3))
    assert is_of_same_completion(stored, manifest(3))
    assert not is_of_same_completion(stored, manifest(1))
    assert not is_of_same_completion(stored, manifest(3, completion=2))
    assert completion_of(stored) == ("b", 1)
    for other in (b"", b"[]", b"{}", b"\xff", b'{"parts": 1}'):
        assert not is_same_manifest(other, manifest(2))
        assert not is_of_same_completion(other, manifest(2))
        assert completion_of(other) is None


def result(key: str | None, seq: int, finished_at: str | None = "2026-01-01T00:00:00.000001Z") -> dict[str, Any]:
    timings = dict.fromkeys(TIMES, finished_at)
    named = {"batch_id": "b", "item_id": "b-1", "key": key, "seq": seq, "state": "dead", "label": None, "attempts": 1}
    answers: dict[str, Any] = {"confidence": None, "classification": None, "enrichment": {"a": [1]}}
    return {**named, **answers, "error": None, "timings": timings}


def test_a_result_is_a_row_with_every_column() -> None:
    row = table_row(result("k", 1))
    assert row.keys() == COLUMNS.keys()
    assert (row["enrichment"], row["classification"], row["error_kind"]) == ('{"a":[1]}', None, None)


def test_the_newest_row_of_a_key_is_kept_and_all_without_one() -> None:
    early, late = "2026-01-01T00:00:00.000000Z", "2026-01-02T00:00:00.000000Z"
    aged = [result("a", 1, late), result("a", 2, early)]
    rows = [table_row(each) for each in (*aged, result("b", 3), result("b", 4), result(None, 5), result(None, 6))]
    assert [(row["key"], row["seq"]) for row in newest_by_key(rows)] == [("a", 1), ("b", 4), (None, 5), (None, 6)]
