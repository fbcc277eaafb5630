"""Writing results and rejections."""

from __future__ import annotations

import csv
import io
import json
import os
import threading

import pyarrow.parquet as pq
import pytest

from pipeline.errors import InvalidInput
from pipeline.files import Rejects, last_seq, write_rejects, writer
from pipeline.sources import Rejection, read

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


def write_until(error, target, format, **options):
    with writer(target, format, **options) as out:
        out.write(result(1))
        out.flush()
        raise error


def test_lines_can_be_followed_as_they_are_flushed(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("from an earlier run\n")
    with writer(path) as out:
        for seq in (1, 2):
            out.write(result(seq))
            out.flush()
            assert lines(path)[-1] == result(seq)
    assert lines(path) == [result(1), result(2)]
    assert " " not in path.read_text()


def test_lines_written_before_an_error_are_kept(tmp_path):
    path = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_until(KeyboardInterrupt, path, "jsonl")
    assert lines(path) == [result(1)]


def test_appending_goes_on_after_the_last_whole_line(tmp_path):
    path = tmp_path / "out.jsonl"
    whole = "".join(json.dumps(result(seq, key="x" * 50_000)) + "\n" for seq in (1, 2, 3))
    path.write_text(whole + json.dumps(result(4, key="x" * 200_000))[:-1])
    assert last_seq(path) == 3
    with writer(path, append=True) as out:
        out.write(result(4))
    assert [line["seq"] for line in lines(path)] == [1, 2, 3, 4]
    assert last_seq(path) == 4


@pytest.mark.parametrize("content", [None, "", '{"seq": 7', "no json\n", "[]\n"])
def test_a_file_without_a_whole_result_is_begun_from_the_first(tmp_path, content):
    path = tmp_path / "out.jsonl"
    if content is not None:
        path.write_text(content)
    assert last_seq(path) == 0
    with writer(path, append=True) as out:
        out.write(result(1))
    assert last_seq(path) == 1


def test_csv_has_a_column_for_each_known_field(tmp_path):
    path = tmp_path / "out.csv"
    with writer(path, "csv") as out:
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
def test_csv_text_never_runs_as_a_formula(key):
    out = io.BytesIO()
    with writer("-", "csv", stdout=out) as rows:
        rows.write(result(1, key=key, confidence=-0.5))
    row = next(csv.DictReader(io.StringIO(out.getvalue().decode(), newline="")))
    assert row["key"] == "'" + key
    assert row["confidence"] == "-0.5"


def test_csv_can_be_read_as_items_again(tmp_path):
    path, key = tmp_path / "out.csv", 'a "quoted", key\nof two\rlines\r\n'
    with writer(path, "csv") as out:
        out.write(result(1, key=key))
    (record,) = read(path)
    assert record.payload["key"] == key


def test_parquet_holds_every_result_in_groups_of_ten_thousand(tmp_path):
    path = tmp_path / "out.parquet"
    with writer(path, "parquet") as out:
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


def test_parquet_without_results_is_a_file_without_rows(tmp_path):
    with writer(tmp_path / "out.parquet", "parquet"):
        pass
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_table_replaces_the_old_one_only_when_it_is_whole(tmp_path, format):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_until(RuntimeError, path, format)
    assert path.read_text() == "old"
    with writer(path, format) as out:
        out.write(result(1))
        out.flush()
        assert path.read_text() == "old"
    assert path.read_bytes() != b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_table_written_to_a_link_replaces_what_it_points_to(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with writer(tmp_path / "link.csv", "csv") as out:
        out.write(result(1))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("batch_id,")


def test_a_table_can_be_written_to_a_named_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read_back = []
    reader = threading.Thread(target=lambda: read_back.append(path.read_text()))
    reader.start()
    with writer(path, "csv") as out:
        out.write(result(1))
    reader.join()
    assert len(read_back[0].splitlines()) == 2
    assert path.is_fifo()


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_standard_output_is_written_and_left_open(format):
    out = io.BytesIO()
    with writer("-", format, stdout=out) as results:
        results.write(result(1))
    assert b"b-1" in out.getvalue()
    assert not out.closed


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
def test_a_reader_that_has_gone_is_the_callers_to_handle(format):
    receiving, sending = os.pipe()
    os.close(receiving)
    with open(sending, "wb", buffering=0) as stdout, pytest.raises(BrokenPipeError):
        write_until(RuntimeError, "-", format, stdout=stdout)


def test_a_target_that_cannot_be_written_is_refused_before_any_result(tmp_path):
    for format in ("jsonl", "csv", "parquet"):
        with (
            pytest.raises(InvalidInput, match="there is no folder .*/no; make it first"),
            writer(tmp_path / "no" / "out", format),
        ):
            pass
        with pytest.raises(InvalidInput, match="it is a folder"), writer(tmp_path, format):
            pass
    with (
        pytest.raises(InvalidInput, match="unknown format 'xlsx'; results are"),
        writer(tmp_path / "out", "xlsx"),
    ):
        pass
    with pytest.raises(InvalidInput, match="cannot append to csv"), writer(tmp_path / "out", "csv", append=True):
        pass
    assert os.listdir(tmp_path) == []


def test_parquet_is_not_written_to_a_terminal():
    main, terminal = os.openpty()
    with open(main, "rb"), open(terminal, "wb", buffering=0) as stdout, pytest.raises(InvalidInput, match="a terminal"):
        write_until(RuntimeError, "-", "parquet", stdout=stdout)


def test_rejections_are_in_the_file_as_soon_as_they_are_written(tmp_path):
    path = tmp_path / "rejects.jsonl"
    with Rejects(path) as rejects:
        rejects.write(Rejection(3, "an array, not an object", "[1]"))
        assert lines(path) == [{"line": 3, "reason": "an array, not an object", "text": "[1]"}]
    assert rejects.count == 1


def test_rejections_before_an_input_breaks_off_are_kept(tmp_path):
    source = tmp_path / "in.json"
    source.write_text('[1, {"a": 1}, 2, {"a"')
    items = read(source)
    with pytest.raises(InvalidInput, match="cut off"):
        write_rejects(tmp_path / "rejects.jsonl", (item for item in items if isinstance(item, Rejection)))
    assert [line["text"] for line in lines(tmp_path / "rejects.jsonl")] == ["1", "2"]


def test_a_rejects_file_without_rejections_is_empty(tmp_path):
    path = tmp_path / "rejects.jsonl"
    path.write_text("from an earlier run\n")
    assert write_rejects(path, []) == 0
    assert path.read_text() == ""
    with pytest.raises(InvalidInput, match="there is no folder"):
        write_rejects(tmp_path / "no" / "rejects.jsonl", [])
