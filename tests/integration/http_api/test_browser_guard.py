"""A server that asks for no key, against pages that a person has open."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_websocket

from pipeline.domain.api_key import Scope
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "evil.example"}, (421, "wrong_host")),
        ({"Origin": "null"}, (403, "cross_site")),
        ({"Origin": "https://evil.example"}, (403, "cross_site")),
        ({"Sec-Fetch-Site": "cross-site"}, (403, "cross_site")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
def test_requests_of_other_sites_are_refused(
    api: ServedApi, method: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = api.http.request(method, "/v1/me", headers=headers)
    assert answer.status_code == expected[0]
    if method != "HEAD":
        assert answer.json()["code"] == expected[1]
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_form_of_another_site_is_refused(api: ServedApi) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    answer = api.http.post("/v1/batches", content=b'{"definition": "x", "items": [1]}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


def test_a_websocket_of_another_site_is_refused_before_the_upgrade(api: ServedApi) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect_websocket(f"ws://127.0.0.1:{api.port}/v1/ws", origin="https://evil.example"),
    ):
        pass
    assert refused.value.response.status_code == 403
    assert b'"cross_site"' in (refused.value.response.body or b"")


def test_probes_may_have_any_name(api: ServedApi) -> None:
    assert api.http.get("/health", headers={"Host": "10.0.0.7:8787"}).status_code == 200


def test_where_keys_are_asked_for_any_name_is_known_unless_some_are_listed(tmp_path: Path) -> None:
    with connect(tmp_path) as client, serving(client, works=False) as served:
        key = served.key(Scope.READ)
        headers = {**key, "Host": "api.example.com", "Origin": "https://shop.example.com"}
        assert served.http.get("/v1/me", headers=headers).status_code == 200
    with connect(tmp_path, allowed_hosts=("api.example.com",)) as client, serving(client, works=False) as served:
        assert served.http.get("/v1/me", headers=headers).status_code == 200
        refused = served.http.get("/v1/me", headers=key)
        assert (refused.status_code, refused.json()["code"]) == (421, "wrong_host")


def test_the_log_has_each_request_and_nothing_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with connect(tmp_path) as client, serving(client, works=False) as served:
        headers = served.key(Scope.READ)
        secret = headers["Authorization"].removeprefix("Bearer ")
        served.http.get("/v1/me", headers={**headers, "X-Request-Id": "abc", "Cookie": f"pipeline={secret}"})
        served.http.get(f"/v1/batches/{secret}", headers=headers)
        served.http.get("/v1/me", params={"token": secret})
        served.http.get("/health")
    # The client of the test has a log as well.
    ours = [each.getMessage() for each in caplog.records if each.name.startswith(("pipeline", "uvicorn", "starlette"))]
    lines = [line for line in ours if line.startswith("api_request")]
    assert len(lines) == 3
    key_id = secret.split("_")[1]
    assert "operation='me.get' status=200 is_complete=True" in lines[0]
    assert f"key='{key_id}'" in lines[0]
    assert "request_id='abc'" in lines[0]
    assert "path='/v1/batches/…'" in lines[1]
    assert "status=400" in lines[2]
    assert [line for line in ours if secret in line] == []
