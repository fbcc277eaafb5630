"""What the sender needs its HTTP client to do. Ours passes, and so does one on a common library.

What only ours does is elsewhere: it checks addresses, limits headers by their number, and answers before a request is
sent in full.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from pipeline.database.engine import Database
from pipeline.delivery.rules.delivery import Answer
from pipeline.delivery.webhook.http_client import HttpClient, UnfitHeader, open_http_client
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.domain.callback_url import parse_callback_url
from tests.support.receivers.authority import Authority
from tests.support.receivers.listening import listening
from tests.support.receivers.owed import Sending, options, owe, states, to, wait_until
from tests.support.receivers.scripted import Answering, Request, Scripted, answer, in_turn
from tests.support.receivers.stock_client import StockHttpClient

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
HEADERS = {"content-type": "application/json", "webhook-id": "msg_1", "accept": "*/*", "authorization": "Bearer a b"}

Open = Callable[[ClientOptions], HttpClient]


@pytest.fixture(params=["ours", "stock"])
def open_client(request: pytest.FixtureRequest) -> Open:
    """Return what builds a client."""
    if request.param == "stock":
        return StockHttpClient
    return lambda options: open_http_client(LOOPBACK, options, None)


def post(
    open_client: Open,
    url: str,
    times: int = 1,
    *,
    body: bytes = b"{}",
    headers: Mapping[str, str] = HEADERS,
    at_once: bool = False,
    between: Callable[[], None] = lambda: None,
    **limits: float,
) -> list[Answer]:
    """Post to a URL by one client, one request after the other or all at once, and return the answers."""

    async def run() -> list[Answer]:
        client = open_client(ClientOptions(**{"deadline_seconds": 20.0, **limits}))  # type: ignore[arg-type]
        try:
            if at_once:
                return list(
                    await asyncio.gather(*(client.post(parse_callback_url(url), headers, body) for _ in range(times)))
                )
            answers = []
            for number in range(times):
                if number:
                    between()
                    # What arrived meanwhile is read.
                    await asyncio.sleep(0.01)
                answers.append(await client.post(parse_callback_url(url), headers, body))
            return answers
        finally:
            await client.close()

    return asyncio.run(run())


def says(content: bytes, *, keeps: bool = True) -> Answering:
    """Return an answering that says so much, and keeps the connection or closes it."""

    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(content)
        return keeps

    return say


def resets(content: bytes) -> Answering:
    """Return an answering that says so much, and resets the connection."""

    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(content)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return say


# --- the request -----------------------------------------------------------------------------------------------------


def test_a_request_has_the_headers_that_are_given_and_its_body_as_it_is(open_client: Open) -> None:
    body = '{"text":"café ☕","number":1.0, "big":9007199254740993}'.encode()
    with Scripted(answer()) as receiver:
        post(open_client, f"http://127.0.0.1:{receiver.port}/a/b%20c?d=e&f=%2F", body=body)
    (request,) = receiver.requests
    assert request.line == "POST /a/b%20c?d=e&f=%2F HTTP/1.1"
    assert request.body == body
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert len(headers) == len(request.names)
    added = {"host": f"127.0.0.1:{receiver.port}", "content-length": str(len(body))}
    assert headers == HEADERS | added


@pytest.mark.parametrize("bad", ["a\r\nx-injected: b", "a\nb", "a\0b"])
def test_a_header_that_is_more_than_a_line_is_not_sent(open_client: Open, bad: str) -> None:
    with Scripted(answer()) as receiver, pytest.raises(UnfitHeader) as caught:
        post(open_client, receiver.url, headers=HEADERS | {"x-own": bad})
    assert receiver.requests == []
    assert "injected" not in str(caught.value)


def test_a_slow_reader_gets_a_large_body_whole(open_client: Open) -> None:
    body = b"".join(b"%07d\n" % number for number in range(500_000))
    got = bytearray()

    def talk(connection: socket.socket) -> None:
        while not got.endswith(b"0499999\n"):
            got.extend(connection.recv(5_000))
        connection.sendall(b"HTTP/1.1 204 No\r\n\r\n")

    with listening(talk) as port:
        assert post(open_client, f"http://127.0.0.1:{port}/hook", body=body) == [Answer(204)]
    assert bytes(got).partition(b"\r\n\r\n")[2] == body


def test_an_ipv6_receiver_is_reached_by_its_address(open_client: Open) -> None:
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(65_536))
        connection.sendall(b"HTTP/1.1 204 No\r\n\r\n")

    with listening(talk, socket.AF_INET6) as port:
        assert post(open_client, f"http://[::1]:{port}/hook") == [Answer(204)]
    assert f"\r\nHost: [::1]:{port}\r\n".encode() in heard[0]


# --- the response ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"HTTP/1.1 204 No\r\n\r\n", Answer(204)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Answer(200, text="ok")),
        (b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n", Answer(500, text="ok")),
        (b"HTTP/1.1 103 Early\r\nretry-after: 9\r\n\r\nHTTP/1.1 204 No\r\n\r\n", Answer(204)),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", Answer(200, text="ok")),
        (b"HTTP/1.1 503 No\r\nRetry-After:  7 \t\r\ncontent-length: 0\r\n\r\n", Answer(503, retry_after="7")),
        (b"HTTP/1.1 200 OK\r\nwebhook-delivery: Disable\r\ncontent-length: 0\r\n\r\n", Answer(200, control="disable")),
        (
            b"HTTP/1.1 302 Moved\r\nlocation: https://new.example/secret?x=y\r\ncontent-length: 0\r\n\r\n",
            Answer(302, location="new.example"),
        ),
        # What follows a status line and its headers turns no success into a failure.
        (b"HTTP/1.1 204 No\r\n\r\ngarbage", Answer(204)),
        (b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 500 Next\r\ncontent-length: 0\r\n\r\n", Answer(204)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n", Answer(200)),
        # What is kept of a body is text that a database takes.
        (b"HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\na\0b\xffc", Answer(500, text="ab\ufffdc")),
        (b"HTTP/1.1 500 No\r\ncontent-length: 9000\r\n\r\n" + b"a" * 9_000, Answer(500, text="a" * 4_096)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n" + b"a" * 9_000, Answer(200, text="a" * 256)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + b"a" * 20_000, Answer(200, text="a" * 256)),
    ],
)
def test_a_response_is_read_as_it_is_meant(open_client: Open, content: bytes, expected: Answer) -> None:
    with Scripted(says(content)) as receiver:
        assert post(open_client, receiver.url) == [expected]


@pytest.mark.parametrize("end", [resets, lambda content: says(content, keeps=False)], ids=["reset", "close"])
def test_a_body_that_breaks_off_leaves_the_status_in_force(
    open_client: Open, end: Callable[[bytes], Answering]
) -> None:
    with Scripted(end(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\npart")) as receiver:
        (found,) = post(open_client, receiver.url)
    assert (found.status, found.error) == (200, None)


@pytest.mark.parametrize("status", [200, 503])
def test_a_body_without_end_is_cut_off(open_client: Open, status: int) -> None:
    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 %d Endless\r\n\r\n" % status)
        return receiver.drip(connection, b"z" * 10_000)

    with Scripted(say) as receiver:
        (found,) = post(open_client, receiver.url)
        receiver.wait_for(lambda seen: seen.closed == 1)
    assert (found.status, found.error) == (status, None)


def test_no_redirect_is_followed(open_client: Open) -> None:
    with Scripted(answer()) as other, Scripted(answer(307, f"location: {other.url}")) as receiver:
        (found,) = post(open_client, receiver.url)
    assert (found.status, other.connections) == (307, 0)


def test_no_cookie_is_sent_back(open_client: Open) -> None:
    with Scripted(answer(200, "set-cookie: a=b; path=/")) as receiver:
        post(open_client, receiver.url, 2)
    assert [names for request in receiver.requests for names in request.names if names.lower() == "cookie"] == []


# --- what goes wrong before there is a status ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + (b"x: " + b"y" * 8_000 + b"\r\n") * 20 + b"\r\n",
    ],
    ids=["no HTTP", "no header", "two lengths", "long head"],
)
def test_what_is_no_response_is_an_error_of_the_protocol(open_client: Open, content: bytes) -> None:
    with Scripted(says(content)) as receiver:
        assert post(open_client, receiver.url) == [Answer(error="protocol_error")]


@pytest.mark.parametrize("end", [resets, lambda content: says(content, keeps=False)], ids=["reset", "close"])
@pytest.mark.parametrize("content", [b"", b"HTTP/1.1 200 OK\r\ncontent-"])
def test_a_connection_that_ends_before_the_status_is_a_failure(
    open_client: Open, content: bytes, end: Callable[[bytes], Answering]
) -> None:
    with Scripted(end(content)) as receiver:
        assert post(open_client, receiver.url) == [Answer(error="connection_reset")]
    assert len(receiver.requests) == 1


def test_nobody_listens(open_client: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert post(open_client, f"http://127.0.0.1:{port}/") == [Answer(error="connection_refused")]


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nx: y"])
def test_a_receiver_that_is_silent_or_slow_is_given_up_at_the_deadline(open_client: Open, said: bytes) -> None:
    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(said)
        return receiver.drip(connection, b"y") if said else receiver.silence(_, connection)

    with Scripted(say) as receiver:
        assert post(open_client, receiver.url, deadline_seconds=0.3) == [Answer(error="timeout")]
        receiver.wait_for(lambda seen: seen.closed == 1)


def test_a_slow_body_is_given_up_at_the_deadline_and_its_status_counts(open_client: Open) -> None:
    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return receiver.drip(connection, b"y")

    with Scripted(say) as receiver:
        (found,) = post(open_client, receiver.url, deadline_seconds=0.3)
        receiver.wait_for(lambda seen: seen.closed == 1)
    assert (found.status, found.error) == (200, None)


# --- TLS -------------------------------------------------------------------------------------------------------------


def test_a_certificate_of_a_trusted_authority_for_this_host_is_accepted(
    open_client: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Scripted(answer(), tls=authority.context("localhost")) as receiver:
        assert post(open_client, f"https://localhost:{receiver.port}/", 2) == [Answer(200, text="ok")] * 2
    assert receiver.connections == 1


@pytest.mark.parametrize(
    ("host", "lasts", "is_trusted"),
    [("localhost", 1, False), ("other.example", 1, True), ("localhost", -1, True)],
    ids=["unknown authority", "other name", "expired"],
)
def test_any_other_certificate_is_refused(
    open_client: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, lasts: int, is_trusted: bool
) -> None:
    authority = Authority(tmp_path)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Scripted(answer(), tls=authority.context(host, lasts=timedelta(days=lasts))) as receiver:
        assert post(open_client, f"https://localhost:{receiver.port}/") == [Answer(error="tls_verify")]
    assert receiver.requests == []


def test_a_receiver_without_tls_is_a_failure_of_the_handshake(open_client: Open) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1_000)
        connection.sendall(b"HTTP/1.1 400 This is no TLS\r\n\r\n")

    with listening(talk) as port:
        assert post(open_client, f"https://127.0.0.1:{port}/hook") == [Answer(error="tls_handshake")]


def test_old_versions_of_tls_are_refused(open_client: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = authority.context("localhost")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Scripted(answer(), tls=context) as receiver:
        (found,) = post(open_client, f"https://localhost:{receiver.port}/")
    assert found.error in ("tls_handshake", "connection_reset")
    assert receiver.requests == []


# --- connections -----------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again_where_its_response_ended_cleanly(open_client: Open) -> None:
    with Scripted(answer()) as receiver:
        post(open_client, receiver.url, 3)
        receiver.wait_for(lambda seen: seen.closed == 1)
    assert (receiver.connections, len(receiver.requests)) == (1, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 204 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n" + b"a" * 20_000,
    ],
    ids=["close", "1.0", "long body"],
)
def test_a_connection_is_not_used_again_otherwise(open_client: Open, content: bytes) -> None:
    with Scripted(says(content)) as receiver:
        found = post(open_client, receiver.url, 3)
    assert {each.is_success for each in found} == {True}
    assert (receiver.connections, len(receiver.requests)) == (3, 3)


def test_what_is_said_on_an_idle_connection_answers_no_request(open_client: Open) -> None:
    held: list[socket.socket] = []

    def say(request: Request, connection: socket.socket) -> bool:
        held.append(connection)
        return answer(200)(request, connection)

    def interrupt() -> None:
        held[0].sendall(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")

    with Scripted(say) as receiver:
        found = post(open_client, receiver.url, 2, between=interrupt)
    assert [each.status for each in found] == [200, 200]
    assert receiver.connections == 2


@pytest.mark.parametrize("end", [resets(b""), says(b"", keeps=False)], ids=["reset", "close"])
def test_a_reused_connection_that_is_closed_without_a_response_costs_nothing(open_client: Open, end: Answering) -> None:
    def slowly(_: Request, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 2")
        connection.sendall(b"00 OK\r\ncontent-length: 2\r\n\r\nok")
        return True

    body = b"x" * 200_000
    with Scripted(in_turn(answer(), end, slowly)) as receiver:
        found = post(open_client, receiver.url, 3, body=body)
    assert found == [Answer(200, text="ok")] * 3
    # The new connection is kept like any other.
    assert (receiver.connections, len(receiver.requests)) == (2, 4)
    assert {request.body for request in receiver.requests} == {body}


def test_a_request_is_sent_again_once_and_not_twice(open_client: Open) -> None:
    with Scripted(in_turn(answer(), says(b"", keeps=False))) as receiver:
        found = post(open_client, receiver.url, 2)
    assert [each.code for each in found] == [None, "connection_reset"]
    assert (receiver.connections, len(receiver.requests)) == (2, 3)


def test_requests_at_once_have_a_connection_each(open_client: Open) -> None:
    with Scripted(answer()) as receiver:
        found = post(open_client, receiver.url, 20, at_once=True)
    assert found == [Answer(200, text="ok")] * 20
    assert (receiver.connections, len(receiver.requests)) == (20, 20)


def test_a_cancelled_request_closes_its_connection_and_no_other(open_client: Open) -> None:
    async def run() -> Answer:
        client = open_client(ClientOptions())
        hung = asyncio.create_task(client.post(parse_callback_url(silent.url), HEADERS, b"{}"))
        await client.post(parse_callback_url(receiver.url), HEADERS, b"{}")
        await asyncio.to_thread(silent.wait_for, lambda seen: len(seen.requests) == 1)
        hung.cancel()
        await asyncio.gather(hung, return_exceptions=True)
        await asyncio.to_thread(silent.wait_for, lambda seen: seen.closed == 1)
        found = await client.post(parse_callback_url(receiver.url), HEADERS, b"{}")
        await client.close()
        return found

    with Scripted(answer()) as receiver, Scripted(lambda *_: False) as silent:
        silent.answering = silent.silence
        assert asyncio.run(run()) == Answer(200, text="ok")
    assert receiver.connections == 1


# --- in the sender ---------------------------------------------------------------------------------------------------


def test_the_sender_needs_no_more_of_its_client_than_that(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.delivery.webhook.client.open_http_client", lambda allow, options, resolver: StockHttpClient(options)
    )
    with Scripted(in_turn(answer(500), answer(503), answer())) as receiver:
        owe(database, to(*[receiver.port] * 50))
        with Sending(database, options=options(delays=[timedelta(milliseconds=1)] * 3)):
            wait_until(lambda: states(database) == ["delivered"] * 50)
    assert len(receiver.requests) == 52
