"""One item over HTTP, with its result in the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.database.tables import batches, events
from pipeline.domain.api_key import Scope
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving
from tests.support.uploads import write_definition

ITEM = {"definition": "tickets", "payload": {"text": "the invoice"}}


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server whose process works on what is submitted."""
    write_definition(folder)
    with connect(folder, definitions=folder) as client, serving(client) as served:
        yield served


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """A server on whose batches nothing works."""
    folder = tmp_path_factory.mktemp("idle")
    write_definition(folder)
    with connect(folder, definitions=folder) as client, serving(client, works=False) as served:
        yield served


def test_an_item_is_answered_with_its_result(api: ServedApi) -> None:
    answer = api.http.post("/v1/classify", json=ITEM | {"key": "T-1"})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["state"], result["key"], result["classification"]["label"]) == ("succeeded", "T-1", "billing")
    batch_id = result["item_id"].partition("-")[0]
    with api.context.database.read() as connection:
        row = connection.execute(select(batches).where(batches.c.public_id == batch_id)).mappings().one()
        body = connection.scalar(select(events.c.body).where(events.c.batch_id == row["id"], events.c.seq == 1))
    assert (row["total"], row["weight"]) == (1, 10)
    assert json.loads(body)["data"] == result


def test_an_item_that_is_not_done_in_time_says_where_it_will_be(idle: ServedApi) -> None:
    for body, headers in ((ITEM | {"wait": 0}, {}), (ITEM, {"Prefer": "respond-async, wait=0"})):
        answer = idle.http.post("/v1/classify", json=body, headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
        assert answer.headers["location"] == f"/v1/items/{answer.json()['item_id']}"


def test_a_key_repeats_the_item(api: ServedApi) -> None:
    key = {"Idempotency-Key": "item"}
    first = api.http.post("/v1/classify", json=ITEM, headers=key)
    again = api.http.post("/v1/classify", json=ITEM, headers=key)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert again.json() == first.json()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"payload": {"txet": "x"}}, "invalid_items"),
        ({"payload": 7}, "invalid_request"),
        ({"wait": 31}, "invalid_request"),
        ({"kee": "x"}, "invalid_request"),
        ({"definition": "ticktes"}, "not_found"),
    ],
)
def test_an_item_that_cannot_be_processed_is_refused(api: ServedApi, change: dict[str, object], code: str) -> None:
    assert api.http.post("/v1/classify", json=ITEM | change).json()["code"] == code


def test_items_that_wait_are_bounded(idle: ServedApi) -> None:
    body = ITEM | {"wait": 0}
    for _ in range(120):
        answer = idle.http.post("/v1/classify", json=body)
        if answer.status_code != 202:
            break
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "backlog_full", "30")


def test_it_needs_both_scopes(tmp_path: Path) -> None:
    write_definition(tmp_path)
    with connect(tmp_path, definitions=tmp_path) as client, serving(client, works=False) as api:
        for scope in (Scope.READ, Scope.SUBMIT):
            refused = api.http.post("/v1/classify", json=ITEM, headers=api.key(scope))
            assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
