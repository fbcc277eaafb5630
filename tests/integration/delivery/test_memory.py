"""What a request in flight costs: its body once, and little more, whatever a receiver does."""

from __future__ import annotations

import asyncio
import gc
import socket
import tracemalloc
from collections.abc import Iterable
from contextlib import AbstractContextManager

import pytest

from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.delivery import Answer, Owed
from pipeline.delivery.webhook.client import WebhookClient
from pipeline.delivery.webhook.options import ClientOptions
from tests.support.receivers.configured import NOW
from tests.support.receivers.listening import listening
from tests.support.receivers.owed import LOOPBACK, SECRET

REQUESTS = 20
KIBIBYTE = 1_024
LINE = b"x: " + b"y" * 8_000 + b"\r\n"


def receiver(said: Iterable[bytes]) -> AbstractContextManager[int]:
    """Say so much to each connection, and read nothing; gives the port."""

    def talk(connection: socket.socket) -> None:
        for piece in said:
            connection.sendall(piece)

    return listening(talk)


def send(port: int, body: bytes, *, deadline: float) -> tuple[float, set[str | None]]:
    """Send `body` in many requests at once; return the bytes that each took beside it at the peak, and the codes."""
    origin = f"http://127.0.0.1:{port}"
    owed = Owed(1, f"{origin}/hook", origin, 1, "msg_1", body, NOW)

    # Connections of tests before this one, closed but not forgotten yet.
    gc.collect()

    async def post() -> list[Answer]:
        client = WebhookClient(Signer([SECRET]), LOOPBACK, ClientOptions(deadline_seconds=deadline))
        tracemalloc.start()
        answers = await asyncio.gather(*(client.post(owed, NOW) for _ in range(REQUESTS)))
        await client.close()
        # What is given up is closed in the loop's next round.
        await asyncio.sleep(0)
        assert open_connections() == 0
        return list(answers)

    try:
        codes = {answer.code for answer in asyncio.run(post())}
        return tracemalloc.get_traced_memory()[1] / REQUESTS, codes
    finally:
        tracemalloc.stop()


def open_connections() -> int:
    transports = [each for each in gc.get_objects() if isinstance(each, asyncio.Transport)]
    return sum(each.get_extra_info("socket").fileno() != -1 for each in transports)


@pytest.mark.parametrize("size", [KIBIBYTE, 8 * 1_024 * KIBIBYTE])
def test_a_receiver_that_reads_nothing_has_no_body_copied_and_no_connection_kept(size: int) -> None:
    with receiver([]) as port:
        took, codes = send(port, b"x" * size, deadline=2)
    assert codes == {"timeout"}
    assert took < 256 * KIBIBYTE


def test_headers_beyond_the_limit_are_refused_while_they_come() -> None:
    with receiver([b"HTTP/1.1 200 OK\r\n", *[LINE] * 98]) as port:
        took, codes = send(port, b"{}", deadline=30)
    assert codes == {"protocol_error"}
    assert took < 512 * KIBIBYTE


def test_interim_answers_without_end_are_refused_while_they_come() -> None:
    with receiver([b"HTTP/1.1 102 Processing\r\n\r\n" * 100] * 1_000) as port:
        took, codes = send(port, b"{}", deadline=30)
    assert codes == {"protocol_error"}
    # Each of these small answers is an object.
    assert took < 2_048 * KIBIBYTE


def test_a_body_without_end_takes_no_more_than_what_is_kept_and_a_buffer() -> None:
    head = b"HTTP/1.1 500 No\r\ncontent-length: 1000000000\r\n\r\n"
    with receiver([head, *[b"z" * 2**16] * 1_000]) as port:
        took, codes = send(port, b"{}", deadline=30)
    assert codes == {"http_500"}
    assert took < 512 * KIBIBYTE


def test_an_answer_that_comes_before_its_request_is_read_keeps_no_connection() -> None:
    with receiver([b"HTTP/1.1 204 Done\r\n\r\n"]) as port:
        took, codes = send(port, b"x" * 8 * 1_024 * KIBIBYTE, deadline=2)
    assert codes == {None}
    assert took < 256 * KIBIBYTE
