"""What clients may do to a server, and what it answers: raw bytes on a real socket."""

from __future__ import annotations

import inspect
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.sync.client import connect as connect_websocket

from pipeline.http_api.server.limits import ServerLimits
from pipeline.http_api.server.protocol import GatewayProtocol
from pipeline.http_api.server.run import GatewayServer
from pipeline.http_api.server.websocket_protocol import GatewayWebSocketProtocol
from tests.support.asgi_server import HANG_SECONDS, AsgiServer, read_all, read_until, serving_app, wait_until

GET = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
#: What takes seconds with the defaults takes a moment.
IMPATIENT = ServerLimits(
    check_seconds=0.02,
    head_seconds=0.2,
    keep_alive_seconds=0.2,
    body_gap_seconds=0.2,
    drop_bytes=1_000_000,
    drop_seconds=0.2,
    send_seconds=0.3,
    connections=20,
    connections_per_address=4,
    refused_connections=2,
    pipelined_requests=4,
)


@pytest.fixture(scope="module")
def server() -> Iterator[AsgiServer]:
    """A server with the limits of production."""
    with serving_app() as served:
        yield served


@pytest.fixture(scope="module")
def impatient() -> Iterator[AsgiServer]:
    """A server whose limits are reached at once."""
    with serving_app(IMPATIENT) as served:
        yield served


def get(path: str = "", *headers: str, close: bool = True) -> bytes:
    lines = [*headers, *(["Connection: close"] if close else [])]
    return GET % (path.encode(), "".join(f"{line}\r\n" for line in lines).encode("latin-1"))


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def problem(answer: bytes) -> tuple[int, str]:
    """Return status and code of a problem that ends its connection."""
    status, headers, body = split(answer)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert len(body) == int(headers["content-length"])
    found = json.loads(body)
    assert found["request_id"] == headers["x-request-id"]
    return status, found["code"]


@pytest.mark.parametrize(
    ("ours", "theirs", "names"),
    [
        (
            GatewayProtocol,
            HttpToolsProtocol,
            {
                *("__init__", "connection_made", "connection_lost", "data_received", "shutdown", "on_message_begin"),
                *("on_url", "on_header", "on_headers_complete", "on_body", "on_message_complete"),
                *("handle_websocket_upgrade", "_start_asgi_task", "on_response_complete", "send_400_response"),
            },
        ),
        (
            GatewayWebSocketProtocol,
            WebSocketsSansIOProtocol,
            {"__init__", "connection_made", "connection_lost", "handle_connect"},
        ),
        (GatewayServer, GatewayServer.__bases__[0], {"__init__", "startup", "shutdown", "capture_signals"}),
    ],
)
def test_what_is_overridden_is_there(ours: type, theirs: type, names: set[str]) -> None:
    """A newer uvicorn that renames one of these would go on without our limits."""
    assert {name for name in vars(ours) if callable(getattr(ours, name)) and hasattr(theirs, name)} >= names
    for name in names:
        given = list(inspect.signature(getattr(theirs, name)).parameters)
        assert name in vars(theirs), name
        if name != "__init__":
            assert list(inspect.signature(getattr(ours, name)).parameters)[: len(given)] == given, name
    overridden = {name for name in vars(ours) if name in vars(theirs) and inspect.isfunction(vars(theirs)[name])}
    assert overridden | {"capture_signals"} == names | {"capture_signals"}


def test_what_is_read_of_a_request_is_there() -> None:
    source = inspect.getsource(RequestResponseCycle) + inspect.getsource(HttpToolsProtocol)
    members = {"more_body", "response_complete", "response_started", "disconnected", "message_event", "keep_alive"}
    members |= {"waiting_for_100_continue", "transport", "flow", "pipeline", "cycle", "parser", "client", "scope"}
    assert {name for name in members if f"self.{name}" not in source} == set()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (get("x" * 9_000), (414, "uri_too_long")),
        (get("", *(f"X-{number}: 1" for number in range(100))), (431, "headers_too_large")),
        (get("", f"X: {'1' * 33_000}"), (431, "headers_too_large")),
        (get("", "Content-Length: 3", "Transfer-Encoding: chunked"), (400, "bad_request")),
        (get("", "Content-Length: 3", "Content-Length: 4"), (400, "bad_request")),
        (get("", "Host: another"), (400, "bad_request")),
        (b"GET / HTTP/1.1\r\n\r\n", (400, "bad_request")),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, "bad_request")),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, "bad_request")),
    ],
    ids=["uri", "count", "size", "smuggled", "lengths", "hosts", "no-host", "bytes", "tls"],
)
def test_a_malformed_request_is_answered_with_a_problem_and_closed(
    server: AsgiServer, request_: bytes, expected: tuple[int, str]
) -> None:
    assert problem(server.exchange(request_)) == expected


def test_a_header_without_an_end_is_cut_off_at_a_bound(server: AsgiServer) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        client.sendall(b"x" * 1_000_000)
        assert problem(read_all(client)) == (431, "headers_too_large")


def test_a_request_of_the_largest_size_is_answered(server: AsgiServer) -> None:
    headers = [f"X-{number}: {'1' * 300}" for number in range(98)]
    status, _, body = split(server.exchange(get("x" * 8_000, *headers)))
    assert (status, len(body)) == (200, 8_001)


def test_http_1_0_needs_no_host(server: AsgiServer) -> None:
    assert split(server.exchange(b"GET /old HTTP/1.0\r\n\r\n"))[2] == b"/old"


def test_pipelined_requests_are_answered_in_order(server: AsgiServer) -> None:
    answers = server.exchange(b"".join([get("1", close=False), get("2", close=False), get("3")]))
    assert [part[:2] for part in answers.split(b"\r\n\r\n")[1:]] == [b"/1", b"/2", b"/3"]


def test_a_malformed_request_behind_a_good_one_does_not_spoil_its_answer(server: AsgiServer) -> None:
    answers = server.exchange(get("first", close=False) + b"garbage\r\n\r\n")
    first, second = answers.split(b"HTTP/1.1 400")
    assert split(first)[2] == b"/first"
    assert problem(b"HTTP/1.1 400" + second) == (400, "bad_request")


def test_more_pipelined_requests_than_may_wait_are_refused(impatient: AsgiServer) -> None:
    answers = impatient.exchange(b"".join(get(str(number), close=False) for number in range(9)))
    assert answers.count(b"HTTP/1.1 200") == 5
    assert problem(answers[answers.index(b"HTTP/1.1 400") :]) == (400, "bad_request")


def test_trailers_are_no_headers(server: AsgiServer) -> None:
    body = b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    answer = server.exchange(get("read", "Transfer-Encoding: chunked") + body)
    assert split(answer)[2] == b"3"
    assert b"authorization" not in dict(server.scopes[-1]["headers"])


def test_a_silent_connection_is_closed_without_a_word(impatient: AsgiServer) -> None:
    with impatient.connect() as client:
        assert read_all(client) == b""


def test_a_connection_that_is_silent_after_a_request_is_closed(impatient: AsgiServer) -> None:
    with impatient.connect() as client:
        client.sendall(get("kept", close=False) + b"\r\n")
        assert split(read_all(client))[2] == b"/kept"


@pytest.mark.parametrize("before", [b"", get("kept", close=False)], ids=["first", "kept-alive"])
def test_half_a_header_is_answered_408(impatient: AsgiServer, before: bytes) -> None:
    with impatient.connect() as client:
        if before:
            client.sendall(before)
            read_until(client, b"/kept")
        client.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert problem(read_all(client)) == (408, "request_timeout")


def test_half_a_body_is_answered_408_and_the_application_sees_a_client_that_is_gone(impatient: AsgiServer) -> None:
    with impatient.connect() as client:
        client.sendall(get("read", "Content-Length: 100") + b"half")
        assert problem(read_all(client)) == (408, "request_timeout")


def test_a_body_may_come_slowly_as_long_as_it_comes(impatient: AsgiServer) -> None:
    # Each byte is sent once the one before was taken for sure: the server answers a request on another connection.
    with impatient.connect() as client:
        client.sendall(get("read", "Content-Length: 5"))
        for _ in range(5):
            impatient.exchange(get())
            client.sendall(b"x")
        assert split(read_all(client))[2] == b"5"


@pytest.mark.parametrize("how", ["Content-Length: 800000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("close", [True, False])
def test_an_early_answer_is_seen_by_a_client_that_sends_everything_first(
    server: AsgiServer, how: str, close: bool
) -> None:
    body = b"x" * 800_000
    if "chunked" in how:
        body = b"c3500\r\n" + body + b"\r\n0\r\n\r\n"
    status, headers, answer = split(server.exchange(get("early", how, close=close) + body))
    assert (status, headers["connection"], answer) == (413, "close", b"too large")


def test_no_more_of_an_answered_body_is_read_than_the_limit(impatient: AsgiServer) -> None:
    with impatient.connect() as client:
        client.sendall(get("early", "Content-Length: 1000000000"))
        assert _send_until_refused(client, b"x" * 65_536) < 100_000_000


def test_a_client_that_reads_only_once_it_has_to_wait_gets_its_answer() -> None:
    """As Node's fetch with a stream that never waits: cut off at the limit, it would lose the answer in a reset."""
    limits = ServerLimits(drop_bytes=1_000_000, drop_seconds=HANG_SECONDS)
    with serving_app(limits, stop_seconds=0.05) as served, served.connect() as client:
        client.sendall(get("early", "Content-Length: 1000000000"))
        sent, chunk = 0, b"x" * 65_536
        while sent < 4_000_000 or select.select([], [client], [], 0)[1]:
            sent += client.send(chunk)
        assert split(read_all(client))[0] == 413


def test_the_rest_of_an_answered_body_is_not_awaited_for_long(impatient: AsgiServer) -> None:
    with impatient.connect() as client:
        client.sendall(get("early", "Content-Length: 100"))
        # The end of the answer comes at once, the end of the connection later.
        assert split(read_all(client))[0] == 413
        _send_until_refused(client, b"x", pause=lambda: impatient.exchange(get()))


def _send_until_refused(client: socket.socket, chunk: bytes, pause: Callable[[], object] = lambda: None) -> int:
    """Send until the server cuts the connection off; return the number of bytes."""
    sent = 0
    try:
        while True:
            client.sendall(chunk)
            sent += len(chunk)
            pause()
    except ConnectionError:
        return sent


def test_100_continue_is_sent_only_when_the_body_is_read(server: AsgiServer) -> None:
    expecting = ("Content-Length: 3", "Expect: 100-continue")
    assert split(server.exchange(get("early", *expecting)))[0] == 413
    with server.connect() as client:
        client.sendall(get("read", *expecting))
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert split(read_all(client))[2] == b"3"


def test_a_reader_that_never_reads_is_cut_off(impatient: AsgiServer) -> None:
    impatient.disconnected.clear()
    with impatient.connect(buffer=32_768) as client:
        client.sendall(get("stream"))
        assert impatient.disconnected.wait(HANG_SECONDS)
        # What the kernel of the server still held is gone as well, instead of waiting for this client.
        assert read_all(client).endswith(b"<reset>")


def test_a_reader_that_does_not_take_the_end_of_its_answer_is_cut_off(impatient: AsgiServer) -> None:
    with impatient.connect(buffer=32_768) as client:
        client.sendall(get("large"))
        # The application has returned long since.
        wait_until(lambda: bool(impatient.server._connections()))
        wait_until(lambda: not impatient.server._connections())
        assert read_all(client).endswith(b"<reset>")


def test_a_slow_reader_gets_everything(impatient: AsgiServer) -> None:
    impatient.streaming.clear()
    with impatient.connect(buffer=65_536) as client:
        client.sendall(get("stream"))
        read = 0
        while read < 3_000_000:
            # As long as it takes a little now and then, it is not cut off.
            read += len(client.recv(16_384))
            impatient.exchange(get())


def test_a_client_that_vanishes_is_given_up_by_the_kernel(server: AsgiServer) -> None:
    server.streaming.clear()
    with server.connect() as client:
        client.sendall(get("idle"))
        assert server.streaming.wait(HANG_SECONDS)
        (connection,) = [each.connection for each in server.server._connections() if each.cycle is not None]
        assert connection._socket is not None
        milliseconds = connection._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert milliseconds == 25_000


def test_a_stream_with_a_request_behind_it_ends_with_its_client(server: AsgiServer) -> None:
    server.disconnected.clear()
    with server.connect() as client:
        client.sendall(get("idle", close=False) + get("behind"))
        read_until(client, b"begun\n\r\n")
    assert server.disconnected.wait(HANG_SECONDS)


def test_connections_beyond_the_limit_are_told_so(impatient: AsgiServer) -> None:
    with impatient.connect() as first, impatient.connect() as second, impatient.connect() as third:
        held = [impatient.connect(), first, second, third]
        for client in held:
            client.sendall(get("idle"))
            read_until(client, b"begun\n\r\n")
        with impatient.connect() as more:
            answer = read_all(more)
        assert problem(answer) == (503, "too_many_connections")
        assert split(answer)[1]["retry-after"] == "5"
        held[0].close()
    # The places of those that left are free again.
    assert _until_answered(impatient) == 200


def _until_answered(server: AsgiServer) -> int:
    while True:
        status = split(server.exchange(get()))[0]
        if status != 503:
            return status


def test_a_websocket_reaches_its_connection(server: AsgiServer) -> None:
    with connect_websocket(f"ws://127.0.0.1:{server.port}/ws", compression=None) as client:
        assert client.recv(timeout=HANG_SECONDS) == "ClientConnection"


def test_a_websocket_behind_a_running_request_is_cut_off(server: AsgiServer) -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    answer = server.exchange(get("idle", close=False) + get("ws", *upgrade, "Sec-WebSocket-Version: 13", close=False))
    assert b" 101 " not in answer


def test_a_websocket_that_does_not_read_is_cut_off(impatient: AsgiServer) -> None:
    impatient.disconnected.clear()
    with impatient.connect(buffer=32_768) as client:
        upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        client.sendall(get("ws", *upgrade, "Sec-WebSocket-Version: 13", close=False))
        assert split(client.recv(65_536))[0] == 101
        # A text frame with an empty mask: the application sends from now on.
        client.sendall(b"\x81\x82\x00\x00\x00\x00go")
        assert impatient.disconnected.wait(HANG_SECONDS)


def test_a_stop_tells_streams_to_end_and_lets_requests_finish() -> None:
    with serving_app(stop_seconds=HANG_SECONDS) as served:
        streams = [served.connect() for _ in range(20)]
        for each in streams:
            each.sendall(get("idle", close=False))
            read_until(each, b"begun\n\r\n")
        upload = served.connect()
        upload.sendall(get("read", "Content-Length: 10") + b"12345")
        wait_until(lambda: len(served.scopes) == 21)
        _stop(served)
        for each in streams:
            assert read_all(each).endswith(b"ended\n\r\n0\r\n\r\n")
            each.close()
        upload.sendall(b"67890")
        assert split(read_all(upload))[2] == b"10"
        upload.close()
        served.thread.join(HANG_SECONDS)
        assert not served.thread.is_alive()


@pytest.mark.parametrize("how", ["second signal", "end of the time"])
def test_a_stop_that_takes_too_long_cuts_everything_off(how: str) -> None:
    with serving_app(stop_seconds=HANG_SECONDS if how == "second signal" else 0.05) as served:
        upload = served.connect()
        upload.sendall(get("read", "Content-Length: 10") + b"12345")
        wait_until(lambda: bool(served.scopes))
        _stop(served)
        if how == "second signal":
            _stop(served)
        assert b"200" not in read_all(upload)
        upload.close()
        served.thread.join(HANG_SECONDS)
        assert not served.thread.is_alive()


def _stop(served: AsgiServer) -> None:
    loop = served.server.servers[0].get_loop()
    stopped = threading.Event()
    loop.call_soon_threadsafe(lambda: (served.server.stop(), stopped.set()))
    assert stopped.wait(HANG_SECONDS)


def test_tls_is_spoken_where_a_certificate_is_given(tmp_path: Path) -> None:
    certificate, key = _certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=certificate)
    # TLS has no half-closed connections: the client sees the end of a refusal only with that of the connection.
    with serving_app(ServerLimits(check_seconds=0.02, drop_seconds=0.1), tls=(str(certificate), str(key))) as served:
        with trusting.wrap_socket(served.connect(), server_hostname="localhost") as client:
            client.sendall(get("secure"))
            assert split(read_all(client))[2] == b"/secure"
        assert served.scopes[-1]["scheme"] == "https"
        with trusting.wrap_socket(served.connect(), server_hostname="localhost") as client:
            client.sendall(get("x" * 9_000))
            assert problem(read_all(client)) == (414, "uri_too_long")


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, secret
