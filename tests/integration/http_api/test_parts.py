"""Submitting a batch in parts over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.batches.submit_lease import discard_abandoned
from pipeline.database.tables import batches, items
from pipeline.domain.api_key import Scope
from tests.support.factories import client_context, connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving
from tests.support.invariants import assert_complete
from tests.support.paths import ROOT
from tests.support.servers.warm_process import start_python
from tests.support.uploads import (
    NDJSON,
    content_digest,
    lines,
    raw_request,
    read_answer,
    stored,
    waited,
    write_definition,
)

OPEN: dict[str, Any] = {"definition": "tickets", "parts": True}


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server whose process works on what is submitted."""
    write_definition(folder)
    with connect(folder, definitions=folder) as client, serving(client) as served:
        yield served


def opened(api: ServedApi, **options: Any) -> str:
    answer = api.http.post("/v1/batches", json=OPEN, headers=options)
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "accepting"
    return f"/v1/batches/{answer.json()['batch_id']}"


def put(api: ServedApi, batch: str, number: object, body: bytes, query: str = "", **headers: str) -> Any:
    return api.http.put(f"{batch}/parts/{number}{query}", content=body, headers=NDJSON | headers)


def refused(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_parts_of_any_format_and_order_make_a_batch(api: ServedApi) -> None:
    batch = opened(api)
    csv = api.http.put(f"{batch}/parts/2", content=b"text\na\nb\n", headers={"Content-Type": "text/csv"})
    part = csv.json()
    assert (csv.status_code, part["number"], part["items"], part["bytes"], part["rejected"]) == (201, 2, 2, 9, 0)
    assert put(api, batch, 1, lines(3), **content_digest(lines(3))).status_code == 201
    assert put(api, batch, 3, lines(2) + b"{}\n", "?on_error=skip").json()["rejected"] == 1
    listed = api.http.get(f"{batch}/parts").json()
    assert [(each["number"], each["items"]) for each in listed["data"]] == [(1, 3), (2, 2), (3, 2)]
    assert listed["expires_at"] > part["created_at"]
    assert api.http.get(batch).json()["expires_at"] == listed["expires_at"]
    sealed = api.http.post(f"{batch}/seal", json={"parts": 3, "items": 7})
    assert (sealed.status_code, sealed.json()["total"]) == (200, 7)
    assert api.client is not None
    name = sealed.json()["batch_id"]
    api.client.batch(name).wait(timeout=60)
    assert_complete(api.context.database, name, 7)
    again = api.http.post(f"{batch}/seal", json={"parts": 3, "items": 7})
    assert (again.status_code, again.json()["state"]) == (200, "completed")
    assert refused(put(api, batch, 4, lines(1))) == (409, "not_accepting")
    assert refused(api.http.delete(batch)) == (409, "not_accepting")
    assert api.http.get(f"{batch}/parts").json()["expires_at"] is None


def test_a_part_is_the_same_part_again(api: ServedApi) -> None:
    batch = opened(api)
    first = put(api, batch, 1, lines(3))
    again = put(api, batch, 1, lines(3))
    assert (again.status_code, again.json()) == (200, first.json())
    assert refused(put(api, batch, 1, lines(4))) == (409, "part_differs")
    assert refused(put(api, batch, 1, lines(3), "?key_field=text")) == (409, "part_differs")
    assert put(api, batch, 1, lines(4), "?replace=true").json()["items"] == 4


@pytest.mark.parametrize("number", ["0", "4001", "x", "-1", "%C2%B2"])
def test_a_part_has_a_number(api: ServedApi, number: str) -> None:
    assert refused(put(api, "/v1/batches/0123456789abcdef", number, lines(1))) == (422, "invalid_request")


def test_sealing_says_what_is_missing(api: ServedApi) -> None:
    batch = opened(api)
    assert refused(api.http.post(f"{batch}/seal", json={"parts": 2})) == (422, "no_items")
    put(api, batch, 2, lines(1))
    missing = api.http.post(f"{batch}/seal", json={"parts": 3})
    assert (refused(missing), missing.json()["missing"]) == ((409, "parts_missing"), [1, 3])
    assert refused(api.http.post(f"{batch}/seal", json={"parts": 0})) == (422, "invalid_request")
    put(api, batch, 1, lines(1))
    assert refused(api.http.post(f"{batch}/seal", json={"parts": 2, "items": 3})) == (409, "items_mismatch")


def test_a_part_that_is_refused_leaves_the_others(api: ServedApi) -> None:
    batch = opened(api)
    put(api, batch, 1, lines(1))
    before = stored(api.context)
    assert refused(put(api, batch, 2, lines(1) + b"{\n")) == (422, "invalid_items")
    assert refused(put(api, batch, 2, b"")) == (422, "no_items")
    assert refused(put(api, batch, 2, lines(1), **content_digest(b""))) == (400, "digest_mismatch")
    head = ["Content-Type: text/csv", f"Content-Length: {64 * 1024 * 1024 + 1}"]
    with raw_request(api, head, method="PUT", path=f"{batch}/parts/2") as connection:
        assert read_answer(connection)[0] == 413
    assert stored(api.context) == before


def test_one_key_names_one_item_of_all_parts(api: ServedApi) -> None:
    batch = opened(api)
    put(api, batch, 1, lines(1), "?key_field=text")
    later = put(api, batch, 2, lines(2), "?key_field=text")
    assert refused(later) == (422, "invalid_items")
    assert later.json()["errors"] == [{"line": 1, "detail": "its key 'invoice 1' is also the key of item 1"}]


def test_a_batch_that_takes_parts_can_be_opened_again_by_its_key(api: ServedApi) -> None:
    key = {"Idempotency-Key": "in-parts"}
    batch = opened(api, **key)
    again = api.http.post("/v1/batches", json=OPEN, headers=key)
    assert (again.status_code, again.headers["location"]) == (200, batch)
    other = api.http.post("/v1/batches", json=OPEN | {"weight": 2}, headers=key)
    assert (refused(other), other.json()["fields"]) == ((422, "idempotency_key_reused"), ["weight"])
    stream = api.http.post("/v1/batches?definition=tickets", content=lines(1), headers=NDJSON | key)
    assert (refused(stream), stream.json()["fields"]) == ((422, "idempotency_key_reused"), ["body"])
    misplaced = api.http.post("/v1/batches", json=OPEN | {"key_field": "id"})
    assert misplaced.json()["errors"][0]["pointer"] == "#/key_field"


def test_a_batch_that_is_given_up_is_gone(api: ServedApi) -> None:
    before = stored(api.context)
    batch = opened(api)
    put(api, batch, 1, lines(3))
    assert api.http.delete(batch).status_code == 204
    assert stored(api.context) == before
    assert refused(api.http.delete(batch)) == (404, "not_found")
    assert refused(put(api, batch, 1, lines(3))) == (404, "not_found")
    assert discard_abandoned(api.context) == 0


def test_only_a_batch_in_parts_takes_parts(api: ServedApi) -> None:
    batch = api.http.post("/v1/batches", json={"definition": "tickets", "items": [{"text": "a"}]}).headers["location"]
    assert refused(put(api, batch, 1, lines(1))) == (409, "not_accepting")
    assert refused(api.http.post(f"{batch}/seal", json={"parts": 1})) == (409, "not_accepting")


def test_another_tenants_batch_is_not_found(tmp_path: Path) -> None:
    write_definition(tmp_path)
    with connect(tmp_path, definitions=tmp_path) as client, serving(client, works=False) as api:
        acme, other = api.key(Scope.SUBMIT, tenant="acme"), api.key(Scope.SUBMIT, tenant="other")
        batch = opened(api, **acme)
        assert refused(put(api, batch, 1, lines(1), **other)) == (404, "not_found")
        assert refused(api.http.get(f"{batch}/parts", headers=other)) == (404, "not_found")
        assert refused(api.http.delete(batch, headers=other)) == (404, "not_found")
        assert refused(api.http.post(f"{batch}/seal", json={"parts": 1}, headers=other)) == (404, "not_found")


SERVER = """
import sys
from pathlib import Path
from tests.support.factories import connect
from tests.support.gateway import serving

folder = Path(sys.argv[1])
with connect(folder, definitions=folder, lease_seconds=1) as client, serving(client, works=False) as api:
    print(api.port, flush=True)
    sys.stdin.read()
"""


def _server(folder: Path) -> tuple[subprocess.Popen[str], int]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = start_python(
        ["-c", SERVER, str(folder)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_part_survives_a_server_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    write_definition(tmp_path)
    # The database that the server will have; its own process opens it again.
    with connect(tmp_path, definitions=tmp_path) as client, serving(client, works=False) as api:
        batch = opened(api)
        put(api, batch, 1, lines(2))
        process, port = _server(tmp_path)
        body = lines(6_000)
        head = f"PUT {batch}/parts/2 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/jsonl\r\n"
        head += "Content-Length: 999999\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), HANG_SECONDS) as connection:
            connection.sendall(head.encode() + body)
            waited(lambda: stored(api.context)[1] > 2)
            process.send_signal(signal.SIGKILL)
            process.wait(HANG_SECONDS)
        _close(process)
        assert stored(api.context) == (1, 5_002, 1, 2)
        assert put(api, batch, 2, body).status_code == 201
        sealed = api.http.post(f"{batch}/seal", json={"parts": 2, "items": 6_002})
        assert (sealed.status_code, sealed.json()["total"]) == (200, 6_002)
        with client_context(client).database.read() as found:
            ids = list(found.scalars(select(items.c.id)))
            assert found.scalar(select(batches.c.state)) == "running"
        assert len(ids) == len(set(ids)) == 6_002


def _close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()
