"""What the sender puts on the wire, and what follows from each way of answering."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from pipeline.crypto.verify_webhook import verify_webhook
from pipeline.database.engine import Database
from pipeline.delivery.endpoints import enable
from pipeline.delivery.sender.sender import Sender
from tests.support.lazy import Lazy
from tests.support.receivers import scripted
from tests.support.receivers.owed import (
    BATCH,
    BODY,
    SECRET,
    Sending,
    attempts,
    context_of,
    deliveries,
    endpoints,
    options,
    owe,
    states,
    to,
    wait_until,
)
from tests.support.receivers.scripted import Answering, Request, Scripted, answer, in_turn

svix = Lazy("svix.webhooks")


def test_a_request_has_exactly_the_headers_that_are_documented(database: Database) -> None:
    with Scripted(answer(204, body=b"")) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
    (request,) = receiver.requests
    headers = dict(request.headers)
    assert request.line == "POST /hook?a=b HTTP/1.1"
    assert len(request.names) == len(headers)
    assert headers.pop("webhook-signature").startswith("v1,")
    assert abs(int(headers.pop("webhook-timestamp")) - datetime.now(UTC).timestamp()) < 60
    assert headers.pop("user-agent").startswith("pipeline/")
    assert {name.lower(): value for name, value in headers.items()} == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "accept": "*/*",
        "accept-encoding": "identity",
        "webhook-id": f"msg_{BATCH}000000000001",
        "webhook-attempt": "1",
    }


def test_the_request_verifies_with_foreign_libraries_and_with_ours(database: Database) -> None:
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            receiver.wait_for(lambda seen: len(seen.requests) == 1)
    (request,) = receiver.requests
    assert request.body == BODY
    assert Webhook(SECRET).verify(request.body.decode(), request.headers)["type"] == "item.completed"
    svix.Webhook(SECRET).verify(request.body, request.headers)
    assert verify_webhook(request.body, request.headers, SECRET)["data"]["text"] == "café ☕ 日本"


def test_a_success_is_recorded_with_its_attempt(database: Database) -> None:
    with Scripted(answer(202)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
    (delivery,), (attempt,) = deliveries(database), attempts(database)
    assert (delivery["last_status"], delivery["last_error"], delivery["attempt"]) == (202, None, 1)
    assert (delivery["worker"], delivery["lease_until"]) == ("sender-1", None)
    assert (attempt["delivery_id"], attempt["stage"], attempt["number"]) == (delivery["id"], "deliver", 1)
    assert (attempt["outcome"], attempt["status"], attempt["worker"]) == ("succeeded", 202, "sender-1")
    assert delivery["created_at"] <= attempt["started_at"] <= attempt["ended_at"] == delivery["finished_at"]
    assert endpoints(database) == {}


def test_a_failure_is_tried_again_with_the_same_id_and_bytes(database: Database) -> None:
    with Scripted(in_turn(answer(500), answer(503), answer(200))) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
            wait_until(lambda: endpoints(database)[to(receiver.port)[0][1]]["consecutive_failures"] == 0)
    assert [request.headers["webhook-attempt"] for request in receiver.requests] == ["1", "2", "3"]
    assert {(request.headers["webhook-id"], request.body) for request in receiver.requests} == {
        (f"msg_{BATCH}000000000001", BODY)
    }
    assert [(row["number"], row["outcome"], row["status"], row["error_type"]) for row in attempts(database)] == [
        (1, "retry", 500, "http_500"),
        (2, "retry", 503, "http_503"),
        (3, "succeeded", 200, None),
    ]
    assert deliveries(database)[0]["attempt"] == 3


def test_a_delivery_whose_attempts_are_used_up_is_dead_with_its_last_failure(database: Database) -> None:
    with Scripted(answer(500)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["dead"])
    (delivery,) = deliveries(database)
    assert (delivery["attempt"], delivery["last_status"], delivery["last_error"]) == (4, 500, "http_500")
    assert delivery["finished_at"] is not None
    assert [row["outcome"] for row in attempts(database)] == ["retry", "retry", "retry", "dead"]
    assert endpoints(database)[delivery["origin"]]["consecutive_failures"] == 4


def test_the_next_attempt_is_counted_from_the_end_of_the_last(database: Database) -> None:
    with Scripted(answer(500)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(delays=[timedelta(hours=1)])):
            wait_until(lambda: len(attempts(database)) == 1)
    ended_at, due_at = attempts(database)[0]["ended_at"], deliveries(database)[0]["due_at"]
    assert timedelta(hours=1) <= due_at - ended_at <= timedelta(hours=1, minutes=12)
    assert states(database) == ["pending"]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_pauses_the_whole_endpoint_and_counts_no_attempt(database: Database, status: int) -> None:
    with Scripted(answer(status, "Retry-After: 3600")) as receiver, Scripted(answer()) as other:
        owe(database, to(receiver.port, receiver.port, other.port))
        with Sending(database, options=options(per_endpoint=1)) as sender:
            wait_until(lambda: len(attempts(database)) == 2)
            owe_once_more(database, 3)
            sender.wake()
            other.wait_for(lambda seen: len(seen.requests) == 2)
    origin = to(receiver.port)[0][1]
    row = endpoints(database)[origin]
    snoozed = next(row for row in attempts(database) if row["status"] == status)
    assert snoozed["outcome"] == "snoozed"
    assert row["not_before"] - snoozed["ended_at"] == timedelta(hours=1)
    assert row["consecutive_failures"] == 0
    assert len(receiver.requests) == 1
    assert [row["attempt"] for row in deliveries(database) if row["origin"] == origin] == [0, 0]


def owe_once_more(database: Database, seq: int) -> None:
    """Owe an event to another path of its endpoint as well."""
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO deliveries (batch_id, seq, url, origin, state, due_at, created_at) "
            "SELECT batch_id, seq, replace(url, '/hook', '/other'), origin, 'pending', created_at, created_at "
            f"FROM deliveries WHERE seq = {seq}"
        )


def test_410_disables_the_endpoint_and_pauses_what_is_owed_to_it_until_it_is_enabled(database: Database) -> None:
    with Scripted(in_turn(answer(410), answer(200))) as receiver:
        owe(database, to(*[receiver.port] * 5))
        with Sending(database, options=options(per_endpoint=1)) as sender:
            wait_until(lambda: sorted(states(database)) == ["dead", *["paused"] * 4])
            origin = deliveries(database)[0]["origin"]
            assert endpoints(database)[origin]["disabled_reason"] == "gone"
            assert len(receiver.requests) == 1
            assert enable(context_of(database), origin) == 4
            sender.wake()
            wait_until(lambda: sorted(states(database)) == ["dead", *["delivered"] * 4])
    assert endpoints(database)[origin]["disabled_at"] is None
    assert [row["last_error"] for row in deliveries(database)] == ["http_410", None, None, None, None]


def test_what_becomes_owed_to_a_disabled_endpoint_is_paused_unsent(database: Database) -> None:
    with Scripted(answer(200, "webhook-delivery: disable")) as receiver:
        owe(database, to(receiver.port))
        with Sending(database) as sender:
            wait_until(lambda: states(database) == ["delivered"])
            owe_once_more(database, 1)
            sender.wake()
            wait_until(lambda: states(database) == ["delivered", "paused"])
    assert len(receiver.requests) == 1
    assert endpoints(database)[deliveries(database)[0]["origin"]]["disabled_reason"] == "receiver_request"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["itself", "file:///etc/passwd"])
def test_a_redirect_is_a_failure_and_not_followed(database: Database, status: int, target: str) -> None:
    with Scripted(answer()) as elsewhere:
        location = f"http://user:pw@127.0.0.1:{elsewhere.port}/secret?q=1" if target == "itself" else target
        with Scripted(answer(status, f"Location: {location}")) as receiver:
            owe(database, to(receiver.port))
            with Sending(database, options=options(delays=[])):
                wait_until(lambda: states(database) == ["dead"])
    assert (len(receiver.requests), elsewhere.connections) == (1, 0)
    (attempt,) = attempts(database)
    assert (attempt["status"], attempt["error_type"]) == (status, f"http_{status}")
    assert "update the callback URL" in attempt["error_message"]
    assert "secret" not in attempt["error_message"]
    assert "pw" not in attempt["error_message"]


def raw(content: bytes) -> Answering:
    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(content)
        return False

    return say


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "http_101"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "protocol_error"),
        (b"HTTP/1.1 abc Nonsense\r\n\r\n", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-filler: " + b"a" * 70_000 + b"\r\n\r\n", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-filler: a\r\n" * 2_000 + b"\r\n", "protocol_error"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-filler: %s\r\n" % (b"a" * 4_000) * 20 + b"\r\n", "protocol_error"),
        (b"HTTP/1.1 200", "connection_reset"),
        (b"", "connection_reset"),
    ],
)
def test_what_is_no_answer_has_a_code(database: Database, content: bytes, code: str) -> None:
    with Scripted(raw(content)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(delays=[])):
            wait_until(lambda: states(database) == ["dead"])
    assert deliveries(database)[0]["last_error"] == code


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ntruncated",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\xff\xfe\x00\x80",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_the_status_line_decides_whatever_is_wrong_with_the_body(database: Database, content: bytes) -> None:
    with Scripted(raw(content)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
    assert len(receiver.requests) == 1


def test_an_endless_answer_is_a_success_and_its_connection_is_closed(database: Database) -> None:
    def endless(_: Request, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        return receiver.drip(connection, b"1000\r\n" + b"a" * 0x1000 + b"\r\n")

    with Scripted(endless) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
            receiver.wait_for(lambda seen: seen.closed == 1)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b""])
def test_headers_that_drip_are_cut_at_the_deadline(database: Database, head: bytes) -> None:
    def drip(_: Request, connection: socket.socket) -> bool:
        connection.sendall(head)
        return receiver.drip(connection, b"x-a: b\r\n" if head else b"H")

    with Scripted(drip) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(deadline=0.5, delays=[])):
            receiver.wait_for(lambda seen: seen.closed == 1)
            wait_until(lambda: states(database) == ["dead"])
    (attempt,) = attempts(database)
    assert attempt["error_type"] in ("timeout", "protocol_error")
    assert head == b"" or attempt["error_type"] == "timeout"


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (500, "dead")])
def test_a_body_that_drips_is_cut_at_the_deadline_and_the_status_counts(
    database: Database, status: int, state: str
) -> None:
    def drip(_: Request, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 %d Said\r\ncontent-length: 1000000\r\n\r\n" % status)
        return receiver.drip(connection, b"a")

    with Scripted(drip) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(deadline=0.5, delays=[])):
            receiver.wait_for(lambda seen: seen.closed == 1)
            wait_until(lambda: states(database) == [state])
    assert deliveries(database)[0]["last_status"] == status


def test_silence_is_cut_at_the_deadline_and_tried_again_no_sooner_than_in_a_minute(database: Database) -> None:
    with Scripted(answer()) as receiver:
        receiver.answering = receiver.silence
        owe(database, to(receiver.port))
        with Sending(database, options=options(deadline=0.5)):
            receiver.wait_for(lambda seen: seen.closed == 1)
            wait_until(lambda: len(attempts(database)) == 1)
    (delivery,), (attempt,) = deliveries(database), attempts(database)
    assert (delivery["state"], delivery["last_error"], delivery["last_status"]) == ("pending", "timeout", None)
    assert delivery["due_at"] - attempt["ended_at"] >= timedelta(seconds=60)
    assert attempt["ended_at"] - attempt["started_at"] >= timedelta(seconds=0.5)


def test_a_refused_connection_has_its_code(database: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    owe(database, to(port))
    with Sending(database, options=options(delays=[])):
        wait_until(lambda: states(database) == ["dead"])
    assert deliveries(database)[0]["last_error"] == "connection_refused"
    assert "nothing is listening" in attempts(database)[0]["error_message"]


def over_tls(database: Database, port: int) -> str:
    """Send to a receiver by https and return the code of its failure."""
    origin = f"https://127.0.0.1:{port}"
    owe(database, [(f"{origin}/", origin)])
    with Sending(database, options=options(delays=[])):
        wait_until(lambda: states(database) == ["dead"])
    return str(deliveries(database)[0]["last_error"])


def test_a_receiver_without_tls_on_an_https_url_has_its_code(database: Database) -> None:
    with Scripted(answer(), greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as receiver:
        assert over_tls(database, receiver.port) == "tls_handshake"


def test_a_certificate_that_is_not_trusted_has_its_code_and_gets_no_request(database: Database) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(scripted.__file__).with_name("self_signed.pem"))
    with Scripted(answer(), tls=context) as receiver:
        assert over_tls(database, receiver.port) == "tls_verify"
    assert receiver.requests == []


def test_connections_are_kept_and_cookies_and_environment_are_ignored(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Scripted(answer(200, "set-cookie: a=b")) as receiver:
        owe(database, to(*[receiver.port] * 20))
        with Sending(database, options=options(per_endpoint=1)):
            wait_until(lambda: states(database) == ["delivered"] * 20)
    assert receiver.connections == 1
    assert {name.lower() for request in receiver.requests for name in request.names}.isdisjoint({"cookie"})


def test_a_large_body_arrives_whole(database: Database) -> None:
    body = b'{"type":"x","data":"' + b"a" * 3_000_000 + b'"}'
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port), body=body)
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
    assert receiver.requests[0].body == body


def test_without_a_secret_nothing_is_sent(database: Database) -> None:
    with Scripted(answer()) as receiver:
        owe(database, to(receiver.port))
        sender = Sender(database, [], worker="sender-1")
        sender.start()
        sender.wake()
        sender.stop()
    assert (receiver.connections, states(database)) == (0, ["pending"])
