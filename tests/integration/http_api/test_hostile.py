"""Callers who want to use up what a server has, or to reach what it can: each is refused, and others are answered."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pyarrow
import pyarrow.parquet
import pytest
from websockets.sync.client import connect as connect_socket

from pipeline.batches import parts
from pipeline.domain.api_key import Scope
from pipeline.http_api.pools import BULK_SHARE
from pipeline.http_api.rate_limits import Allowance, RateLimits
from tests.support.event_logs import write_batch
from tests.support.factories import connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving
from tests.support.receiver import SECRET
from tests.support.uploads import NDJSON, lines, raw_request, read_answer, stored, waited, write_definition

STREAM = "/v1/batches?definition=tickets"
JSON = {"Content-Type": "application/json"}
LIMIT = 1024 * 1024


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """A server on whose batches nothing works."""
    write_definition(tmp_path)
    settings = {"definitions": tmp_path, "webhook_secret": SECRET, "max_upload_bytes": LIMIT}
    with connect(tmp_path, **settings) as client, serving(client, works=False) as served:
        yield served


def members(number: int) -> bytes:
    return b",".join(b'"k%06d":1' % each for each in range(number))


class TestBodies:
    """Bodies that are small on the wire and large in memory, or take long to judge."""

    def test_a_request_without_items_is_a_small_one(self, api: ServedApi) -> None:
        batch = write_batch(api.context, Path(str(api.context.settings.definitions)), 1)
        body = b"{" + members(100_000) + b"}"
        assert len(body) > LIMIT
        for path in (f"/v1/batches/{batch.id}/seal", f"/v1/batches/{batch.id}/dead/replay", "/v1/deliveries/recover"):
            refused = api.http.post(path, content=body, headers=JSON)
            assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")

    @pytest.mark.parametrize(
        ("path", "body", "listed"),
        [
            ("/v1/batches", b'{"definition":"tickets",' + members(700_000) + b"}", 20),
            ("/v1/deliveries/recover", b"{" + members(80_000) + b"}", 20),
            ("/v1/endpoints/https%3A%2F%2Fa.example", b'{"headers":{' + members(80_000) + b"}}", 100),
        ],
        ids=["members", "small members", "errors"],
    )
    def test_of_many_faults_a_few_are_described(self, api: ServedApi, path: str, body: bytes, listed: int) -> None:
        method = "PATCH" if "endpoints" in path else "POST"
        refused = api.http.request(method, path, content=body, headers=JSON)
        if path == "/v1/batches":
            assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
            assert "values" in refused.json()["detail"]
            return
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert len(refused.json()["errors"]) == listed

    def test_commas_in_texts_are_no_values(self, api: ServedApi) -> None:
        text = "a," * 9_000
        body = {"definition": "tickets", "items": [{"text": text}] * 60}
        assert api.http.post("/v1/batches", json=body).status_code == 201
        many = b'{"definition":"tickets","items":[' + b",".join([b"[]"] * 600_000) + b"]}"
        refused = api.http.post("/v1/batches", content=many, headers=JSON)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")

    @pytest.mark.parametrize(
        "item",
        [
            b'{"text": ' + b"[" * 70 + b"]" * 70 + b"}",
            b'{"text": "a", "n": ' + b"9" * 5_000 + b"}",
            b'{"text": "a", "text": "b"}',
            b'{"text": "a", "n": NaN}',
            b'{"text": "a", "n": 1e999}',
            b'{"text": "a", "\\u0000": 1}',
            b'{"text": "a", "k": "\\ud800"}',
            b'{"text": "a\xff"}',
        ],
        ids=["depth", "digits", "twice", "nan", "infinite", "nul", "surrogate", "utf-8"],
    )
    def test_json_that_cannot_be_stored_as_it_is_is_refused(self, api: ServedApi, item: bytes) -> None:
        before = stored(api.context)
        streamed = api.http.post(STREAM, content=item + b"\n", headers=NDJSON)
        assert (streamed.status_code, streamed.json()["code"]) == (422, "invalid_items")
        whole = api.http.post("/v1/batches", content=b'{"definition":"tickets","items":[' + item + b"]}", headers=JSON)
        assert whole.status_code in (400, 422)
        assert stored(api.context) == before

    def test_a_small_table_of_many_equal_rows_is_bounded_by_what_it_makes(self, api: ServedApi) -> None:
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"text": ["an invoice of June"] * 40_000}), file)
        assert len(file.getvalue()) < 10_000
        headers = {"Content-Type": "application/vnd.apache.parquet"}
        before = stored(api.context)
        refused = api.http.post(STREAM, content=file.getvalue(), headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
        assert stored(api.context) == before


class TestShares:
    """Threads, uploads and messages that one caller may have."""

    def test_slow_uploads_of_one_key_leave_a_thread_for_others(self, api: ServedApi) -> None:
        slow, other = api.key(), api.key()
        size = len(lines(3))
        head = ["Content-Type: application/x-ndjson", f"Content-Length: {size}", "Expect: 100-continue"]
        head += [f"{name}: {value}" for name, value in slow.items()]
        with ExitStack() as stack:
            taken = [stack.enter_context(raw_request(api, head, path=STREAM)) for _ in range(BULK_SHARE)]
            for connection in taken:
                assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
            refused = api.http.post(STREAM, content=lines(1), headers=NDJSON | slow)
            assert (refused.status_code, refused.json()["code"]) == (503, "busy")
            assert refused.headers["retry-after"] == "5"
            assert api.http.post(STREAM, content=lines(1), headers=NDJSON | other).status_code == 201
            for connection in taken:
                connection.sendall(lines(3))
                assert read_answer(connection)[0] == 201
        waited(lambda: not api.gateway.bulk._held)
        assert api.http.post(STREAM, content=lines(1), headers=NDJSON | slow).status_code == 201

    def test_uploads_that_are_left_open_are_bounded(self, api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parts, "MAX_OPEN", 2)
        mine, other = api.key(tenant="acme"), api.key(tenant="other")
        body = {"definition": "tickets", "parts": True}
        opened = [api.http.post("/v1/batches", json=body, headers=mine) for _ in range(3)]
        assert [each.status_code for each in opened] == [201, 201, 429]
        assert (opened[2].json()["code"], opened[2].headers["retry-after"]) == ("backlog_full", "30")
        assert api.http.post("/v1/batches", json=body, headers=other).status_code == 201
        assert api.http.delete(opened[0].headers["location"], headers=mine).status_code == 204
        assert api.http.post("/v1/batches", json=body, headers=mine).status_code == 201

    def test_parts_count_toward_what_may_wait(self, tmp_path: Path) -> None:
        (tmp_path / "bounded").mkdir()
        write_definition(tmp_path)
        settings = {"definitions": tmp_path, "max_pending_items": 5}
        with connect(tmp_path / "bounded", **settings) as client, serving(client, works=False) as api:
            body = {"definition": "tickets", "parts": True}
            first, second = (api.http.post("/v1/batches", json=body).headers["location"] for _ in range(2))
            # One batch may be larger than the bound, as one that is sent at once.
            for number in (1, 2):
                assert api.http.put(f"{first}/parts/{number}", content=lines(4), headers=NDJSON).status_code == 201
            refused = api.http.put(f"{second}/parts/1", content=lines(1), headers=NDJSON)
            assert (refused.status_code, refused.json()["code"]) == (429, "backlog_full")

    def test_messages_of_a_socket_count_as_requests(self, api: ServedApi, monkeypatch: pytest.MonkeyPatch) -> None:
        key, waits = api.key(Scope.READ), [None, 0.01, None]

        def take(self: RateLimits, caller: object) -> Allowance:
            return Allowance(1, 0, 1, waits.pop(0))

        monkeypatch.setattr(RateLimits, "take", take)
        url = api.url.replace("http:", "ws:") + "/v1/ws"
        options: dict[str, Any] = {"subprotocols": ["pipeline.v1"], "proxy": None, "additional_headers": key}
        with connect_socket(url, **options) as client:
            client.send(orjson.dumps({"op": "subscribe", "batch": "0123456789abcdef"}).decode())
            assert orjson.loads(client.recv(timeout=HANG_SECONDS))["code"] == "not_found"
        # The connection itself, and a message that waited once.
        assert waits == []


INLINE = {
    "os:system": ({"use": "os:system"}, [], "#/definition/classify/use"),
    "sklearn": ({"use": "sklearn", "model": "/etc/passwd"}, [], "#/definition/classify/use"),
    "lookup": (None, [{"use": "lookup", "file": "/etc/passwd"}], "#/definition/enrich/0/use"),
    "http": (None, [{"use": "http", "url": "http://127.0.0.1:1/{text}"}], "#/definition/enrich/0/use"),
    "environment": ({"use": "keywords", "default": "${AWS_SECRET}"}, [], "#/definition/classify/default"),
    "unknown": ({"use": "brand-new"}, [], "#/definition/classify/use"),
}


class TestReach:
    """What a caller could make the server do: run code, read files, call its neighbours."""

    @pytest.mark.parametrize("case", INLINE)
    @pytest.mark.parametrize("path", ["/v1/batches", "/v1/classify", "parts"])
    def test_a_definition_that_reaches_out_is_refused_wherever_it_is_sent(
        self, api: ServedApi, path: str, case: str
    ) -> None:
        classify, enrich, place = INLINE[case]
        tables = {"name": "x", "classify": classify or {"use": "keywords", "default": "o"}, "enrich": enrich}
        given = {"items": [{"text": "a"}]} if path == "/v1/batches" else {"payload": {"text": "a"}}
        body = {"definition": tables, **({"parts": True} if path == "parts" else given)}
        key = api.key(Scope.READ, Scope.SUBMIT, Scope.OPERATE, Scope.PAYLOADS)
        before = stored(api.context)
        refused = api.http.post("/v1/batches" if path == "parts" else path, json=body, headers=key)
        assert (refused.status_code, refused.json()["code"]) == (403, "definition_not_allowed"), refused.text
        assert refused.json()["errors"][0]["pointer"] == place
        assert stored(api.context) == before

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1/", "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1/", "https://169.254.169.254/",
            "https://[::ffff:10.0.0.1]/", "https://0x7f000001/", "https://2130706433/", "https://127.1/",
            "https://[fd00::1]/", "https://0.0.0.0/", "https://u:p@example.com/", "ftp://example.com/",
            "https://example.com:0/", "file:///etc/passwd", "https://example.com/\\u0000",
        ],
    )  # fmt: skip
    def test_a_callback_url_of_an_internal_address_is_refused(self, api: ServedApi, url: str) -> None:
        url = url.replace("\\u0000", "\0")
        for name in ("callback_url", "batch_callback_url", "fallback_url"):
            refused = api.http.post("/v1/batches", json={"definition": "tickets", "items": [{"text": "a"}], name: url})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), url
        body = {
            "definition": "tickets",
            "items_are": "items",
            "items": [{"payload": {"text": "a"}, "callback_url": url}],
        }
        of_item = api.http.post("/v1/batches", json=body)
        assert (of_item.status_code, of_item.json()["code"]) == (422, "invalid_items")
        assert stored(api.context)[0] == 0

    def test_a_name_that_turns_out_to_be_an_internal_address_is_not_connected_to(
        self, api: ServedApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The address is judged when the socket opens, whatever the name meant before."""
        resolve = socket.getaddrinfo

        def rebound(host: Any, *args: Any, **options: Any) -> Any:
            return resolve("127.0.0.1" if host == "rebound.example" else host, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", rebound)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(0)
            url = f"https://rebound.example:{listener.getsockname()[1]}/hook"
            body = {"definition": "tickets", "items": [{"text": "a"}], "callback_url": url}
            assert api.http.post("/v1/batches", json=body).status_code == 201
            tested = api.http.post(f"/v1/endpoints/{quote(url, safe='')}/test").json()
            assert (tested["is_success"], tested["status"]) == (False, None)
            assert "the address is not public" in tested["message"]
            with pytest.raises(BlockingIOError):
                listener.accept()


@pytest.mark.parametrize("way", ["whole", "part"])
def test_an_upload_that_is_cut_at_any_byte_leaves_nothing_and_is_stored_once_later(
    api: ServedApi, tmp_path: Path, way: str
) -> None:
    body, headers = lines(2), NDJSON | {"Idempotency-Key": f"cut-{way}"}
    path, method = STREAM, "POST"
    if way == "part":
        opened = api.http.post("/v1/batches", json={"definition": "tickets", "parts": True})
        path, method = f"{opened.headers['location']}/parts/1", "PUT"
        headers = dict(NDJSON)
    before = stored(api.context)
    head = [*(f"{name}: {value}" for name, value in headers.items()), f"Content-Length: {len(body)}"]
    for length in range(len(body)):
        connection = raw_request(api, head, body[:length], method=method, path=path)
        waited(lambda: bool(api.gateway.bulk._held))
        if length % 2:
            # Reset instead of closed.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        waited(lambda: not api.gateway.bulk._held)
    assert stored(api.context) == before
    # Complete, but its client is gone before the answer comes: it does not know whether it was stored.
    connection = raw_request(api, head, body, method=method, path=path)
    assert connection.recv(1)
    connection.close()
    again = [api.http.request(method, path, content=body, headers=headers) for _ in range(2)]
    assert [each.status_code for each in again] == [200, 200]
    assert stored(api.context)[1] == 2
    if way == "whole":
        assert (again[1].json()["total"], again[1].headers["idempotent-replayed"]) == (2, "true")
    else:
        sealed = api.http.post(path.replace("/parts/1", "/seal"), json={"parts": 1, "items": 2})
        assert (sealed.status_code, sealed.json()["total"]) == (200, 2)


def test_a_storm_of_one_key_is_refused_and_another_key_is_answered(api: ServedApi) -> None:
    loud, quiet = api.key(Scope.READ, rate=1), api.key(Scope.READ)
    answers: list[Any] = []

    def storm() -> None:
        answers.extend(api.http.get("/v1/me", headers=loud) for _ in range(50))

    threads = [threading.Thread(target=storm) for _ in range(4)]
    for each in threads:
        each.start()
    calm = [api.http.get("/v1/me", headers=quiet).status_code for _ in range(50)]
    for each in threads:
        each.join(HANG_SECONDS)
    assert calm == [200] * 50
    refused = [each for each in answers if each.status_code == 429]
    assert len(refused) > 100
    assert {json.loads(each.content)["code"] for each in refused} == {"rate_limited"}
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
