"""One connection after the other: what becomes of it when receivers say more, less or sooner than they are asked."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from ipaddress import ip_network
from pathlib import Path

import pytest

from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.credentials import Credentials
from pipeline.delivery.rules.delivery import Answer, Owed
from pipeline.delivery.webhook.client import WebhookClient
from pipeline.delivery.webhook.options import ClientOptions
from tests.support.receivers.authority import Authority
from tests.support.receivers.configured import NOW
from tests.support.receivers.listening import listening
from tests.support.receivers.names import Names
from tests.support.receivers.owed import SECRET
from tests.support.receivers.scripted import Answering, Request, Scripted, answer

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
NAME = "receiver.example"


def post(
    url: str,
    times: int = 1,
    *,
    body: bytes = b"{}",
    names: Names | None = None,
    options: ClientOptions | None = None,
    credentials: Credentials | None = None,
) -> list[Answer]:
    """Post to `url` by one client, one request after the other, and return the answers."""
    origin = url.rpartition("/")[0]
    owed = Owed(1, url, origin, 1, "msg_1", body, NOW, credentials=credentials)

    async def run() -> list[Answer]:
        client = WebhookClient(Signer([SECRET]), LOOPBACK, options, names)
        answers = []
        for number in range(times):
            if number:
                # What came meanwhile is read.
                await asyncio.sleep(0.01)
            answers.append(await client.post(owed, NOW))
        await client.close()
        return answers

    return asyncio.run(run())


def says(content: bytes) -> Answering:
    """Return an answering that says so much and keeps the connection."""

    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(content)
        return True

    return say


@pytest.mark.parametrize(
    ("content", "connections"),
    [
        (b"HTTP/1.1 204 No\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 1),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n", 1),
        (b"HTTP/1.1 100 Go on\r\n\r\nHTTP/1.1 204 No\r\n\r\n", 1),
        (b"HTTP/1.0 204 No\r\nconnection: keep-alive\r\n\r\n", 1),
        (b"HTTP/1.0 204 No\r\n\r\n", 3),
        (b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n", 3),
        (b"HTTP/1.1 204 No\r\n\r\ngarbage", 3),
        (b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 500 Next\r\ncontent-length: 0\r\n\r\n", 3),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + b"a" * 20_000, 3),
    ],
)
def test_a_connection_is_used_again_where_its_answer_ended_in_good_order(content: bytes, connections: int) -> None:
    with Scripted(says(content)) as receiver:
        answers = post(receiver.url, 3)
    assert {answer.is_success for answer in answers} == {True}
    assert (receiver.connections, len(receiver.requests)) == (connections, 3)


def test_the_next_address_is_tried_where_one_is_refused() -> None:
    with Scripted(answer()) as receiver:
        answers = post(f"http://{NAME}:{receiver.port}/hook", names=Names(["127.0.0.2", "127.0.0.1"]))
    assert [answer.status for answer in answers] == [200]


def test_the_next_address_is_tried_where_tls_fails_at_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Scripted(answer(), tls=authority.context(NAME)) as good:
        wrong = socket.create_server(("127.0.0.2", good.port))
        with wrong:
            threading.Thread(target=lambda: wrong.accept()[0].close(), daemon=True).start()
            answers = post(f"https://{NAME}:{good.port}/hook", names=Names(["127.0.0.2", "127.0.0.1"]))
    assert [answer.status for answer in answers] == [200]


def test_http_1_1_is_what_is_agreed_on_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = authority.context(NAME)
    context.set_alpn_protocols(["h2", "http/1.1"])
    agreed: list[str | None] = []

    def say(request: Request, connection: socket.socket) -> bool:
        assert isinstance(connection, ssl.SSLSocket)
        agreed.append(connection.selected_alpn_protocol())
        return answer()(request, connection)

    with Scripted(say, tls=context) as receiver:
        post(f"https://{NAME}:{receiver.port}/hook", 2, names=Names(["127.0.0.1"]))
    assert (agreed, receiver.connections) == (["http/1.1"] * 2, 1)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (ClientOptions(deadline_seconds=10, connect_seconds=0.2), "connect_timeout"),
        (ClientOptions(deadline_seconds=0.2, connect_seconds=10), "timeout"),
    ],
)
def test_a_receiver_that_never_speaks_tls_is_cut_while_connecting(options: ClientOptions, code: str) -> None:
    with listening(lambda _: None) as port:
        assert post(f"https://127.0.0.1:{port}/hook", options=options) == [Answer(error=code)]


def test_a_receiver_that_takes_no_more_and_has_said_nothing_is_given_up_at_once() -> None:
    with listening(lambda connection: connection.shutdown(socket.SHUT_WR)) as port:
        answers = post(
            f"http://127.0.0.1:{port}/hook", body=b"x" * 8_000_000, options=ClientOptions(deadline_seconds=20)
        )
    assert answers == [Answer(error="connection_reset")]


@pytest.mark.parametrize(
    ("content", "hangs_up"),
    [
        (b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 413 No\r\n\r\n", True),
    ],
)
def test_an_answer_before_the_request_is_written_counts_and_its_connection_is_not_used_again(
    content: bytes, hangs_up: bool
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1_000)
        accepted.append(connection)
        connection.sendall(content)
        if hangs_up:
            connection.shutdown(socket.SHUT_WR)

    accepted: list[socket.socket] = []
    with listening(talk) as port:
        answers = post(f"http://127.0.0.1:{port}/hook", 2, body=b"x" * 8_000_000)
    assert [answer.code for answer in answers] == ["http_413"] * 2
    assert len(accepted) == 2


def test_a_header_that_is_more_than_a_line_is_not_sent() -> None:
    with Scripted(answer()) as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"
        answers = post(f"{origin}/hook", credentials=Credentials(headers={"x-own": "a\r\nx-injected: b"}))
    assert answers == [Answer(error="internal_error")]
    assert receiver.connections == 0
