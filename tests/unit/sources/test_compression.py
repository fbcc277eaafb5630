"""Compressed files and archives are known by their first bytes, and are not read for ever."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile

import pytest

from pipeline.errors import InvalidInput
from pipeline.sources import ReadOptions, ReadReport, archive, open_source
from tests.support.packed import packed_zstd

CSV = b"id,text\n1,a\n2,b\n"
COMPRESSIONS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": packed_zstd}


@pytest.fixture
def read(tmp_path):
    def read(content, name="a.csv", **options):
        path = tmp_path / name
        path.write_bytes(content)
        return list(open_source([path], ReadOptions(**options), ReadReport()).read())

    return read


def payloads(items):
    return [item.payload for item in items]


ITEMS = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
def test_a_compressed_table_is_read_whatever_its_name(read, kind, name):
    assert payloads(read(COMPRESSIONS[kind](CSV), name)) == ITEMS
    appended = COMPRESSIONS[kind](CSV) + COMPRESSIONS[kind](b"3,c\n")
    assert payloads(read(appended, name)) == [*ITEMS, {"id": "3", "text": "c"}]


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_compressed_data_that_is_cut_off_or_damaged_is_refused(read, kind):
    content = COMPRESSIONS[kind](CSV * 1_000)
    with pytest.raises(InvalidInput, match=f"a.csv is truncated: the {kind} data ends too early"):
        read(content[:-6])
    half = len(content) // 2
    with pytest.raises(InvalidInput, match=f"a.csv (contains damaged {kind} data|is truncated)"):
        read(content[:half] + bytes(8) + content[half + 8 :])


def test_text_may_begin_like_bzip2(read):
    assert payloads(read(b"BZh9,text\n1,a\n")) == [{"BZh9": "1", "text": "a"}]


@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_a_bomb_is_refused(read, kind):
    row = b"1," + b"a" * 100_000 + b"\n"
    content = COMPRESSIONS[kind](b"id,text\n" + row * 120)
    with pytest.raises(InvalidInput, match="to more than 200 times its size; if that is right, --max-ratio 2000"):
        read(content)


def test_a_higher_ratio_can_be_allowed(read):
    content = gzip.compress(b"id,text\n" + (b"1," + b"a" * 100_000 + b"\n") * 120)
    with pytest.raises(InvalidInput, match="--max-ratio 2000"):
        read(content)
    assert len(read(content, max_ratio=2_000)) == 120


def zipped(members, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


ARCHIVES = {"zip": zipped, "tar": tarred, "tar.zst": lambda members: packed_zstd(tarred(members))}
MEMBERS = {
    "readme.pdf": b"%PDF-1.7",
    "../../etc/b.csv": b"id,text\n1,a\n",
    "__MACOSX/._b.csv": b"\x00\x05\x16\x07",
    "/absolute/c.csv.gz": gzip.compress(b"id,text\n2,b\n"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_the_members_of_known_formats_are_read_and_nothing_is_written(read, tmp_path, kind):
    items = read(ARCHIVES[kind](MEMBERS), "in.dat")
    assert payloads(items) == ITEMS
    assert [item.file for item in items] == [
        f"{tmp_path}/in.dat: ../../etc/b.csv",
        f"{tmp_path}/in.dat: /absolute/c.csv.gz",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["in.dat"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_members_are_chosen_by_a_glob(read, kind):
    assert payloads(read(ARCHIVES[kind](MEMBERS), "in.dat", member="*.gz")) == ITEMS[1:]
    with pytest.raises(InvalidInput, match=r"no member matches '\*\.json' \(readme\.pdf, "):
        read(ARCHIVES[kind](MEMBERS), "in.dat", member="*.json")


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_without_anything_to_read_says_what_is_in_it(read, kind):
    with pytest.raises(InvalidInput, match=r"holds no file that can be read \(readme\.pdf, logo\.png\)"):
        read(ARCHIVES[kind]({"readme.pdf": b"", "logo.png": b""}), "in.dat")


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("inner", [zipped, tarred])
def test_an_archive_in_an_archive_is_refused(read, kind, inner):
    with pytest.raises(InvalidInput, match="a.csv is an archive inside an archive"):
        read(ARCHIVES[kind]({"a.csv": inner({"b.csv": CSV})}), "in.dat")


@pytest.mark.parametrize("kind", ARCHIVES)
def test_too_many_members_are_refused(read, kind, monkeypatch):
    assert archive.MAX_MEMBERS == 10_000
    monkeypatch.setattr(archive, "MAX_MEMBERS", 1_000)
    with pytest.raises(InvalidInput, match="has more than 1,000 members"):
        read(ARCHIVES[kind]({f"{number}.bin": b"" for number in range(1_001)}), "in.dat")


def test_an_encrypted_archive_is_refused(read):
    content = bytearray(zipped({"a.csv": CSV}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(magic) + offset
        struct.pack_into("<H", content, place, 1)
    with pytest.raises(InvalidInput, match="is encrypted: a.csv needs a password"):
        read(bytes(content), "in.zip")


@pytest.mark.parametrize("cut", [10, 40, 100])
def test_a_damaged_archive_is_refused(read, cut):
    rows = b"".join(b"%d,%d\n" % (number, number * 7919) for number in range(200))
    content = zipped({"a.csv": b"id,text\n" + rows})
    with pytest.raises(InvalidInput, match=r"in\.zip (is damaged|holds no file)"):
        read(content[:-cut], "in.zip")
    with pytest.raises(InvalidInput, match=r"in\.zip is damaged"):
        read(content[:60] + bytes(20) + content[80:], "in.zip")


def test_members_that_share_their_bytes_are_counted_each_time(read):
    member = b"id,text\n" + (b"1," + b"ab" * 2_000 + b"\n") * 2_000
    content = bytearray(zipped({"a.csv": member}))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = bytes(content[start:end])
    count = 40
    # A table of contents with the same member again and again.
    size = len(entry) * count
    ending = bytearray(content[end:])
    struct.pack_into("<HHI", ending, 8, count, count, size)
    with pytest.raises(InvalidInput, match="in.zip: the archive unpacks to more than"):
        read(bytes(content[:start]) + entry * count + bytes(ending), "in.zip", max_ratio=400)


def test_a_zip_archive_on_a_pipe_says_to_give_it_as_a_file():
    content = io.BytesIO(zipped({"a.csv": CSV}))
    content.seekable = lambda: False
    with pytest.raises(InvalidInput, match="standard input is a zip archive: give it as a file"):
        list(open_source(["-"], ReadOptions(), ReadReport(), stdin=content).read())


def test_a_tar_archive_is_read_from_a_pipe():
    content = io.BytesIO(packed_zstd(tarred({"a.csv": CSV})))
    content.seekable = lambda: False
    assert payloads(open_source(["-"], ReadOptions(), ReadReport(), stdin=content).read()) == ITEMS


def test_a_description_of_a_tar_member_that_is_too_long_is_refused(read):
    info = tarfile.TarInfo("a" * 2_000_000)
    header = info.tobuf(format=tarfile.GNU_FORMAT)
    with pytest.raises(InvalidInput, match="is damaged: a description of a member is too long"):
        read(header, "in.tar")
