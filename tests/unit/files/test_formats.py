"""The format of a file of results follows its suffix, and its columns follow the layout."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.errors import InvalidInput
from pipeline.files import Layout, RejectsFile, open_writer, xlsx_file
from pipeline.files.layout import parse_columns
from pipeline.files.output_format import choose_encoding
from tests.support.lazy import Lazy
from tests.unit.files.test_files import DEAD, result, write_one_and_raise

openpyxl = Lazy("openpyxl")

PAYLOAD = {"text": "Grüße", "tags": ["a", "b"], "price": {"amount": 12.5}}
RESULTS = [{**result(1), "payload": PAYLOAD}, {**result(2, **DEAD), "payload": {"text": "", "more": 1}}]


def written(path: Path, *, layout: Layout | None = None, format: str | None = None) -> bytes:
    with open_writer(path, format, layout=layout) as out:
        for each in RESULTS:
            out.write(each)
            out.flush()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "format", "is_gzip"),
    [
        ("out", "jsonl", False),
        ("-", "jsonl", False),
        ("out.gz", "jsonl", True),
        ("out.jsonl", "jsonl", False),
        ("out.NDJSON", "jsonl", False),
        ("out.jsonl.gz", "jsonl", True),
        ("out.csv", "csv", False),
        ("out.CSV.GZ", "csv", True),
        ("out.tsv", "tsv", False),
        ("out.tsv.gz", "tsv", True),
        ("2026.11.parquet", "parquet", False),
        ("out.xlsx", "xlsx", False),
    ],
)
def test_the_suffix_names_the_format(name: str, format: str, is_gzip: bool) -> None:
    chosen = choose_encoding(name)
    assert (chosen.format, chosen.is_gzip) == (format, is_gzip)


@pytest.mark.parametrize(
    "name",
    ["out.json", "out.txt", "out.xls", "out.csv.bz2", "out.jsonl.zst", "out.gz.gz", "out.json.gz", "out.30", "out.{0}"],
)
def test_an_unknown_suffix_is_refused_unless_the_format_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="written as jsonl, csv, tsv, parquet or xlsx; name one with format"):
        written(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    if not name.endswith(".gz"):
        assert b"b-1" in written(tmp_path / name, format="jsonl")


@pytest.mark.parametrize(("name", "format"), [("o.parquet.gz", None), ("o.xlsx.gz", None), ("o.gz", "xlsx")])
def test_what_is_compressed_is_not_compressed_again(tmp_path: Path, name: str, format: str | None) -> None:
    with pytest.raises(InvalidInput, match="compressed already"):
        written(tmp_path / name, format=format)


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.jsonl"])
def test_a_compressed_file_has_the_same_content(tmp_path: Path, name: str) -> None:
    compressed = written(tmp_path / f"{name}.gz")
    assert gzip.decompress(compressed) == written(tmp_path / name)
    assert compressed == written(tmp_path / f"again-{name}.gz"), "it does not depend on its name or on the time"


def test_a_compressed_file_replaces_the_old_one_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl.gz"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_one_and_raise(RuntimeError, path, None)
    assert path.read_text() == "old"


def test_tsv_is_separated_by_tabs(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(written(tmp_path / "out.tsv").decode(), newline=""), delimiter="\t"))
    assert [row["key"] for row in rows] == ["k1", "k2"]
    assert json.loads(rows[0]["classification"]) == result(1)["classification"]


COLUMNS = ("label", "key", "classification.scores.billing", "enrichment", "error.kind", "payload.text")
VALUES = [["billing", "k1", 0.5, {"language": {"code": "é"}}, None, "Grüße"], [None, "k2", None, None, "permanent", ""]]


def test_columns_choose_values_and_their_order(tmp_path: Path) -> None:
    layout = Layout(COLUMNS)
    assert layout.needs_payload
    lines = written(tmp_path / "out.jsonl", layout=layout).splitlines()
    assert [json.loads(line) for line in lines] == [dict(zip(COLUMNS, row, strict=True)) for row in VALUES]
    header, first, second = csv.reader(io.StringIO(written(tmp_path / "out.csv", layout=layout).decode()))
    assert header == list(COLUMNS)
    assert first == ["billing", "k1", "0.5", '{"language":{"code":"é"}}', "", "Grüße"]
    assert second == ["", "k2", "", "", "permanent", ""]
    written(tmp_path / "out.parquet", layout=layout)
    assert pq.read_table(tmp_path / "out.parquet").column_names == list(COLUMNS)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "xlsx"])
def test_a_flat_table_has_every_column_that_a_row_has(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    written(path, layout=Layout(is_flat=True, with_payload=True))
    if suffix == "xlsx":
        names = [cell.value for cell in next(openpyxl.load_workbook(path).active.iter_rows())]
    elif suffix == "parquet":
        names = pq.read_table(path).column_names
    else:
        names = path.read_text().splitlines()[0].split("\t" if suffix == "tsv" else ",")
    assert {"payload.text", "payload.price.amount", "payload.more", "payload.tags"} <= set(names)
    assert {"enrichment.language.code", "classification.scores.billing", "error.message"} <= set(names)
    assert {"payload", "enrichment", "error", "classification"}.isdisjoint(names)
    assert len(names) == len(set(names))


def test_flat_lines_have_the_values_of_their_own_result(tmp_path: Path) -> None:
    first, second = map(json.loads, written(tmp_path / "out.jsonl", layout=Layout(is_flat=True)).splitlines())
    assert first["enrichment.language.code"] == "é"
    assert "error.kind" not in first
    assert (second["error.kind"], second["payload.more"]) == ("permanent", 1)


def test_names_with_dots_are_found() -> None:
    layout = Layout(("classification.scores.a.b", "enrichment.x.y.z"))
    row = layout.row({"classification": {"scores": {"a.b": 1}}, "enrichment": {"x.y": {"z": 2}}})
    assert list(row.values()) == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labell", "a result has no 'labell'; did you mean 'label'"),
        ("label,", "a result has no ''"),
        ("label.x", "a result has no 'label.x'"),
        ("key,label,key", "'key' comes twice"),
        ("{0}", "a result has no '{0}'"),
    ],
)
def test_columns_that_no_result_can_have_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_columns(text)
    assert message in str(refused.value)


def cells(path: Path) -> list[list[Any]]:
    sheet = openpyxl.load_workbook(path)["results"]
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def test_a_workbook_has_text_as_text_and_numbers_as_numbers(tmp_path: Path) -> None:
    keys = ["=1+1", "+49 171", "-2", "@x", "007", "#N/A", "1e5", "Grüße 🙂", "a\nb", " x ", "\x0b", "TRUE"]
    path = tmp_path / "out.xlsx"
    with open_writer(path, layout=Layout(("key", "confidence", "seq", "enrichment"))) as out:
        for seq, key in enumerate(keys, 1):
            out.write(result(seq, key=key))
    header, *rows = cells(path)
    assert header == ["key", "confidence", "seq", "enrichment"]
    assert [row[0] for row in rows] == [key.replace("\x0b", "\N{REPLACEMENT CHARACTER}") for key in keys]
    assert rows[0][1:] == [0.5, 1, '{"language":{"code":"é"}}']
    with zipfile.ZipFile(path) as archive:
        assert b"<f>" not in archive.read("xl/worksheets/sheet1.xml"), "there is no formula"


def test_a_workbook_says_what_it_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.xlsx"
    with open_writer(path, layout=Layout(("key", "attempts"))) as out:
        out.write(result(1, key="x" * 40_000, attempts=2**60))
    assert cells(path)[1] == ["x" * (xlsx_file.MAX_CHARACTERS - 1) + "…", str(2**60)]
    monkeypatch.setattr(xlsx_file, "MAX_ROWS", 3)
    monkeypatch.setattr("tests.unit.files.test_formats.RESULTS", [result(seq) for seq in range(1, 4)])
    with pytest.raises(InvalidInput, match="at most 3 rows"):
        written(path)
    assert len(cells(path)) == 2, "the old file is unchanged"


@pytest.mark.parametrize("name", ["r.csv", "r.json", "r.jsonl.gz", "r.XLSX"])
def test_rejected_items_are_not_written_under_the_name_of_another_format(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="written as JSON Lines"):
        RejectsFile(tmp_path / name)
