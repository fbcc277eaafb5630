"""Several files are one source: a glob, a folder, or files given by name."""

from __future__ import annotations

import gzip

import pytest

from pipeline.errors import InvalidInput, NoItems
from pipeline.sources import ReadOptions, ReadReport, Rejection, open_source


def read(*locations, after=None, **options):
    return list(open_source(locations, ReadOptions(**options), ReadReport()).read(after))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "b.csv").write_bytes(b"\xef\xbb\xbftext,id\nb,2\nx\n")
    (folder / "a.csv").write_bytes(b"\xef\xbb\xbfid,text\n1,a\n")
    (folder / "c.csv.gz").write_bytes(gzip.compress(b"id,text\n3,c\n"))
    (folder / ".hidden.csv").write_text("nonsense")
    (folder / "readme.md").write_text("nonsense")
    (folder / "below").mkdir()
    (folder / "below" / "d.csv").write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("locations", [["in/"], ["in/*.csv*"], ["in/a.csv", "in/b.csv", "in/c.csv.gz"]])
def test_files_are_read_in_order_and_a_rejection_names_file_and_line(folder, locations):
    items = read(*locations)
    assert [(item.file, item.line) for item in items] == [
        ("in/a.csv", 2), ("in/b.csv", 2), ("in/b.csv", 3), ("in/c.csv.gz", 2),
    ]  # fmt: skip
    assert [item.payload for item in items if not isinstance(item, Rejection)] == [
        {"id": "1", "text": "a"}, {"id": "2", "text": "b"}, {"id": "3", "text": "c"},
    ]  # fmt: skip
    (rejected,) = [item for item in items if isinstance(item, Rejection)]
    assert rejected.place == "in/b.csv, line 3"


def test_a_single_file_is_not_named_in_records(folder):
    (item,) = read("in/a.csv")
    assert (item.file, item.line) == (None, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\n1\n", "in/d.csv has no column 'text' that in/a.csv has"),
        ("id,text,extra\n1,a,b\n", "in/d.csv has a column 'extra' that in/a.csv does not have"),
    ],
)
def test_tables_must_have_the_same_columns(folder, content, message):
    (folder / "d.csv").write_text(content)
    with pytest.raises(InvalidInput, match=message):
        read("in/")


def test_files_must_have_the_same_format(folder):
    (folder / "d.jsonl").write_text('{"id": 1}')
    with pytest.raises(InvalidInput, match=r"in/d\.jsonl is jsonl, but in/a\.csv is csv"):
        read("in/")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("in/*.xlsx", "no file matches 'in/\\*.xlsx'"),
        ("in", "in is a folder; put a slash at its end"),
        ("nowhere/", "cannot read the folder nowhere: No such file"),
        ("in/below/../../empty/", "holds no file that can be read \\(it is empty\\)"),
        ("in/a.cvs", "there is no file in/a.cvs; did you mean 'a.csv'"),
    ],
)
def test_what_stands_for_no_file_says_so(folder, location, message):
    (folder.parent / "empty").mkdir()
    with pytest.raises(InvalidInput, match=message):
        read(location)


def test_a_file_given_twice_is_refused(folder):
    with pytest.raises(InvalidInput, match=r"in/a\.csv is given twice"):
        read("in/*.csv", "in/a.csv")


def test_a_name_with_brackets_is_a_file_if_there_is_one(folder):
    (folder / "a[1].csv").write_text("id,text\n9,z\n")
    assert read("in/a[1].csv")[0].payload == {"id": "9", "text": "z"}


def test_a_source_is_described_without_what_does_not_change_its_items(folder):
    source = open_source(["in/"], ReadOptions(encoding="UTF8", max_ratio=7), ReadReport())
    assert source.describe() == {"name": "in/", "files": 3, "options": {"encoding": "utf-8"}}


def test_progress_counts_the_bytes_of_the_files_as_they_are_stored(folder):
    source = open_source(["in/"], ReadOptions(), ReadReport())
    sizes = [(folder / name).stat().st_size for name in ("a.csv", "b.csv", "c.csv.gz")]
    seen = [source.progress() for _ in source.read()]
    assert seen[-1].bytes_total == sum(sizes)
    assert source.progress().bytes_read == sum(sizes)
    assert [each.bytes_read for each in seen] == sorted(each.bytes_read for each in seen)


def test_files_without_any_item_are_an_error_only_together(folder):
    (folder / "0.csv").write_text("id,text\n")
    assert len(read("in/")) == 4
    with pytest.raises(NoItems, match=r"no items in in/0\.csv"):
        read("in/0.csv")


def test_formats_are_known_by_content_where_the_name_says_nothing(tmp_path):
    for name in ("a", "a.txt", "a.dat", "a.log.gz"):
        (tmp_path / name).write_bytes(b'{"id": 1}\n')
        assert read(tmp_path / name)[0].payload == {"id": 1}
        (tmp_path / name).write_bytes(b"id;text\n1;a\n")
        assert read(tmp_path / name)[0].payload == {"id": "1", "text": "a"}
