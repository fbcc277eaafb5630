"""Batches over HTTP."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.factories import make_definition, make_items
from tests.support.gateway import ServedApi


def test_a_batch_shows_how_far_along_it_is(api: ServedApi, folder: Path) -> None:
    assert api.client is not None
    batch = api.client.submit(make_items(3), definition=make_definition(folder))
    batch.wait(timeout=60)
    answer = api.http.get(f"/v1/batches/{batch.id}")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["batch_id"], found["state"], found["total"], found["succeeded"]) == (batch.id, "completed", 3, 3)
    assert found["last_seq"] == 4


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
    assert "GET" in refused.headers["allow"]


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
