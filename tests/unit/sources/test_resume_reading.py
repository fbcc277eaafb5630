"""Reading goes on after any record, and yields what an uninterrupted reading does."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.errors import InvalidInput
from pipeline.sources import ReadOptions, ReadReport, open_source
from tests.support.lazy import Lazy
from tests.support.packed import packed_zstd

openpyxl = Lazy("openpyxl")

CSV = (
    b'\xef\xbb\xbf\nid,text\n1,a\n2,"b\nb"\n\nx\n3,"open\n4,d\n'
    + b"5,"
    + b"y" * 90
    + b'\nid,text\n6,\xff\n7,"""g"""\n8,h'
)
JSONL = b'\n{"id": 1}\n{"id": 2, "text": "' + b"x" * 200 + b'"}\n\nnonsense\n{"id": 3}'
ARRAY = b'[ {"id": 1},\n\n{"id": 2},3, {"id": 4}\n ]\n'
NESTED = b'{"meta": {"results": [1, "]"]}, "data": {"n": 1, "results": [{"id": 1},\n{"id": "]}"}]}, "more": [{}]}\n'
TABLE = pa.table({"id": list(range(7)), "text": [f"{n}" for n in range(7)]})


def zipped(content, names=("b.csv", "a.csv")):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


def tarred(content, names=("b.csv", "a.csv")):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def parquet():
    file = io.BytesIO()
    pq.write_table(TABLE, file, row_group_size=3)
    return file.getvalue()


def arrow(opener):
    file = io.BytesIO()
    with opener(file, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3)
    return file.getvalue()


def workbook():
    book = openpyxl.Workbook()
    for row in (["id", "text"], [1, "a"], [], [2, None], ["id", "text"], [3, "c"], [4, "d", "beyond"]):
        book.active.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


FILES = {
    "a.csv": CSV,
    "cr.csv": b'id,text\r1,a\r2,"b\rb"\r3,c\r',
    "utf16.csv": "id,text\r\n1,é\r\n2,日本\r\n".encode("utf-16"),
    "latin.csv": "id;text\r\n1;é\r\n2;ü\r\n".encode("latin-1"),
    "a.csv.gz": gzip.compress(CSV),
    "a.csv.bz2": bz2.compress(CSV),
    "a.csv.xz": lzma.compress(CSV),
    "a.csv.zst": packed_zstd(CSV),
    "a.jsonl": JSONL,
    "a.json": ARRAY,
    "bom.json": b"\xef\xbb\xbf" + ARRAY,
    "nested.json": NESTED,
    "a.zip": zipped(CSV),
    "json.zip": zipped(ARRAY, ("a.json", "b.json")),
    "a.tar": tarred(CSV),
    "a.tar.gz": gzip.compress(tarred(CSV)),
    "a.parquet": parquet(),
    "a.arrow": arrow(pa.ipc.new_file),
    "stream.arrow": arrow(pa.ipc.new_stream),
    "a.xlsx": workbook(),
    "in.zip": zipped(workbook(), ("a.xlsx", "b.xlsx")),
}
OPTIONS = {
    "latin.csv": {"encoding": "latin-1"},
    "nested.json": {"items": "data.results"},
    "a.csv": {"max_bytes": 8},
    "a.jsonl": {"max_bytes": 16},
}


def seen(items):
    return [(item.file, item.line, getattr(item, "payload", None), getattr(item, "reason", None)) for item in items]


def read(locations, after=None, **options):
    return open_source(locations, ReadOptions(**options), ReadReport()).read(after)


def check_resumes_everywhere(locations, options):
    whole = list(read(locations, **options))
    assert whole
    for number, item in enumerate(whole, 1):
        # As it is stored, and read by another process.
        after = InputCursor.from_json(item.after.to_json())
        rest = list(read(locations, after, **options))
        assert seen(rest) == seen(whole[number:]), item
        assert [each.after for each in rest] == [each.after for each in whole[number:]]
    return whole


@pytest.mark.parametrize("name", FILES)
def test_reading_goes_on_after_each_record(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    assert len(check_resumes_everywhere([tmp_path / name], OPTIONS.get(name, {}))) > 1


def test_reading_goes_on_in_each_of_several_files(tmp_path):
    for name, content in (("a.csv", CSV), ("b.csv.gz", gzip.compress(CSV)), ("c.csv", b"text,id\nz,9\n")):
        (tmp_path / name).write_bytes(content)
    check_resumes_everywhere([f"{tmp_path}/"], {})


def test_files_must_agree_with_the_first_after_an_interruption_too(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n1,a\n")
    (tmp_path / "b.csv").write_text("id,text\n2,b\n")
    *_, last = read([f"{tmp_path}/"])
    (tmp_path / "c.csv").write_text("id\n1\n")
    with pytest.raises(InvalidInput, match=r"c\.csv has no column 'text'"):
        list(read([f"{tmp_path}/"], last.after))


def test_standard_input_cannot_be_resumed():
    source = open_source(["-"], ReadOptions(), ReadReport(), stdin=io.BytesIO(CSV))
    assert source.fingerprint() is None
    assert {item.after for item in source.read()} == {None}


def test_an_opened_file_is_closed_when_reading_ends_early(tmp_path):
    (tmp_path / "a.csv").write_bytes(CSV * 100)
    items = read([tmp_path / "a.csv"])
    first = next(items)
    again = read([tmp_path / "a.csv"], first.after)
    next(again)
    # ResourceWarnings are errors here.
    items.close()
    again.close()


LINES = st.lists(st.sampled_from([b"1,a", b'2,"b', b'b"', b'"', b"", b",", b"3,c,d", b'4,"d"e', b'"x","y"', b"\xff,z"]))


@given(lines=LINES, ends=st.sampled_from([b"\n", b"\r\n", b"\r"]), limit=st.sampled_from([4, 16, 1000]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_any_table_goes_on_after_each_record(tmp_path, lines, ends, limit):
    path = tmp_path / "a.csv"
    path.write_bytes(ends.join([b"id,text", *lines]))
    try:
        whole = list(read([path], max_bytes=limit))
    except InvalidInput:
        return
    for number, item in enumerate(whole, 1):
        assert seen(read([path], item.after, max_bytes=limit)) == seen(whole[number:])
