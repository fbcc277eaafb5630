"""Batches over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.domain.api_key import Scope
from pipeline.http_api.operations.batches import BatchAnswer
from tests.support.event_logs import write_batch
from tests.support.factories import connect, make_definition, make_items
from tests.support.gateway import ServedApi, serving
from tests.support.receiver import SECRET


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server that signs callbacks."""
    with connect(folder, webhook_secret=SECRET) as client, serving(client) as served:
        yield served


def test_a_batch_shows_how_far_along_it_is(api: ServedApi, folder: Path) -> None:
    assert api.client is not None
    batch = api.client.submit(make_items(3), definition=make_definition(folder))
    batch.wait(timeout=60)
    answer = api.http.get(f"/v1/batches/{batch.id}")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["batch_id"], found["state"], found["total"], found["succeeded"]) == (batch.id, "completed", 3, 3)
    assert found["last_seq"] == 4


def test_a_batch_shows_what_it_was_submitted_with(api: ServedApi, folder: Path) -> None:
    definition = make_definition(folder)
    urls = {name: f"https://example.com/{name}?secret=planted" for name in ("callback_url", "fallback_url")}
    submission = Submission(definition, idempotency_key="shown", weight=7, fair_key="f", **urls)
    batch = submit(api.context, make_items(1), submission)
    found = api.http.get(f"/v1/batches/{batch.batch_id}").json()
    assert set(found) == set(BatchAnswer.model_fields)
    expected = {
        "definition": definition.name, "definition_version": definition.version, "weight": 7, "fair_key": "f",
        "idempotency_key": "shown", "callback_url": "https://example.com/callback_url?…",
        "fallback_url": "https://example.com/fallback_url?…", "batch_callback_url": None, "callback_schedule": None,
        "expires_at": None,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["created_at"] <= found["started_at"]


def test_an_unknown_batch_is_a_problem(api: ServedApi) -> None:
    answer = api.http.get("/v1/batches/0123456789abcdef")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    problem = answer.json()
    assert problem["code"] == "not_found"
    assert problem["detail"] == "there is no batch '0123456789abcdef'"
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_an_unknown_path_and_method_are_problems(api: ServedApi) -> None:
    assert api.http.get("/v2/batches").json()["code"] == "not_found"
    refused = api.http.patch("/v1/batches/0123456789abcdef")
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    # As `curl -T` sends it.
    refused = api.http.put("/v1/batches", content=b"{}")
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert "`-X POST`" in refused.json()["detail"]
    # A path that says more comes before one with a name in it.
    assert api.http.patch("/v1/endpoints/https%3A%2F%2Fexample.com/disable", json={}).status_code == 405
    assert api.http.get("/v1/definitions/validate").headers["allow"] == "OPTIONS, POST"
    asked = api.http.options("/v1/batches")
    assert (asked.status_code, asked.headers["allow"], asked.content) == (204, "GET, HEAD, OPTIONS, POST", b"")


def test_the_server_tells_how_it_is(api: ServedApi) -> None:
    assert api.http.get("/health").json() == {"status": "ok"}
    assert api.http.get("/ready").json() == {"database": "ok", "schema": "ok", "work": "ok", "draining": False}
    assert api.http.get("/v1/me").json()["tenant"] == "default"


def test_an_unknown_parameter_is_refused(api: ServedApi) -> None:
    refused = api.http.get("/v1/me?limt=1")
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_parameter")
    assert refused.json()["errors"][0]["parameter"] == "limt"


@pytest.mark.parametrize("name", ["%00", "0123456789abcde%00", "%2e%2e%2f", "..%2f..%2fv1%2fme", "%ff", "%"])
def test_a_path_that_nothing_can_have_is_not_found(api: ServedApi, name: str) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as client:
        client.sendall(f"GET /v1/batches/{name} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n\r\n".encode())
        assert client.recv(65_536).startswith(b"HTTP/1.1 404 ")


def test_batches_are_found_by_the_beginning_of_their_ids(api: ServedApi, folder: Path) -> None:
    batch = write_batch(api.context, folder, 1, tenant="prefixed")
    for _ in range(2):
        write_batch(api.context, folder, 1, tenant="prefixed")
    # Every test before this one asks without a key.
    key, foreign = api.key(Scope.READ, tenant="prefixed"), api.key(Scope.READ, tenant="foreign")
    for prefix, headers, expected in (
        (batch.id, key, [batch.id]),
        (batch.id[:12], key, [batch.id]),
        (batch.id, foreign, []),
        ("%", key, []),
        ("0123456789abcdefg", key, []),
    ):
        found = api.http.get("/v1/batches", params={"prefix": prefix}, headers=headers).json()
        assert ([each["batch_id"] for each in found["data"]], found["has_more"]) == (expected, False)
