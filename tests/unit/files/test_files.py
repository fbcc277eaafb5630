"""Writing results and rejections."""

from __future__ import annotations

import csv
import io
import json
import os
import threading

import pyarrow.parquet as pq
import pytest

from pipeline.cli.file_conflicts import check_file_conflicts
from pipeline.errors import InvalidInput
from pipeline.files import RejectsFile, open_writer, read_last_seq, write_rejects
from pipeline.sources import Rejection, read_items

TIMES = {name: "2026-03-01T12:00:00.000000Z" for name in ("created_at", "queued_at", "started_at", "finished_at")}


def result(seq, **changes):
    return {
        "batch_id": "b",
        "item_id": f"b-{seq}",
        "key": f"k{seq}",
        "seq": seq,
        "state": "succeeded",
        "label": "billing",
        "confidence": 0.5,
        "classification": {"label": "billing", "scores": {"billing": 0.5}},
        "enrichment": {"language": {"code": "é"}},
        "error": None,
        "attempts": 2,
        "timings": {**TIMES, "classified_at": None},
        **changes,
    }


DEAD = {
    "state": "dead",
    "label": None,
    "confidence": None,
    "classification": None,
    "enrichment": None,
    "error": {"kind": "permanent", "type": "Permanent", "message": "no such company", "stage": "enrich"},
}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_one_and_raise(error, target, format, **options):
    with open_writer(target, format, **options) as out:
        out.write(result(1))
        out.flush()
        raise error


def test_a_link_that_points_to_itself_is_no_fault_of_the_program(tmp_path):
    path = tmp_path / "out.jsonl"
    path.symlink_to(path.name)
    check_file_conflicts(reads={"INPUT": path}, writes={"-o": tmp_path / "other.jsonl"})
    with pytest.raises(InvalidInput, match="cannot write"), open_writer(path):
        pass
    with open_writer(path, "csv") as out:
        out.write(result(1))
    assert path.is_file()


def test_lines_can_be_read_as_soon_as_they_are_flushed(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("from an earlier run\n")
    with open_writer(path) as out:
        for seq in (1, 2):
            out.write(result(seq))
            out.flush()
            assert lines(path)[-1] == result(seq)
    assert lines(path) == [result(1), result(2)]
    assert " " not in path.read_text()


def test_lines_written_before_an_error_are_kept(tmp_path):
    path = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_one_and_raise(KeyboardInterrupt, path, "jsonl")
    assert lines(path) == [result(1)]


def test_appending_continues_after_the_last_complete_line(tmp_path):
    path = tmp_path / "out.jsonl"
    complete = "".join(json.dumps(result(seq, key="x" * 50_000)) + "\n" for seq in (1, 2, 3))
    path.write_text(complete + json.dumps(result(4, key="x" * 200_000))[:-1])
    assert read_last_seq(path) == 3
    with open_writer(path, append=True) as out:
        out.write(result(4))
    assert [line["seq"] for line in lines(path)] == [1, 2, 3, 4]
    assert read_last_seq(path) == 4


@pytest.mark.parametrize("content", [None, "", '{"seq": 7', "no json\n", "[]\n"])
def test_a_file_without_a_complete_result_starts_with_the_first(tmp_path, content):
    path = tmp_path / "out.jsonl"
    if content is not None:
        path.write_text(content)
    assert read_last_seq(path) == 0
    with open_writer(path, append=True) as out:
        out.write(result(1))
    assert read_last_seq(path) == 1


def test_csv_has_a_column_for_each_field(tmp_path):
    path = tmp_path / "out.csv"
    with open_writer(path, "csv") as out:
        out.write(result(1))
        out.write(result(2, **DEAD))
    first, second = csv.DictReader(io.StringIO(path.read_text(), newline=""))
    assert first["label"] == "billing"
    assert first["confidence"] == "0.5"
    assert json.loads(first["classification"]) == result(1)["classification"]
    assert json.loads(first["enrichment"]) == result(1)["enrichment"]
    assert first["timings.created_at"] == TIMES["created_at"]
    assert (first["error.kind"], first["timings.classified_at"]) == ("", "")
    assert (second["error.kind"], second["error.message"]) == ("permanent", "no such company")
    assert (second["label"], second["enrichment"]) == ("", "")


@pytest.mark.parametrize("key", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_text_cannot_run_as_a_formula(key):
    out = io.BytesIO()
    with open_writer("-", "csv", stdout=out) as rows:
        rows.write(result(1, key=key, confidence=-0.5))
    row = next(csv.DictReader(io.StringIO(out.getvalue().decode(), newline="")))
    assert row["key"] == "'" + key
    assert row["confidence"] == "-0.5"


def test_csv_output_can_be_read_as_input(tmp_path):
    path, key = tmp_path / "out.csv", 'a "quoted", key\nof two\rlines\r\n'
    with open_writer(path, "csv") as out:
        out.write(result(1, key=key))
    (record,) = read_items(path)
    assert record.payload["key"] == key


def test_parquet_contains_every_result_in_row_groups_of_ten_thousand(tmp_path):
    path = tmp_path / "out.parquet"
    with open_writer(path, "parquet") as out:
        for seq in range(1, 10_002):
            out.write(result(seq, **(DEAD if seq == 2 else {})))
            out.flush()
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [10_000, 1]
    first, second = file.read().slice(0, 2).to_pylist()
    assert list(first) == list(result(1))
    assert (first["seq"], first["confidence"], first["attempts"]) == (1, 0.5, 2)
    assert json.loads(first["enrichment"]) == result(1)["enrichment"]
    assert json.loads(first["timings"]) == result(1)["timings"]
    assert (first["error"], second["classification"]) == (None, None)
    assert json.loads(second["error"]) == DEAD["error"]


def test_parquet_without_results_has_no_rows(tmp_path):
    with open_writer(tmp_path / "out.parquet", "parquet"):
        pass
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet", "xlsx"])
def test_a_table_replaces_the_old_file_only_when_it_is_complete(tmp_path, format):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_one_and_raise(RuntimeError, path, format)
    assert path.read_text() == "old"
    with open_writer(path, format) as out:
        out.write(result(1))
        out.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() != b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_table_written_to_a_symbolic_link_replaces_its_target(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with open_writer(tmp_path / "link.csv", "csv") as out:
        out.write(result(1))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("batch_id,")


def test_a_table_can_be_written_to_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_text()))
    reader.start()
    with open_writer(path, "csv") as out:
        out.write(result(1))
    reader.join()
    assert len(received[0].splitlines()) == 2
    assert path.is_fifo()


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_standard_output_is_written_and_left_open(format):
    out = io.BytesIO()
    with open_writer("-", format, stdout=out) as results:
        results.write(result(1))
    assert b"b-1" in out.getvalue()
    assert not out.closed


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv", "parquet", "xlsx"])
def test_a_closed_pipe_raises_broken_pipe_error(format):
    receiving, sending = os.pipe()
    os.close(receiving)
    with open(sending, "wb", buffering=0) as stdout, pytest.raises(BrokenPipeError):
        write_one_and_raise(RuntimeError, "-", format, stdout=stdout)


def test_an_invalid_target_is_rejected_before_any_result(tmp_path):
    for format in ("jsonl", "csv", "tsv", "parquet", "xlsx"):
        with (
            pytest.raises(InvalidInput, match="there is no folder .*/no; create it first"),
            open_writer(tmp_path / "no" / "out", format),
        ):
            pass
        with pytest.raises(InvalidInput, match="it is a folder"), open_writer(tmp_path, format):
            pass
    with (
        pytest.raises(InvalidInput, match="unknown format 'docx'; .*results are written as"),
        open_writer(tmp_path / "out", "docx"),
    ):
        pass
    with pytest.raises(InvalidInput, match="cannot append to csv"), open_writer(tmp_path / "out", "csv", append=True):
        pass
    assert os.listdir(tmp_path) == []


def test_parquet_is_not_written_to_a_terminal():
    main, terminal = os.openpty()
    with open(main, "rb"), open(terminal, "wb", buffering=0) as stdout, pytest.raises(InvalidInput, match="a terminal"):
        write_one_and_raise(RuntimeError, "-", "parquet", stdout=stdout)


def test_each_rejection_is_in_the_file_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "rejects.jsonl"
    with RejectsFile(path) as rejects:
        rejects.write(Rejection(3, "an array, not an object", "[1]"))
        assert lines(path) == [{"line": 3, "reason": "an array, not an object", "text": "[1]"}]
    assert rejects.count == 1


def test_rejections_before_the_end_of_a_truncated_input_are_kept(tmp_path):
    source = tmp_path / "in.json"
    source.write_text('[1, {"a": 1}, 2, {"a"')
    items = read_items(source)
    with pytest.raises(InvalidInput, match="truncated"):
        write_rejects(tmp_path / "rejects.jsonl", (item for item in items if isinstance(item, Rejection)))
    assert [line["text"] for line in lines(tmp_path / "rejects.jsonl")] == ["1", "2"]


def test_a_rejects_file_without_rejections_is_empty(tmp_path):
    path = tmp_path / "rejects.jsonl"
    path.write_text("from an earlier run\n")
    assert write_rejects(path, []) == 0
    assert path.read_text() == ""
    with pytest.raises(InvalidInput, match="there is no folder"):
        write_rejects(tmp_path / "no" / "rejects.jsonl", [])
