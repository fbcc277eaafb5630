"""The bytes of files: size, fingerprint, and opening at an offset."""

from __future__ import annotations

import io
import os

import pytest

from pipeline.domain.inputs.input_cursor import InputCursor
from pipeline.errors import InvalidInput
from pipeline.sources.fingerprint import combine_fingerprints
from pipeline.sources.local_file import LocalFile, StreamFile


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"0123456789" * 20_000)
    return path


def test_a_file_is_opened_at_an_offset(path):
    file = LocalFile(path)
    with file.open_stream(199_995) as stream:
        assert stream.read() == b"56789"
    with file.open_random() as stream:
        stream.seek(3)
        assert stream.read(2) == b"34"
    assert (file.size(), file.can_seek, file.path_name) == (200_000, True, "a.csv")


@pytest.mark.parametrize("place", [0, 199_999])
def test_the_fingerprint_changes_with_the_content_even_if_size_and_time_do_not(path, place):
    known = LocalFile(path).fingerprint()
    assert LocalFile(path).fingerprint() == known
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert LocalFile(path).fingerprint() != known


def test_the_fingerprint_changes_with_the_time_if_the_middle_does(path):
    known = LocalFile(path).fingerprint()
    os.utime(path, ns=(1, 1))
    assert LocalFile(path).fingerprint() != known


def test_several_files_have_a_fingerprint_if_each_has_one():
    assert combine_fingerprints(["a"]) == "a"
    assert combine_fingerprints(["a", None]) is None
    assert combine_fingerprints(["a", "b"]) not in (combine_fingerprints(["b", "a"]), None)


def test_a_file_that_vanishes_is_named(path):
    file = LocalFile(path)
    path.unlink()
    with pytest.raises(InvalidInput, match=r"a\.csv has vanished"), file.open_stream():
        pass


def test_a_stream_is_left_open_and_has_no_fingerprint():
    raw = io.BytesIO(b"abc")
    file = StreamFile(raw, "the body")
    with file.open_stream() as stream:
        assert stream.read() == b"abc"
    assert not raw.closed
    assert (file.size(), file.fingerprint(), file.name) == (None, None, "the body")


def test_a_stream_may_be_closed_before_its_reader():
    raw = io.BytesIO(b"abc")
    with StreamFile(raw).open_stream():
        raw.close()


def test_a_pipe_cannot_be_read_at_an_offset(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    file = LocalFile(tmp_path / "pipe")
    assert (file.can_seek, file.size(), file.fingerprint()) == (False, None, None)


def test_a_cursor_survives_json_and_refuses_what_it_does_not_know():
    cursor = InputCursor(file=2, line=512_001, byte=73_400_320)
    assert cursor.to_json() == {"file": 2, "line": 512_001, "byte": 73_400_320}
    assert InputCursor.from_json(cursor.to_json()) == cursor
    with pytest.raises(InvalidInput, match="the field 'page'"):
        InputCursor.from_json({"page": 1})
