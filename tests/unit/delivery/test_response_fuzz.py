"""Responses made of anything: reading them ends in an answer or in the one error, however the bytes are cut."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.delivery.rules.delivery import Answer
from pipeline.delivery.webhook.errors import MalformedResponse
from pipeline.delivery.webhook.response import FRAMED, KEPT_OF_FAILURE, MAX_HEAD_BYTES, Response

#: Bytes of a body that are read, so few that examples go beyond them.
LIMIT = 64
#: Bytes after which nothing more is read, whatever they are.
MOST = MAX_HEAD_BYTES + FRAMED * LIMIT
#: Bytes that reading may take beside what httptools keeps of one header.
MEMORY = 1_000_000

#: What answers are made of, and what they should not be made of.
_PIECES = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 503 No\n", b"HTTP/1.1 101 Switch\r\n", b"HTTP/1.1 999\r\n", b"HTTP/2"),
    *(b"HTTP/1.1 103 Early\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 304 Same\r\n\r\n", b"ICY 200 OK\r\n"),
    *(b"content-length: 5\r\n", b"content-length: 0\r\n", b"content-length: 99999999999999999999\r\n"),
    *(b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"transfer-encoding: x\r\n"),
    *(b"connection: close\r\n", b"connection: upgrade\r\nupgrade: x\r\n", b"connection: keep-alive\r\n"),
    *(b"retry-after: 7\r\n", b"webhook-delivery: disable\r\n", b"location: http://a/\r\n", b"x: y\r\n", b" folded\r\n"),
    *(b"\r\n", b"\n", b"\r", b": ", b"\0", b"hello", b"caf\xc3\xa9 \xff", b"A" * 100),
    *(b"5\r\nhello\r\n", b"1;x=y\r\nk\r\n", b"ffffffffffffffff\r\n", b"0\r\n\r\n", b"0\r\n"),
]
pieces = st.sampled_from(_PIECES) | st.binary(max_size=12)
contents = st.lists(st.tuples(pieces, st.sampled_from([1, 1, 1, 2, 9])), max_size=14).map(
    lambda parts: b"".join(piece * times for piece, times in parts)
)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
#: Beyond every bound.
long_contents = st.tuples(contents, pieces.filter(len), contents).map(
    lambda parts: parts[0] + parts[1] * (MOST // len(parts[1]) + 9) + parts[2]
)
cuts = st.lists(st.integers(0, 2 * MOST), max_size=12)


def cut(content: bytes, at: Sequence[int]) -> list[bytes]:
    """Return a content in pieces that are cut at these places, none of them empty."""
    places = sorted({0, len(content), *(place % (len(content) + 1) for place in at)})
    return [content[start:end] for start, end in pairwise(places)]


def read(pieces: Sequence[bytes]) -> tuple[Answer | None, bool, bool] | None:
    """Read an answer in pieces. Return it, whether it is over and its connection kept; None: it was refused."""
    response = Response(LIMIT)
    try:
        for piece in pieces:
            response.feed(piece)
    except MalformedResponse:
        assert response.status is None
        assert response.is_over
        return None
    return response.status and response.answer(), response.is_over, response.is_reusable


@given(contents, cuts)
@example(b"HTTP/1.1 204 No\r\n\r\n\r\n", [])
@example(b"HTTP/1.1 200 OK\r\n\r\n" + b"A" * 100, [])
def test_whatever_comes_is_read_alike_in_whatever_pieces(content: bytes, at: list[int]) -> None:
    whole = read([content])
    assert read(cut(content, at)) == whole
    assert read(cut(content, range(len(content)))) == whole


@given(long_contents, st.integers(500, MOST))
@example(b"HTTP/1.1 103 Early\r\n\r\n" * 7_000 + b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 1_000)
@example(CHUNKED + b"1;" + b"x" * MOST + b"\r\nk\r\n0\r\n\r\n", 1_000)
def test_bounds_are_reached_at_the_same_byte_in_whatever_pieces(content: bytes, size: int) -> None:
    assert read(cut(content, range(0, len(content), size))) == read([content])


@given(contents, cuts, st.booleans())
def test_what_was_read_can_be_stored_whenever_the_connection_ends(
    content: bytes, at: list[int], is_clean: bool
) -> None:
    response = Response(LIMIT)
    try:
        for piece in cut(content, at):
            response.feed(piece)
    except MalformedResponse:
        return
    response.close() if is_clean else response.stop()
    assert response.is_over
    assert not response.is_reusable
    if response.status is None:
        with pytest.raises(RuntimeError):
            response.answer()
        return
    answer = response.answer()
    text = answer.text or ""
    assert len(text.encode()) <= KEPT_OF_FAILURE
    assert "\0" not in text
    assert len(answer.control or "") <= 64
    assert (answer.location or "").isascii()


@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    headers=st.lists(st.sampled_from([b"x: y", b"retry-after: 7", b"connection: close", b"server: \xff", b"a:"])),
    body=st.binary(max_size=2 * LIMIT),
    is_chunked=st.booleans(),
    interim=st.integers(0, 2),
    junk=contents,
    at=cuts,
)
def test_what_follows_an_answer_changes_nothing_about_it(
    status: int, headers: list[bytes], body: bytes, is_chunked: bool, interim: int, junk: bytes, at: list[int]
) -> None:
    framing = b"transfer-encoding: chunked" if is_chunked else b"content-length: %d" % len(body)
    head = b"\r\n".join([b"HTTP/1.1 %d Said" % status, *headers, framing])
    if is_chunked:
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut(body, at)) + b"0\r\n\r\n"
    valid = b"HTTP/1.1 103 Early\r\nretry-after: 9\r\n\r\n" * interim + head + b"\r\n\r\n" + body
    alone = read([valid])
    assert alone is not None
    assert alone[0] is not None
    assert (alone[0].status, alone[1]) == (status, True)
    followed = read(cut(valid + junk, at))
    assert followed is not None
    assert followed[:2] == alone[:2]
    # A connection is never kept for what follows, only given up for it.
    assert followed[2] <= alone[2]


@given(contents, pieces.filter(len), st.integers(1, 100_000))
@settings(max_examples=50)
@example(b"HTTP/1.1 200 OK\r\nx: ", b"y", 1_000)
@example(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", 1_000)
@example(CHUNKED, b"1;x=y\r\nk\r\n", 1_000)
@example(b"HTTP/1.1 200 OK\r\n\r\n", b"A" * 100, 1_000)
def test_what_has_no_end_takes_little_memory_and_is_given_up(begin: bytes, endless: bytes, size: int) -> None:
    piece = endless * (size // len(endless) + 1)
    response = Response(LIMIT)
    tracemalloc.start()
    try:
        response.feed(begin)
        while not response.is_over:
            assert response.received <= MOST
            response.feed(piece)
    except MalformedResponse:
        assert response.is_over
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MEMORY
