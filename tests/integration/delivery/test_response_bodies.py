"""What is kept of an answer's body, and how much of it is read."""

from __future__ import annotations

import gzip
import socket

import pytest

from pipeline.database.engine import Database
from pipeline.delivery.webhook.response import KEPT_OF_FAILURE, KEPT_OF_SUCCESS
from tests.support.receivers.owed import Sending, attempts, options, owe, states, to, wait_until
from tests.support.receivers.scripted import Answering, Request, Scripted, answer

LONG = b"0123456789" * 2_000


def kept(database: Database, answering: Answering, *, deadline: float = 10) -> str | None:
    """Send once and return what is kept of the answer."""
    with Scripted(answering) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(deadline=deadline, delays=[])):
            wait_until(lambda: states(database)[0] in ("dead", "delivered"))
    (attempt,) = attempts(database)
    size = sum(len(value.encode()) for value in attempt.values() if isinstance(value, str))
    assert size + 200 < 8_192, "a row of attempts stays small whatever is answered"
    found: str | None = attempt["answer"]
    return found


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (500, b"boom: no such table", "boom: no such table"),
        (500, LONG, LONG[:4_096].decode()),
        (200, LONG, LONG[:256].decode()),
        (202, b"ok", "ok"),
        (404, b"", None),
        (500, b"a\0b\0", "ab"),
        (500, b"\0", None),
        (500, "café ☕".encode(), "café ☕"),
        (500, b"caf\xc3", "caf�"),
        (500, b"\xff" * 5_000, "�" * 1_365),
        (500, ("☕" * 5_000).encode(), "☕" * 1_365),
        (200, ("☕" * 5_000).encode(), "☕" * 85),
    ],
)
def test_the_beginning_of_the_body_is_kept_as_text(
    database: Database, status: int, body: bytes, text: str | None
) -> None:
    assert kept(database, answer(status, body=body)) == text
    assert (KEPT_OF_FAILURE, KEPT_OF_SUCCESS) == (4_096, 256)


def test_what_came_of_a_truncated_body_is_kept(database: Database) -> None:
    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 500 Oh\r\ncontent-length: 100\r\n\r\nhalf of")
        return False

    assert kept(database, say) == "half of"
    assert attempts(database)[0]["error_type"] == "http_500"


@pytest.mark.parametrize(("status", "limit"), [(200, 256), (503, 4_096)])
def test_what_came_of_a_body_until_the_deadline_is_kept(database: Database, status: int, limit: int) -> None:
    def drip(_: Request, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 %d Said\r\ncontent-length: 1000000\r\n\r\n" % status)
        connection.sendall(b"first")
        connection.settimeout(5)
        while connection.recv(1):
            pass
        return False

    assert kept(database, drip, deadline=1) == "first"
    assert attempts(database)[0]["status"] == status


@pytest.mark.parametrize("status", [200, 500])
def test_of_an_endless_body_no_more_is_taken_than_fits_into_buffers(database: Database, status: int) -> None:
    sent = 0

    def endless(_: Request, connection: socket.socket) -> bool:
        nonlocal sent
        connection.settimeout(20)
        try:
            connection.sendall(b"HTTP/1.1 %d Said\r\ntransfer-encoding: chunked\r\n\r\n" % status)
            while not receiver.leaving.is_set():
                connection.sendall(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
                sent += 0x4000
        except OSError:
            receiver.saw(closed=1)
        return False

    with Scripted(endless) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(delays=[])):
            receiver.wait_for(lambda seen: seen.closed == 1)
            wait_until(lambda: states(database) == ["delivered" if status == 200 else "dead"])
    assert sent < 16 * 2**20
    assert attempts(database)[0]["answer"] == "a" * (256 if status == 200 else 4_096)


def test_a_compressed_bomb_is_not_unpacked(database: Database) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    said = kept(database, answer(500, "content-encoding: gzip", body=bomb))
    assert said is not None
    assert len(said.encode()) <= 4_096
    assert attempts(database)[0]["error_type"] == "http_500"


def test_a_redirect_to_a_host_of_absurd_length_is_not_repeated(database: Database) -> None:
    location = "https://" + "a" * 7_000 + ".example/"
    kept(database, answer(302, f"location: {location}"))
    assert attempts(database)[0]["error_message"].startswith("redirected; ")
