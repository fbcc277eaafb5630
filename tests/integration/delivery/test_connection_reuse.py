"""Connections are kept, and one that turns out to be closed costs no attempt."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.database.engine import Database
from pipeline.delivery.webhook.options import SenderOptions
from tests.support.receivers.authority import Authority
from tests.support.receivers.names import Names
from tests.support.receivers.owed import Sending, attempts, deliveries, options, owe, states, to, wait_until
from tests.support.receivers.scripted import Answering, Request, Scripted, answer

NAME = "receiver.example"


def one_at_a_time(**limits: Any) -> SenderOptions:
    """One request at a time, hence one connection that is kept; failures are final."""
    given = options(delays=[], per_endpoint=1)
    return replace(given, client=replace(given.client, **limits))


def ends(connection: socket.socket, how: str) -> bool:
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == "partly":
        connection.sendall(b"HTTP/1.1 2")
    return False


def once_a_connection(how: str) -> Answering:
    """Answer the first request of each connection; at the second, end it."""
    seen: set[socket.socket] = set()

    def say(request: Request, connection: socket.socket) -> bool:
        if connection in seen:
            return ends(connection, how)
        seen.add(connection)
        return answer()(request, connection)

    return say


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_kept_connection_that_is_closed_costs_no_attempt_and_the_request_goes_out_again(
    database: Database, how: str
) -> None:
    with Scripted(once_a_connection(how)) as receiver:
        owe(database, to(receiver.port, receiver.port))
        with Sending(database, options=one_at_a_time()):
            wait_until(lambda: states(database) == ["delivered"] * 2)
    _, dropped, resent = receiver.requests
    assert receiver.connections == 2
    assert dropped == resent
    assert [(row["number"], row["outcome"]) for row in attempts(database)] == [(1, "succeeded")] * 2


def test_a_kept_tls_connection_that_is_closed_costs_no_attempt(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with Scripted(once_a_connection("close"), tls=authority.context(NAME)) as receiver:
        owe(database, [(f"https://{NAME}:{receiver.port}/{number}", f"https://{NAME}:1") for number in range(2)])
        with Sending(database, options=one_at_a_time(), resolver=Names(["127.0.0.1"])):
            wait_until(lambda: states(database) == ["delivered"] * 2)
    assert (receiver.connections, len(receiver.requests)) == (2, 3)
    assert [row["number"] for row in attempts(database)] == [1, 1]


def test_a_kept_connection_that_ends_within_its_answer_is_a_failure(database: Database) -> None:
    with Scripted(once_a_connection("partly")) as receiver:
        owe(database, to(receiver.port, receiver.port))
        with Sending(database, options=one_at_a_time()):
            wait_until(lambda: states(database) == ["delivered", "dead"])
    assert len(receiver.requests) == 2
    assert deliveries(database)[1]["last_error"] == "connection_reset"


def test_a_request_goes_out_again_once_and_not_twice(database: Database) -> None:
    def say(request: Request, connection: socket.socket) -> bool:
        return len(receiver.requests) == 1 and answer()(request, connection)

    with Scripted(say) as receiver:
        owe(database, to(receiver.port, receiver.port))
        with Sending(database, options=one_at_a_time()):
            wait_until(lambda: states(database) == ["delivered", "dead"])
    assert (len(receiver.requests), receiver.connections) == (3, 2)
    assert [row["error_type"] for row in attempts(database)] == [None, "connection_reset"]


def test_a_new_connection_that_is_closed_is_a_failure_at_once(database: Database) -> None:
    with Scripted(lambda *_: False) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=one_at_a_time()):
            wait_until(lambda: states(database) == ["dead"])
    assert (len(receiver.requests), receiver.connections) == (1, 1)


def test_a_large_body_goes_out_again_whole(database: Database) -> None:
    body = b'{"type":"x","data":"' + b"a" * 3_000_000 + b'"}'
    with Scripted(once_a_connection("close")) as receiver:
        owe(database, to(receiver.port, receiver.port), body=body)
        with Sending(database, options=one_at_a_time()):
            wait_until(lambda: states(database) == ["delivered"] * 2)
    assert [request.body for request in receiver.requests] == [body] * 3


def test_when_a_receiver_restarts_every_kept_connection_is_replaced_and_nothing_is_charged(database: Database) -> None:
    with Scripted(once_a_connection("reset")) as receiver:
        owe(database, to(*[receiver.port] * 64))
        with Sending(database, options=options(per_endpoint=16)):
            wait_until(lambda: states(database) == ["delivered"] * 64)
    assert {(row["number"], row["outcome"]) for row in attempts(database)} == {(1, "succeeded")}


def test_a_connection_that_is_not_used_is_closed(database: Database) -> None:
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=one_at_a_time(idle_seconds=0.05)):
            receiver.wait_for(lambda seen: seen.closed == 1)
    assert SenderOptions().client.idle_seconds == 30


def test_a_connection_that_has_become_old_is_not_used_again(database: Database) -> None:
    with Scripted(answer()) as receiver:
        owe(database, to(*[receiver.port] * 3))
        with Sending(database, options=one_at_a_time(connection_seconds=0)):
            wait_until(lambda: states(database) == ["delivered"] * 3)
    assert receiver.connections == 3
    assert timedelta(seconds=SenderOptions().client.connection_seconds) == timedelta(minutes=5)


def code_over_tls(database: Database, receiver: Scripted, host: str = NAME) -> str | None:
    """Send by https to `host`, which is this machine, and return the code of the failure."""
    owe(database, [(f"https://{host}:{receiver.port}/", f"https://{host}:{receiver.port}")])
    with Sending(database, options=options(delays=[]), resolver=Names(["127.0.0.1"])):
        wait_until(lambda: states(database)[0] in ("dead", "delivered"))
    return deliveries(database)[0]["last_error"]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that senders trust."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def test_a_trusted_certificate_for_the_name_is_accepted_and_the_name_is_told(
    database: Database, authority: Authority
) -> None:
    told: list[str | None] = []
    context = authority.context(NAME)
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    with Scripted(answer(), tls=context) as receiver:
        assert code_over_tls(database, receiver) is None
    assert told == [NAME]
    assert receiver.requests[0].headers["Host"] == f"{NAME}:{receiver.port}"


@pytest.mark.parametrize(
    ("host", "lasts"), [("another.example", timedelta(days=1)), (NAME, timedelta(days=-1)), ("127.0.0.1", timedelta(1))]
)
def test_a_certificate_of_another_name_or_past_its_time_gets_no_request(
    database: Database, authority: Authority, host: str, lasts: timedelta
) -> None:
    with Scripted(answer(), tls=authority.context(host, lasts=lasts)) as receiver:
        assert code_over_tls(database, receiver) == "tls_verify"
    assert receiver.requests == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_receiver_that_speaks_nothing_newer_than_tls_1_1_gets_no_request(
    database: Database, authority: Authority
) -> None:
    context = authority.context(NAME)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Scripted(answer(), tls=context) as receiver:
        lenient = ssl.create_default_context(cafile=authority.file)
        lenient.set_ciphers("DEFAULT:@SECLEVEL=0")
        lenient.minimum_version = ssl.TLSVersion.TLSv1_1
        plain = socket.create_connection(("127.0.0.1", receiver.port))
        with lenient.wrap_socket(plain, server_hostname=NAME) as secured:
            assert secured.version() == "TLSv1.1"
        assert code_over_tls(database, receiver) == "tls_handshake"
    assert receiver.requests == []
