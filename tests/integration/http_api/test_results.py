"""Results over HTTP: pages, lines, tables. The log is written by the tests, so that they know what is in it."""

from __future__ import annotations

import csv
import gzip
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import orjson
import pyarrow.parquet
import pytest

from pipeline.domain.item import ItemState
from pipeline.http_api.streaming.options import StreamOptions
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving, wait_for_readers


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server without a worker."""
    options = StreamOptions(heartbeat_seconds=0.05)
    with connect(folder) as client, serving(client, works=False, streams=options) as served:
        yield served


@pytest.fixture(scope="module")
def complete(api: ServedApi, folder: Path) -> WrittenBatch:
    """A complete batch of 30 items: 20 succeeded, 7 dead, 3 cancelled; 31 events."""
    batch = write_batch(api.context, folder, 30)
    batch.finish(20)
    batch.finish(7, ItemState.DEAD, label="long")
    batch.finish(3, ItemState.CANCELLED)
    return batch


def read(api: ServedApi, batch: WrittenBatch, **query: object) -> httpx2.Response:
    return api.http.get(f"/v1/batches/{batch.id}/results", params={k: str(v) for k, v in query.items()})


def lines(answer: httpx2.Response) -> list[dict[str, object]]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [orjson.loads(line) for line in answer.content.splitlines()]


def test_pages_have_every_result_once_and_in_order(api: ServedApi, complete: WrittenBatch) -> None:
    seen, after = [], 0
    while True:
        page = read(api, complete, after=after, limit=7).json()
        seen += page["data"]
        assert after < page["next"] <= after + 7
        after = page["next"]
        if page["is_complete"] and not page["has_more"]:
            break
    assert [each["seq"] for each in seen] == list(range(1, 31))
    assert after == 31
    assert [each["item_id"] for each in seen] == [f"{complete.id}-{position}" for position in range(1, 31)]


def test_a_result_is_what_is_stored(api: ServedApi, complete: WrittenBatch) -> None:
    event = api.http.get(f"/v1/batches/{complete.id}/events", params={"limit": 1}).content
    page = read(api, complete, limit=1).content
    stored = event[len(b'{"data":[') : event.rindex(b'],"next"')]
    assert page[len(b'{"data":[') : page.rindex(b'],"next"')] == stored[stored.index(b'"data":') + 7 : -1]


def test_filters_look_at_as_many_events_but_return_fewer(api: ServedApi, complete: WrittenBatch) -> None:
    dead = read(api, complete, state="dead").json()
    assert [each["seq"] for each in dead["data"]] == list(range(21, 28))
    assert dead["next"] == 31
    none = read(api, complete, state="dead", limit=10).json()
    assert (none["data"], none["next"], none["has_more"]) == ([], 10, True)
    labelled = lines(read(api, complete, label="long", format="ndjson"))
    assert [each["seq"] for each in labelled] == list(range(21, 28))


def test_a_download_says_what_it_covers(api: ServedApi, complete: WrittenBatch) -> None:
    answer = api.http.get(
        f"/v1/batches/{complete.id}/results?after=5&end=true", headers={"Accept": "application/x-ndjson"}
    )
    *results, end = lines(answer)
    assert [each["seq"] for each in results] == list(range(6, 31))
    assert end["end"] == {
        "last_seq": 31, "state": "completed", "succeeded": 20, "dead": 7, "cancelled": 3, "is_complete": True,
        "lines": 25,
    }  # fmt: skip
    assert (answer.headers["pipeline-last-seq"], answer.headers["pipeline-complete"]) == ("31", "true")
    assert answer.headers["accept-ranges"] == "none"


@pytest.mark.parametrize(("name", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_a_table_of_text_has_the_columns_of_the_command(
    api: ServedApi, complete: WrittenBatch, name: str, delimiter: str
) -> None:
    answer = read(api, complete, format=name, state="dead")
    rows = list(csv.DictReader(io.StringIO(answer.text), delimiter=delimiter))
    assert [int(row["seq"]) for row in rows] == list(range(21, 28))
    assert {row["label"] for row in rows} == {"long"}
    assert answer.headers["content-disposition"] == f'attachment; filename="{complete.id}.{name}"'


def test_a_parquet_file_is_whole(api: ServedApi, complete: WrittenBatch) -> None:
    answer = api.http.get(f"/v1/batches/{complete.id}/results", headers={"Accept": "application/vnd.apache.parquet"})
    table = pyarrow.parquet.read_table(io.BytesIO(answer.content))
    assert table.column("seq").to_pylist() == list(range(1, 31))


def test_pages_and_downloads_are_compressed_when_asked(api: ServedApi, complete: WrittenBatch) -> None:
    for query in ("", "?format=ndjson"):
        path = f"/v1/batches/{complete.id}/results{query}"
        plain = api.http.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        with api.http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        assert gzip.decompress(raw) == plain.content


@pytest.mark.parametrize(
    ("query", "status", "code", "parameter"),
    [
        ("after=abc", 400, "bad_cursor", "after"),
        ("after=-1", 400, "bad_cursor", "after"),
        ("after=MTI", 400, "bad_cursor", "after"),
        ("after=9223372036854775808", 400, "bad_cursor", "after"),
        ("after=32", 409, "cursor_ahead", None),
        ("limit=0", 400, "bad_parameter", "limit"),
        ("wait=26", 400, "bad_parameter", "wait"),
        ("wait=nan", 400, "bad_parameter", "wait"),
        ("follow=true&format=csv", 400, "bad_parameter", "follow"),
        ("wait=1&format=ndjson", 400, "bad_parameter", "wait"),
        ("state=running", 400, "bad_parameter", "state"),
    ],
)
def test_what_cannot_be_read_is_refused(
    api: ServedApi, complete: WrittenBatch, query: str, status: int, code: str, parameter: str | None
) -> None:
    answer = api.http.get(f"/v1/batches/{complete.id}/results?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if parameter is not None:
        assert answer.json()["errors"][0]["parameter"] == parameter
    if code == "cursor_ahead":
        assert answer.json()["last_seq"] == 31


def test_an_unknown_batch_is_not_found_in_every_form(api: ServedApi) -> None:
    for query in ("", "?format=ndjson", "?follow=true", "?format=parquet"):
        answer = api.http.get(f"/v1/batches/0123456789abcdef/results{query}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_page_waits_for_the_next_result(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 4)
    assert read(api, batch, wait=0).json() == {"data": [], "next": 0, "has_more": False, "is_complete": False}
    assert read(api, batch, wait=0.05).json()["data"] == []
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(read(api, batch, wait=25).json()))
    waiting.start()
    wait_for_readers(api, 1)
    batch.finish(1)
    waiting.join(60)
    assert [each["seq"] for each in answers[0]["data"]] == [1]
    wait_for_readers(api, 0)


def test_following_lines_end_with_the_batch(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 40)
    batch.finish(10)
    with api.http.stream("GET", f"/v1/batches/{batch.id}/results?follow=true&end=true") as answer:
        assert "content-encoding" not in answer.headers
        found, silences = [], 0
        for line in answer.iter_lines():
            if not line:
                silences += 1
                if silences == 1:
                    batch.finish(20, ItemState.DEAD)
                if silences == 3:
                    batch.finish(10)
                continue
            found.append(orjson.loads(line))
    assert [each["seq"] for each in found[:-1]] == list(range(1, 41))
    assert found[-1]["end"]["lines"] == 40
    assert found[-1]["end"]["last_seq"] == 41


def test_a_download_that_fails_on_the_way_does_not_look_whole(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 5)
    batch.finish(2)
    with api.http.stream("GET", f"/v1/batches/{batch.id}/results?follow=true") as answer:
        found = answer.iter_lines()
        assert [orjson.loads(next(found))["seq"] for _ in range(2)] == [1, 2]
        batch.prune()
        with pytest.raises(httpx2.TransportError):
            list(found)
