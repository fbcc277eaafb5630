"""A stream over ranges reads like a file, and asks for each block once while it is near."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.ranges import RangeStream
from pipeline.sources.stores.object_glob import literal_prefix, matches


@given(
    content=st.binary(max_size=200),
    block=st.integers(1, 50),
    steps=st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.integers(-250, 250), st.integers(0, 250)), max_size=12),
)
def test_it_reads_like_a_file_of_the_same_content(
    content: bytes, block: int, steps: list[tuple[int, int, int]]
) -> None:
    asked: list[tuple[int, int]] = []

    def fetch(start: int, length: int) -> bytes:
        asked.append((start, length))
        return content[start : start + length]

    stream = io.BufferedReader(RangeStream(fetch, len(content), block_bytes=block))
    file = io.BytesIO(content)
    for whence, offset, size in steps:
        base = {0: 0, 1: file.tell(), 2: len(content)}[whence]
        if base + offset >= 0:
            assert stream.seek(offset, whence) == file.seek(offset, whence)
        assert stream.read(size) == file.read(size)
    assert all(start % block == 0 and 0 < length <= block for start, length in asked)


def test_reading_on_asks_for_each_block_once() -> None:
    asked: list[int] = []

    def fetch(start: int, length: int) -> bytes:
        asked.append(start)
        return b"x" * length

    stream = io.BufferedReader(RangeStream(fetch, 95, block_bytes=10))
    assert len(stream.read()) == 95
    assert asked == list(range(0, 95, 10))


def test_globs_match_as_the_shell_matches_paths() -> None:
    for pattern, key, expected in [
        ("in/*.csv", "in/a.csv", True),
        ("in/*.csv", "in/b/a.csv", False),
        ("in/**/*.csv", "in/a.csv", True),
        ("in/**/*.csv", "in/b/c/a.csv", True),
        ("*.csv", ".a.csv", False),
        (".*.csv", ".a.csv", True),
        ("in/[ab].csv", "in/b.csv", True),
        ("in/?.csv", "in/bb.csv", False),
        ("2026-*/x", "2026-01/x", True),
    ]:
        assert matches(key, pattern) is expected, (pattern, key)
    assert [literal_prefix(each) for each in ("a/b/*.csv", "a*/b", "*", "a/b/c")] == ["a/b/", "", "", "a/b/"]
