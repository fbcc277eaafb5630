"""The listener answers GET, few at a time and not for long, and nothing else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from pipeline.errors import InvalidInput
from pipeline.telemetry import http_server
from pipeline.telemetry.address import parse_address
from pipeline.telemetry.http_server import MOST_CONNECTIONS, MetricsListener, PageAnswer
from tests.support.servers.metrics import get
from tests.support.servers.worker import wait_for


def answer(rest: str, accept: str) -> PageAnswer | None:
    if rest == "bug":
        raise KeyError(rest)
    return PageAnswer(f"{rest} {accept}".encode()) if rest != "unknown" else None


@pytest.fixture
def listener() -> Iterator[MetricsListener]:
    listener = MetricsListener(("127.0.0.1", 0), {"page": answer})
    listener.start()
    yield listener
    listener.stop()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/page/a?b=c", 200),
        ("GET", "/page/unknown", 404),
        ("GET", "/", 404),
        ("GET", "/other", 404),
        ("GET", "/../page", 404),
        ("GET", "/page/bug", 500),
        ("POST", "/page/a", 405),
        ("HEAD", "/page/a", 405),
        ("DELETE", "/page/a", 405),
    ],
)
def test_it_answers_what_it_knows(listener: MetricsListener, method: str, path: str, status: int) -> None:
    assert get(listener.port, path, method=method)[0] == status


def test_the_answer_depends_on_what_is_accepted(listener: MetricsListener) -> None:
    assert get(listener.port, "/page/a", accept="text/x")[2] == "a text/x"


def test_a_port_that_is_taken_is_named(listener: MetricsListener) -> None:
    with pytest.raises(InvalidInput, match=f"cannot listen on 127.0.0.1:{listener.port} for metrics: Address"):
        MetricsListener(("127.0.0.1", listener.port), {})


def test_slow_clients_are_cut_off_and_keep_nobody_waiting(
    listener: MetricsListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [socket.create_connection(("127.0.0.1", listener.port), timeout=30) for _ in range(MOST_CONNECTIONS)]
    for each in slow:
        each.sendall(b"GET /page/a HTTP/1.1\r\nX-Slow: ")
    wait_for(lambda: len(listener._server.open) == MOST_CONNECTIONS)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as one_more:
        assert one_more.recv(100) == b""
    monkeypatch.setattr(http_server, "CONNECTION_SECONDS", 0.0)
    for each in slow:
        assert each.recv(100) == b""
        each.close()
    monkeypatch.undo()
    wait_for(lambda: not listener._server.open)
    assert get(listener.port, "/page/a")[0] == 200


def test_garbage_is_no_trouble(listener: MetricsListener) -> None:
    for sent in (b"\x16\x03\x01\x00\n\n", b"GET\n\n", b"GET / HTTP/9.9\r\n\r\n", b"\xff" * 100 + b"\n\n"):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1_000):
                pass
    assert get(listener.port, "/page/a")[0] == 200


def test_an_answer_from_memory_takes_a_moment(listener: MetricsListener) -> None:
    def seconds() -> float:
        began = time.perf_counter()
        get(listener.port, "/page/a")
        return time.perf_counter() - began

    # The fastest of several: a busy machine slows down most of them.
    wait_for(lambda: seconds() < 0.1)


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:9464", ("127.0.0.1", 9464)), ("[::1]:0", ("::1", 0)), ("localhost:80", ("localhost", 80))],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "9464", ":9464", "host:", "host:x", "host:65536", "host:-1", "host:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address; write host:port"):
        parse_address(text)
