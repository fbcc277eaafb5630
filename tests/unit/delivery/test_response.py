"""What is read out of an answer's bytes, in whatever pieces they come."""

from __future__ import annotations

import pytest

from pipeline.delivery.rules.delivery import Answer
from pipeline.delivery.webhook.errors import MalformedResponse
from pipeline.delivery.webhook.response import MAX_HEAD_BYTES, Response

OK = b"HTTP/1.1 200 OK\r\n"


def fed(content: bytes, size: int | None = None, limit: int = 16_384) -> Response:
    """Return what has taken `content` in pieces of `size` until it was over."""
    response = Response(limit)
    step = size or len(content) or 1
    for start in range(0, len(content), step):
        response.feed(content[start : start + step])
    return response


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize(
    ("content", "answer", "is_reusable"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204), True),
        (OK + b"content-length: 2\r\n\r\nok", Answer(200, text="ok"), True),
        (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", Answer(200, text="ok"), True),
        (OK + b"connection: close\r\ncontent-length: 2\r\n\r\nok", Answer(200, text="ok"), False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Answer(200, text="ok"), False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", Answer(200, text="ok"), True),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", Answer(200, text="ok"), True),
        (
            OK + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nwebhook-delivery: disable\r\n\r\n",
            Answer(200, text="ok"),
            True,
        ),
        (
            b"HTTP/1.1 103 Early\r\nretry-after: 9\r\n\r\nHTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
            Answer(503),
            True,
        ),
        (
            b"HTTP/1.1 503 No\r\nRetry-After:  7 \t\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n",
            Answer(503, retry_after="7"),
            True,
        ),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx", Answer(101), False),
        # What follows an answer is not part of it, and not the next one either.
        (OK + b"content-length: 2\r\n\r\nokHTTP/1.1 500 No\r\n\r\n", Answer(200, text="ok"), False),
        (OK + b"content-length: 2\r\n\r\nok\0\1\2", Answer(200, text="ok"), False),
        # The status line decides.
        (OK + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n", Answer(200), False),
    ],
)
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(
    content: bytes, answer: Answer, is_reusable: bool, size: int | None
) -> None:
    response = fed(content, size)
    assert (response.answer(), response.is_over, response.is_reusable) == (answer, True, is_reusable)


@pytest.mark.parametrize("size", [None, 1, 1_000])
@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"a: b\0c\r\n\r\n",
        OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        OK + b"x: y\r\n" * 101 + b"\r\n",
        OK + b"x: " + b"y" * 8_190 + b"\r\n\r\n",
        OK + (b"x: " + b"y" * 8_000 + b"\r\n") * 9 + b"\r\n",
    ],
)
def test_what_is_no_answer_is_refused(content: bytes, size: int | None) -> None:
    with pytest.raises(MalformedResponse):
        fed(content, size)


def test_as_many_headers_as_are_allowed_are_read() -> None:
    lines = b"".join(b"%s: %s\r\n" % (b"x%02d" % number, b"y" * 650) for number in range(99))
    assert fed(OK + lines + b"content-length: 0\r\n\r\n").answer() == Answer(200)


@pytest.mark.parametrize(
    ("begin", "endless"), [(b"", b"HTTP/1.1 102 Processing\r\n\r\n"), (b"", b"\r\n"), (OK + b"x: ", b"y" * 64)]
)
def test_a_head_without_end_is_refused_soon(begin: bytes, endless: bytes) -> None:
    response = fed(begin)
    while response.received + len(endless) <= MAX_HEAD_BYTES:
        response.feed(endless)
    with pytest.raises(MalformedResponse):
        response.feed(endless)


@pytest.mark.parametrize("endless", [b"1\r\na\r\n", b"1;" + b"x" * 1_000 + b"\r\na\r\n", b"0\r\nx: " + b"y" * 9_000])
def test_a_body_that_is_mostly_framing_comes_to_an_end(endless: bytes) -> None:
    response = fed(OK + b"transfer-encoding: chunked\r\n\r\n", limit=1_000)
    while not response.is_over:
        response.feed(endless)
    assert (response.answer().status, response.is_reusable) == (200, False)
    assert response.received < 2 * MAX_HEAD_BYTES


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"HTTP/1.1 500 No\r\n\r\ncaf\xc3", "caf\ufffd"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 9\r\n\r\ncaf\xc3", "caf"),
        (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n4\r\ncaf\xc3\r\n", "caf"),
    ],
)
def test_the_end_of_a_connection_ends_a_body_that_nothing_else_bounds(content: bytes, text: str) -> None:
    response = fed(content)
    assert not response.is_over
    response.close()
    assert (response.answer(), response.is_over, response.is_reusable) == (Answer(500, text=text), True, False)
