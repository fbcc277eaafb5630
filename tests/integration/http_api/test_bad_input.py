"""Bad input that other tests of the API do not send, each with its exact answer."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pipeline.batches import submit_lease
from pipeline.database.tables import batches, leases
from tests.support.factories import connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving
from tests.support.uploads import NDJSON, lines, raw_request, read_answer, stored, write_definition

STREAM = "/v1/batches?definition=tickets"


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server on whose batches nothing works."""
    write_definition(folder)
    with connect(folder, definitions=folder) as client, serving(client, works=False) as served:
        yield served


def test_a_hundred_thousand_bad_lines_are_counted(api: ServedApi) -> None:
    before = stored(api.context)
    refused = api.http.post(STREAM, content=b"1\n" * 100_000, headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_items")
    assert (refused.json()["error_count"], len(refused.json()["errors"])) == (100_000, 1_000)
    assert stored(api.context) == before


FETCH = """
const body = "x".repeat(10 * 1024 * 1024 + 1);
const chunks = new ReadableStream({
  pull(controller) { controller.enqueue(new TextEncoder().encode(" ".repeat(1 << 20))); },
});
const json = { "Content-Type": "application/json" };
const sent = [{ body }, { body: chunks, duplex: "half" }];
for (const options of sent) {
  const answer = await fetch(process.argv[1], { method: "POST", headers: json, ...options });
  const problem = await answer.json();
  console.log(answer.status, problem.code);
}
"""


@pytest.mark.conformance
@pytest.mark.skipif(shutil.which("node") is None, reason="left out: Node's fetch: no `node` on PATH")
def test_fetch_reads_the_refusal_of_what_it_still_sends(api: ServedApi) -> None:
    command = ["node", "--input-type=module", "-e", FETCH, f"{api.url}/v1/batches"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert done.stdout.splitlines() == ["413 body_too_large", "413 body_too_large"], done.stderr


def test_a_key_holds_as_long_as_its_batch(api: ServedApi) -> None:
    headers = NDJSON | {"Idempotency-Key": "a-month-ago"}
    first = api.http.post(STREAM, content=lines(2), headers=headers).json()["batch_id"]
    long_ago = api.context.now() - timedelta(days=30)
    with api.context.database.write() as connection:
        times = {"created_at": long_ago, "started_at": long_ago, "completed_at": long_ago, "state": "completed"}
        connection.execute(update(batches).where(batches.c.public_id == first).values(**times))
    again = api.http.post(STREAM, content=lines(2), headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"], again.json()["batch_id"]) == (200, "true", first)


def test_parts_that_nobody_continues_for_a_day_are_gone(api: ServedApi) -> None:
    before = stored(api.context)
    opened = api.http.post("/v1/batches", json={"definition": "tickets", "parts": True}).headers["location"]
    assert api.http.put(f"{opened}/parts/1", content=lines(3), headers=NDJSON).status_code == 201
    almost = replace(api.context, now=lambda: api.context.now() + timedelta(hours=23, minutes=59))
    assert submit_lease.discard_abandoned(almost) == 0
    assert api.http.get(f"{opened}/parts").status_code == 200
    with api.context.database.write() as connection:
        of_parts = leases.c.holder == submit_lease.PARTS
        connection.execute(update(leases).where(of_parts).values(until=api.context.now() - timedelta(seconds=1)))
    assert submit_lease.discard_abandoned(api.context) == 1
    assert stored(api.context) == before
    for method, path in (("GET", opened), ("GET", f"{opened}/parts"), ("PUT", f"{opened}/parts/2")):
        gone = api.http.request(method, path, content=lines(1) if method == "PUT" else None, headers=NDJSON)
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    sealed = api.http.post(f"{opened}/seal", json={"parts": 1})
    assert (sealed.status_code, sealed.json()["code"]) == (404, "not_found")


def exchange(api: ServedApi, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", api.port), HANG_SECONDS) as connection:
        connection.sendall(request)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return b"%d " % answer.status + answer.read()


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"Idempotency-Key: a\r\n b", None),
        (b"Idempotency-Key: a\x00b", "bad_request"),
        (b"Idempotency-Key: a\xc3\xa4", "bad_idempotency_key"),
        (b"Idempotency-Key: a\r\nIdempotency-Key: b", "bad_idempotency_key"),
        (b"Last-Event-ID: 1\x00", "bad_request"),
        (b"Content-Length: 999999999999999999999999", "bad_request"),
    ],
)
def test_headers_that_no_library_sends_are_refused(api: ServedApi, header: bytes, code: str | None) -> None:
    before = stored(api.context)
    head = f"POST {STREAM} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nContent-Type: application/x-ndjson\r\n".encode()
    length = b"" if b"Length" in header else b"Content-Length: 3\r\n"
    answer = exchange(api, head + length + header + b"\r\n\r\n{}\n")
    assert answer.startswith(b"400 ")
    # A line break in a header is refused by the parser, or joined by it, and then it has a space.
    assert code is None or json.loads(answer[4:])["code"] == code
    assert stored(api.context) == before


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        (f"{path}?{query}", query.partition("=")[0])
        for path in ("/v1/batches", "/v1/dead", "/v1/deliveries", "/v1/endpoints", "/v1/definitions", "/v1/keys")
        for query in ("limt=1", "limit=0", "limit=1000000000", "limit=1&limit=2", "limit=x")
    ],
)
def test_a_parameter_of_a_list_that_cannot_be_used_is_named(api: ServedApi, path: str, parameter: str) -> None:
    refused = api.http.get(path)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_parameter")
    assert refused.json()["errors"][0]["parameter"] == parameter


@pytest.mark.parametrize("path", ["results", "events"])
@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("abc", (400, "bad_cursor")),
        ("-1", (400, "bad_cursor")),
        ("MTIz", (400, "bad_cursor")),
        ("9" * 5_000, (400, "bad_cursor")),
        ("1", (409, "cursor_ahead")),
    ],
)
def test_a_position_that_is_none_is_refused_on_every_way(
    api: ServedApi, path: str, after: str, expected: tuple[int, str]
) -> None:
    batch = api.http.post(STREAM, content=lines(1), headers=NDJSON).json()["batch_id"]
    for headers in ({}, {"Accept": "text/event-stream"}, {"Accept": "application/x-ndjson"}):
        refused = api.http.get(f"/v1/batches/{batch}/{path}?after={after}", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == expected
    if expected[0] == 409:
        assert refused.json()["last_seq"] == 0


def test_a_client_that_waits_for_word_with_a_wrong_key_is_not_asked_for_its_body(tmp_path: Path) -> None:
    write_definition(tmp_path)
    with connect(tmp_path, definitions=tmp_path) as client, serving(client, works=False) as api:
        api.key()
        head = ["Content-Type: application/x-ndjson", "Content-Length: 100", "Expect: 100-continue"]
        for key, code in (([], "no_key"), (["Authorization: Bearer pipe_x"], "bad_key")):
            with raw_request(api, [*head, *key], path=STREAM) as connection:
                status, problem = read_answer(connection)
            # The first line would be that of `100 Continue`.
            assert (status, problem["code"]) == (401, code)


def test_a_definition_that_is_misspelled_is_named_with_the_nearest(api: ServedApi) -> None:
    bodies: list[dict[str, Any]] = [{"items": [{"text": "a"}]}, {"parts": True}]
    for body in bodies:
        refused = api.http.post("/v1/batches", json={"definition": "ticktes", **body})
        assert (refused.status_code, refused.json()["code"], refused.json()["nearest"]) == (404, "not_found", "tickets")
