"""What is decided by the beginning of an input does not depend on the pieces in which a pipe delivers it."""

from __future__ import annotations

import io

import pytest

from pipeline.errors import InvalidInput
from pipeline.sources import Record, read_items


class Pieces(io.RawIOBase):
    """A pipe that delivers `size` bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content = io.BytesIO(content)
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:
        piece = self._content.read(min(self._size, len(target)))
        target[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"id;note, long\n1;a\n2;b\n", [{"id": "1", "note, long": "a"}, {"id": "2", "note, long": "b"}]),
        (b"id,text\r\n1,a\r\n", [{"id": "1", "text": "a"}]),
        (b"id,text\r1,a\r", [{"id": "1", "text": "a"}]),
        ("id,text\r1,é\r".encode("utf-16"), [{"id": "1", "text": "é"}]),
        ('{"id": "é"}\n{"id": "2"}\n'.encode("utf-16"), [{"id": "é"}, {"id": "2"}]),
        (b'\xef\xbb\xbf[{"id": 1},\n{"id": 2}]', [{"id": 1}, {"id": 2}]),
    ],
)
def test_an_input_is_read_alike_in_pieces_of_any_size(content, expected, size):
    items = read_items("-", stdin=Pieces(content, size))
    assert [item.payload for item in items if isinstance(item, Record)] == expected


@pytest.mark.parametrize("size", [1, 5, 1_000])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><p>hi", "is a web page"),
        (b"PK\x03\x04" + bytes(60), "is a zip archive"),
        (b"PAR1" + bytes(60), "is Parquet, which cannot be read from standard input"),
        ("id,text\n1,a\n".encode("utf-16-le"), "--encoding utf-16-le"),
        (b'[{"id": 1},\n{"id": 2}]', "holds an array, not one object per line"),
    ],
)
def test_an_input_is_refused_alike_in_pieces_of_any_size(content, message, size):
    with pytest.raises(InvalidInput, match=message):
        list(read_items("-", stdin=Pieces(content, size), format="jsonl"))


def test_lines_that_end_with_cr_may_be_longer_than_a_chunk():
    text = "x" * 100_000
    content = f"id,text\r1,{text}\r2,{text}\r3,{'y' * 3_000_000}\r4,d\r".encode()
    for size in (10_000, 70_000):
        items = list(read_items("-", stdin=Pieces(content, size), format="csv"))
        assert [item.line for item in items] == [2, 3, 4, 5]
        assert [len(item.payload["text"]) for item in items if isinstance(item, Record)] == [100_000, 100_000, 1]
        assert items[2].reason == "longer than 2,097,152 bytes; a payload may have 262,144"
