"""Many batches over one WebSocket, read by the client of `websockets`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_socket

from pipeline.access import keys, stream_tokens
from pipeline.access.caller import Caller
from pipeline.domain.api_key import Scope, split_key
from pipeline.domain.item import ItemState
from pipeline.http_api import authentication
from pipeline.http_api.streaming import socket as conversation
from pipeline.http_api.streaming.options import StreamOptions
from tests.support.event_logs import write_batch
from tests.support.factories import connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving, wait_for_readers


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server without a worker, with short waits."""
    options = StreamOptions(most=3, recheck_seconds=0.05)
    with connect(folder) as client, serving(client, works=False, streams=options) as served:
        yield served


def opened(
    api: ServedApi, headers: dict[str, str] | None = None, *, query: str = "", **options: Any
) -> ClientConnection:
    url = api.url.replace("http:", "ws:") + "/v1/ws" + query
    chosen = {"subprotocols": ["pipeline.v1"], "proxy": None, "open_timeout": HANG_SECONDS} | options
    return connect_socket(url, additional_headers=headers or {}, **chosen)


def send(socket: ClientConnection, op: str, **members: Any) -> None:
    socket.send(orjson.dumps({"op": op, **members}).decode())


def receive(socket: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(socket.recv(timeout=HANG_SECONDS))
    return found


def seqs(socket: ClientConnection, batch: str) -> list[int]:
    """Return the events of a batch up to its end."""
    found = []
    while True:
        message = receive(socket)
        assert message["batch"] == batch
        if message["op"] == "end":
            return found
        assert message["op"] == "event"
        assert message["event"]["data"]["seq"] == message["seq"]
        found.append(message["seq"])


def test_one_connection_follows_several_batches(api: ServedApi, folder: Path) -> None:
    batches = [write_batch(api.context, folder, 10) for _ in range(3)]
    with opened(api) as socket:
        assert socket.subprotocol == "pipeline.v1"
        for batch in batches:
            batch.finish(4)
            send(socket, "subscribe", batch=batch.id, after=2)
        seen: dict[str, list[int]] = {batch.id: [] for batch in batches}
        ends: dict[str, Any] = {}
        while len(ends) < 3:
            message = receive(socket)
            if message["op"] == "subscribed":
                assert message["last_seq"] == 4
            elif message["op"] == "event":
                seen[message["batch"]].append(message["seq"])
                if seen[message["batch"]] == [3, 4]:
                    next(each for each in batches if each.id == message["batch"]).finish(6, ItemState.DEAD)
            else:
                ends[message["batch"]] = message
    assert set(map(tuple, seen.values())) == {tuple(range(3, 12))}
    assert ends[batches[0].id] == {
        "op": "end", "batch": batches[0].id, "last_seq": 11, "state": "completed", "succeeded": 4, "dead": 6,
        "cancelled": 0,
    }  # fmt: skip
    wait_for_readers(api, 0)


def test_credit_limits_what_is_sent(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 30)
    batch.finish(20)
    with opened(api) as socket:
        send(socket, "subscribe", batch=batch.id, credit=5)
        assert receive(socket)["op"] == "subscribed"
        assert [receive(socket)["seq"] for _ in range(5)] == [1, 2, 3, 4, 5]
        batch.finish(10)
        # What is asked for now is answered before any further event: there is no credit.
        send(socket, "credit", batch="0123456789abcdef", n=1)
        assert receive(socket)["code"] == "not_subscribed"
        send(socket, "credit", batch=batch.id, n=26)
        assert seqs(socket, batch.id) == list(range(6, 32))


def test_a_subscription_may_be_filtered_begin_now_and_be_given_up(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 6)
    batch.finish(2)
    with opened(api) as socket:
        send(socket, "subscribe", batch=batch.id, after="latest", types=["item.failed", "batch.completed"])
        assert receive(socket) == {"op": "subscribed", "batch": batch.id, "last_seq": 2}
        batch.finish(1)
        batch.finish(1, ItemState.DEAD)
        assert receive(socket)["seq"] == 4
        send(socket, "unsubscribe", batch=batch.id)
        send(socket, "unsubscribe", batch=batch.id)
        assert receive(socket)["code"] == "not_subscribed"
        batch.finish(2)
        send(socket, "subscribe", batch=batch.id, after=4)
        assert receive(socket)["op"] == "subscribed"
        assert seqs(socket, batch.id) == [5, 6, 7]


def test_messages_that_cannot_be_followed_are_errors(
    api: ServedApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "MAX_SUBSCRIPTIONS", 2)
    batches = [write_batch(api.context, folder, 1) for _ in range(3)]
    foreign = write_batch(api.context, folder, 1, tenant="other")
    with opened(api) as socket:
        for batch in batches[:2]:
            send(socket, "subscribe", batch=batch.id)
            assert receive(socket)["op"] == "subscribed"
        for message, code in (
            ({"op": "subscrib", "batch": "x"}, "unknown_op"),
            ({"op": "subscribe"}, "invalid_request"),
            ({"op": "subscribe", "batch": batches[2].id, "after": -1}, "invalid_request"),
            ({"op": "subscribe", "batch": batches[2].id, "types": ["item.faild"]}, "invalid_request"),
            ({"op": "subscribe", "batch": batches[0].id}, "already_subscribed"),
            ({"op": "subscribe", "batch": batches[2].id}, "too_many"),
        ):
            socket.send(orjson.dumps(message).decode())
            assert receive(socket)["code"] == code
        send(socket, "unsubscribe", batch=batches[1].id)
        send(socket, "subscribe", batch=batches[2].id, after=7)
        ahead = receive(socket)
        assert (ahead["code"], ahead["last_seq"], ahead["batch"]) == ("cursor_ahead", 0, batches[2].id)
        for name in (foreign.id, "0123456789abcdef"):
            send(socket, "subscribe", batch=name)
            refused = receive(socket)
            assert (refused["code"], refused["detail"]) == ("not_found", f"there is no batch '{name}'")


def test_another_protocol_is_refused_before_the_upgrade(api: ServedApi) -> None:
    for subprotocols in (None, ["graphql-ws"]):
        with pytest.raises(InvalidStatus) as refused, opened(api, subprotocols=subprotocols):
            pass
        assert refused.value.response.status_code == 400
        assert orjson.loads(refused.value.response.body)["code"] == "bad_subprotocol"
    plain = api.http.get("/v1/ws")
    assert (plain.status_code, plain.json()["code"]) == (426, "upgrade_required")


@pytest.mark.parametrize(
    ("message", "code"), [(b"{}", 1003), ("[1]", 1008), ("{", 1008), ('"' + "x" * 66_000 + '"', 1009)]
)
def test_what_is_none_of_our_protocol_closes_the_connection(api: ServedApi, message: str | bytes, code: int) -> None:
    with opened(api) as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=HANG_SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


def test_a_stream_token_follows_its_own_batch_alone(api: ServedApi, folder: Path) -> None:
    batch, other = write_batch(api.context, folder, 1), write_batch(api.context, folder, 1)
    key = api.key(Scope.READ)
    answer = api.http.post("/v1/stream-tokens", headers=key, json={"batch": batch.id})
    token = f"?token={answer.json()['token']}"
    with opened(api, query=token) as socket:
        send(socket, "subscribe", batch=other.id)
        assert receive(socket)["code"] == "not_found"
        send(socket, "subscribe", batch=batch.id)
        assert receive(socket)["op"] == "subscribed"
    statuses = {each.id: api.http.get(f"/v1/batches/{each.id}/results{token}").status_code for each in (batch, other)}
    assert statuses == {batch.id: 200, other.id: 404}
    assert api.http.get(f"/v1/batches/{batch.id}{token}").status_code == 401


def test_keys_are_checked_before_and_during_a_connection(
    api: ServedApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "TRUST_SECONDS", 0.0)
    batch = write_batch(api.context, folder, 1)
    key = keys.create(api.context, "reader", scopes=(Scope.READ,))
    parts = split_key(key)
    assert parts is not None
    for headers, status in (({}, 401), (api.key(Scope.SUBMIT), 403)):
        with pytest.raises(InvalidStatus) as refused, opened(api, headers):
            pass
        assert refused.value.response.status_code == status
    reader = {"Authorization": f"Bearer {key}"}
    with ExitStack() as stack:
        sockets = [stack.enter_context(opened(api, reader)) for _ in range(3)]
        with opened(api, reader) as fourth, pytest.raises(ConnectionClosedError) as closed:
            fourth.recv(timeout=HANG_SECONDS)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4429, "too_many_streams")
        send(sockets[0], "subscribe", batch=batch.id)
        assert receive(sockets[0])["op"] == "subscribed"
        keys.revoke(api.context, parts.id)
        for socket in sockets:
            with pytest.raises(ConnectionClosedError) as closed:
                socket.recv(timeout=HANG_SECONDS)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "revoked_key")
    wait_for_readers(api, 0)


def test_a_stream_token_reads_its_batch_alone_and_until_it_expires(
    api: ServedApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "TRUST_SECONDS", 0.0)
    batch, other = (write_batch(api.context, folder, 1) for _ in range(2))
    key = split_key(keys.create(api.context, "page", scopes=(Scope.READ,)))
    assert key is not None
    creator = Caller(key.id, "page", "default", frozenset({Scope.READ}), 100.0)
    token = stream_tokens.create(api.context, creator, batch.row_id, timedelta(seconds=1.5))
    with opened(api, query=f"?token={token.text}") as socket:
        send(socket, "subscribe", batch=other.id)
        assert receive(socket)["code"] == "not_found"
        send(socket, "subscribe", batch=batch.id)
        assert receive(socket)["op"] == "subscribed"
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(timeout=HANG_SECONDS)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "bad_token")


def test_connections_close_when_the_server_stops(tmp_path: Path) -> None:
    with connect(tmp_path) as client, serving(client, works=False) as api:
        batch = write_batch(api.context, tmp_path, 1)
        with opened(api) as socket:
            send(socket, "subscribe", batch=batch.id)
            assert receive(socket)["op"] == "subscribed"
            api.drain()
            with pytest.raises(ConnectionClosedError) as closed:
                socket.recv(timeout=HANG_SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
