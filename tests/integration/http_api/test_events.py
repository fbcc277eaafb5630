"""The event log over HTTP: pages and server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx2
import httpx_sse
import orjson
import pytest

from pipeline.access import keys
from pipeline.domain.api_key import Scope, split_key
from pipeline.domain.item import ItemState
from pipeline.http_api import authentication
from pipeline.http_api.streaming.options import StreamOptions
from tests.support.event_logs import write_batch
from tests.support.factories import connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving, wait_for_readers, wait_until

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server without a worker, with short waits."""
    options = StreamOptions(most=3, heartbeat_seconds=0.05, recheck_seconds=0.05, overview_seconds=0.02)
    with connect(folder) as client, serving(client, works=False, streams=options) as served:
        yield served


def blocks(api: ServedApi, path: str, headers: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Yield the blocks of a stream as mappings of their fields; comments are under an empty name."""
    with api.http.stream("GET", path, headers=STREAM | (headers or {})) as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert "content-encoding" not in answer.headers
        block: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(":")
                block[name] = value.removeprefix(" ")
            else:
                yield block
                block = {}
        assert block == {}


def ids(found: list[dict[str, str]]) -> list[int]:
    return [int(block["id"]) for block in found if "event" in block and "id" in block]


def test_a_stream_has_the_log_as_it_is_stored_and_then_ends(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 12)
    batch.finish(5)
    found = []
    for block in blocks(api, f"/v1/batches/{batch.id}/events"):
        found.append(block)
        if "id" in block and "event" not in block and batch.finished < 12:
            batch.finish(7, ItemState.DEAD)
    assert found[0] == {"retry": "3000", "": "pipeline"}
    assert ids(found) == list(range(1, 14))
    assert [block["event"] for block in found if "event" in block][4:6] == ["item.completed", "item.failed"]
    assert found[-1]["event"] == "end"
    assert orjson.loads(found[-1]["data"]) == {
        "last_seq": 13, "state": "completed", "succeeded": 5, "dead": 7, "cancelled": 0,
    }  # fmt: skip
    stored = api.http.get(f"/v1/batches/{batch.id}/events").content
    bodies = [block["data"] for block in found if "id" in block and "event" in block]
    assert stored.startswith(b'{"data":[' + ",".join(bodies).encode() + b'],"next":13')


def test_a_reader_goes_on_where_it_was_and_is_told_when_there_is_nothing_more(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 4)
    batch.finish(4)
    path = f"/v1/batches/{batch.id}/events"
    assert ids(list(blocks(api, f"{path}?after=1", {"Last-Event-ID": "3"}))) == [4, 5]
    assert ids(list(blocks(api, f"{path}?after=3"))) == [4, 5]
    for query, headers in (("", {"Last-Event-ID": "5"}), ("?after=5", {}), ("?after=latest", {})):
        assert api.http.get(path + query, headers=STREAM | headers).status_code == 204


def test_a_filtered_stream_moves_the_position_of_its_reader(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 3)
    batch.finish(2)
    found = []
    for block in blocks(api, f"/v1/batches/{batch.id}/events?types=item.failed,batch.completed"):
        found.append(block)
        if block.get("id") == "2":
            batch.finish(1, ItemState.DEAD)
    # The heartbeat moved it over two events that it did not want.
    assert found[1] == {"id": "2"}
    assert [block["event"] for block in found if "event" in block] == ["item.failed", "batch.completed", "end"]
    page = api.http.get(f"/v1/batches/{batch.id}/events?types=item.failed").json()
    assert ([each["data"]["seq"] for each in page["data"]], page["next"], page["is_complete"]) == ([3], 4, True)


def test_a_reader_may_begin_now(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 3)
    batch.finish(2)
    assert api.http.get(f"/v1/batches/{batch.id}/events?after=latest").json()["next"] == 2
    stream = blocks(api, f"/v1/batches/{batch.id}/events?after=latest")
    assert next(stream) == {"retry": "3000", "": "pipeline"}
    batch.finish(1)
    assert ids(list(stream)) == [3, 4]


def test_a_foreign_reader_of_server_sent_events_gets_the_log(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 300)
    batch.finish(300)
    with (
        httpx.Client(base_url=api.url, timeout=HANG_SECONDS, trust_env=False) as client,
        httpx_sse.connect_sse(client, "GET", f"/v1/batches/{batch.id}/events") as source,
    ):
        named = [event for event in source.iter_sse() if event.event != "message"]
    assert [int(event.id) for event in named[:-1]] == list(range(1, 302))
    assert named[0].json()["data"]["item_id"] == f"{batch.id}-1"
    assert named[-1].event == "end"


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("", {"Last-Event-ID": "abc"}, 400, "bad_cursor"),
        ("", {"Last-Event-ID": "-1"}, 400, "bad_cursor"),
        ("?after=latest", {"Last-Event-ID": "9"}, 409, "cursor_ahead"),
        ("?after=9", {}, 409, "cursor_ahead"),
        ("?after=MQ", {}, 400, "bad_cursor"),
        ("?types=item.faild", {}, 400, "bad_parameter"),
    ],
)
def test_a_stream_that_cannot_begin_is_refused(
    api: ServedApi, folder: Path, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    batch = write_batch(api.context, folder, 1)
    answer = api.http.get(f"/v1/batches/{batch.id}/events{query}", headers=STREAM | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_an_unknown_batch_has_no_stream(api: ServedApi) -> None:
    for name in ("0123456789abcdef", "last", "%00", "x" * 300):
        answer = api.http.get(f"/v1/batches/{name}/events", headers=STREAM)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_stream_says_that_its_batch_was_pruned(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 2)
    batch.finish(1)
    found = []
    for block in blocks(api, f"/v1/batches/{batch.id}/events"):
        found.append(block)
        if block == {"id": "1"}:
            batch.prune()
    assert found[-1]["event"] == "gone"


def test_a_stream_of_a_revoked_key_ends(api: ServedApi, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "TRUST_SECONDS", 0.0)
    batch = write_batch(api.context, folder, 2)
    key = keys.create(api.context, "reader", scopes=(Scope.READ,))
    parts = split_key(key)
    assert parts is not None
    found = []
    for block in blocks(api, f"/v1/batches/{batch.id}/events", {"Authorization": f"Bearer {key}"}):
        found.append(block)
        if block == {"id": "0"}:
            keys.revoke(api.context, parts.id)
    assert found[-1]["event"] == "error"
    assert orjson.loads(found[-1]["data"])["code"] == "revoked_key"


def test_a_key_has_a_limited_number_of_streams(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 1)
    path, key = f"/v1/batches/{batch.id}/events", api.key(Scope.READ)
    streams = [blocks(api, path, key) for _ in range(3)]
    for stream in streams:
        next(stream)
    refused = api.http.get(path, headers=STREAM | key)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    assert int(refused.headers["retry-after"]) > 0
    assert api.http.get(path, headers=key).status_code == 200
    other = blocks(api, path, api.key(Scope.READ))
    next(other)
    for stream in (*streams, other):
        stream.close()
    wait_for_readers(api, 0)


def test_the_headers_alone_open_no_stream(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 1)
    key = api.key(Scope.READ)
    answer = api.http.head(f"/v1/batches/{batch.id}/events", headers=STREAM | key)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    wait_until(lambda: len(api.gateway.streams) == 0)


def test_another_tenant_sees_no_stream(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 1)
    foreign = api.key(Scope.READ, tenant="other")
    for path in ("events", "results", "results?format=ndjson", "items", "labels"):
        answer = api.http.get(f"/v1/batches/{batch.id}/{path}", headers=foreign | STREAM)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_all_batches_are_watched_at_once(api: ServedApi, folder: Path) -> None:
    key = api.key(Scope.READ)
    batch = write_batch(api.context, folder, 2)
    foreign = write_batch(api.context, folder, 1, tenant="other")
    seen: dict[str, list[int]] = {}
    for block in blocks(api, "/v1/stream", key):
        if block.get("event") != "batch":
            continue
        assert "id" not in block
        state = orjson.loads(block["data"])
        seen.setdefault(state["batch_id"], []).append(state["succeeded"])
        if state["batch_id"] != batch.id:
            continue
        if state["state"] == "completed":
            break
        batch.finish(1)
    assert seen[batch.id] == [0, 1, 2]
    assert foreign.id not in seen
    wait_until(lambda: len(api.gateway.streams) == 0)


def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    options = StreamOptions(heartbeat_seconds=0.05)
    with connect(tmp_path) as client, serving(client, works=False, streams=options) as api:
        batch = write_batch(api.context, tmp_path, 1)
        path = f"/v1/batches/{batch.id}"
        found = []
        with api.http.stream("GET", f"{path}/results?follow=true") as lines:
            for block in blocks(api, f"{path}/events"):
                if block == {"id": "0"}:
                    api.drain()
                found.append(block)
            assert found[-1] == {"retry": "1000"}
            # Nobody is to take it for whole.
            with pytest.raises(httpx2.TransportError):
                list(lines.iter_lines())
        assert api.http.get(f"{path}/results?wait=20").json()["data"] == []


def test_a_stream_has_an_age(tmp_path: Path) -> None:
    options = StreamOptions(heartbeat_seconds=5, age_seconds=0.1)
    with connect(tmp_path) as client, serving(client, works=False, streams=options) as api:
        batch = write_batch(api.context, tmp_path, 1)
        assert list(blocks(api, f"/v1/batches/{batch.id}/events"))[1:] == [{"retry": "100"}]
