"""Dead items over HTTP: listed, grouped by cause, replayed by filter, one by one, and with another payload."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import pipeline
from pipeline.batches.sql import dead
from pipeline.database.tables import POSITIONS_PER_BATCH, batches, replays
from pipeline.domain.api_key import Scope
from pipeline.retention.prune import prune
from tests.support.factories import make_definition
from tests.support.gateway import ServedApi, serving

pytestmark = pytest.mark.xdist_group("http-dead")

#: Fails as the text says: at `classify` until it is corrected, and at `enrich` until a file is there.
SOURCE = """
import pathlib
from pipeline import Permanent

def classify(item):
    if item.text.startswith("bad"):
        raise Permanent(f"text {item.text!r} of row {len(item.text)} cannot be read")
    return item.text[:1]

def enrich(item):
    if item.text.startswith("b") and not (pathlib.Path(__file__).parent / "mended").exists():
        raise Permanent(f"{len(item.text)} from https://crm.internal/{item.text}")
    return {"characters": len(item.text)}
"""


@pytest.fixture(scope="module")
def folder(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the definition is, apart for each kind of database."""
    return tmp_path_factory.mktemp("dead")


@pytest.fixture(scope="module")
def api(module_database: str) -> Iterator[ServedApi]:
    """A server on each kind of database, whose process works on what is submitted."""
    with pipeline.connect(database_url=module_database) as client, serving(client) as served:
        yield served


@pytest.fixture(scope="module", autouse=True)
def _signed_in(api: ServedApi) -> None:
    api.http.headers.update(api.key())


@pytest.fixture(scope="module")
def batch(api: ServedApi, folder: Path) -> pipeline.Batch:
    """A batch of which two items are dead at `classify`, three at `enrich`, and one succeeded."""
    assert api.client is not None
    texts = ["bad one", "bad another", "bone", "broken", "bo", "fine"]
    items = [pipeline.Item({"text": text}, key=text) for text in texts]
    submitted = api.client.submit(items, definition=make_definition(folder, SOURCE))
    submitted.wait(timeout=60)
    return submitted


def replay(api: ServedApi, batch: pipeline.Batch, **body: Any) -> dict[str, Any]:
    found = api.http.post(f"/v1/batches/{batch.id}/dead/replay", json=body)
    assert found.status_code == 200, found.text
    answer: dict[str, Any] = found.json()
    return answer


def test_dead_items_are_listed_by_pages(api: ServedApi, batch: pipeline.Batch) -> None:
    found, after = [], ""
    while True:
        page = api.http.get(f"/v1/dead?batch={batch.id}&limit=2{after}").json()
        found += page["data"]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert [each["key"] for each in found] == ["bo", "broken", "bone", "bad another", "bad one"]
    assert [each["item_id"] for each in found] == [f"{batch.id}-{position}" for position in (5, 4, 3, 2, 1)]
    assert {each["type"] for each in found} == {"Permanent"}
    assert [each["label"] for each in found] == ["b", "b", "b", None, None]


def test_causes_group_them_and_filter_them(api: ServedApi, batch: pipeline.Batch) -> None:
    answer = api.http.get(f"/v1/dead/causes?batch={batch.id}").json()
    assert answer["is_partial"] is False
    assert [(each["stage"], each["message"], each["count"], each["example"]) for each in answer["data"]] == [
        ("enrich", "enrich: <n> from url:crm.internal", 3, f"{batch.id}-5"),
        ("classify", "text <q> of row <n> cannot be read", 2, f"{batch.id}-2"),
    ]
    assert all(each["first_at"] <= each["last_at"] for each in answer["data"])
    cause = answer["data"][1]["cause"]
    found = api.http.get(f"/v1/dead?batch={batch.id}&cause={cause}").json()
    assert [(each["key"], each["cause"]) for each in found["data"]] == [("bad another", cause), ("bad one", cause)]
    by_stage = api.http.get(f"/v1/dead?batch={batch.id}&stage=enrich&type=Permanent").json()
    assert len(by_stage["data"]) == 3


@pytest.mark.parametrize(
    ("where", "matched"),
    [
        ({"stage": "classify"}, 2),
        ({"type": "Permanent"}, 5),
        ({"kind": "transient"}, 0),
        ({"label": "b"}, 3),
        ({"finished_before": "2026-01-01T00:00:00Z"}, 0),
        ({"finished_before": "PT0S"}, 5),
    ],
)
def test_a_dry_run_counts_what_matches(
    api: ServedApi, batch: pipeline.Batch, where: dict[str, Any], matched: int
) -> None:
    assert replay(api, batch, where=where, dry_run=True) == {"matched": matched, "replayed": 0}


def test_a_dry_run_counts_items_up_to_a_limit(api: ServedApi, batch: pipeline.Batch) -> None:
    items = [f"{batch.id}-1", f"{batch.id}-6", f"{batch.id}-99", "0123456789abcdef-1"]
    assert replay(api, batch, where={"items": items}, dry_run=True)["matched"] == 1
    assert replay(api, batch, all=True, limit=4, dry_run=True)["matched"] == 4


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, "#/where"),
        ({"where": {"stage": "enrich"}, "all": True}, "#/where"),
        ({"where": {"stag": "enrich"}}, "#/where/stag"),
        ({"where": {"finished_before": "2026-01-01"}}, "#/where/finished_before"),
        ({"all": True, "limit": 0}, "#/limit"),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(
    api: ServedApi, batch: pipeline.Batch, body: dict[str, Any], place: str
) -> None:
    refused = api.http.post(f"/v1/batches/{batch.id}/dead/replay", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"][0]["pointer"] == place


def test_a_payload_that_would_not_be_accepted_is_refused_and_nothing_changes(
    api: ServedApi, batch: pipeline.Batch
) -> None:
    refused = api.http.post(f"/v1/items/{batch.id}-1/replay", json={"payload": {"txt": "good"}})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"][0]["pointer"] == "#/payload/text"
    empty = api.http.post(f"/v1/items/{batch.id}-1/replay", json={"payload": {"text": " "}})
    assert (empty.status_code, empty.json()["errors"][0]["pointer"]) == (422, "#/payload/text")
    assert batch.progress().dead == 5


def test_another_payload_needs_the_right_to_see_payloads(api: ServedApi, batch: pipeline.Batch) -> None:
    key = api.key(Scope.OPERATE)
    refused = api.http.post(f"/v1/items/{batch.id}-1/replay", json={"payload": {"text": "good"}}, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert "payloads" in refused.json()["detail"]


def test_a_replay_by_filter_happens_once(api: ServedApi, batch: pipeline.Batch, folder: Path) -> None:
    (folder / "mended").touch()
    where = {"stage": "enrich", "label": "b"}
    assert replay(api, batch, where=where) == {"matched": 3, "replayed": 3}
    batch.wait(timeout=60)
    assert replay(api, batch, where=where) == {"matched": 0, "replayed": 0}
    assert (batch.progress().succeeded, batch.progress().dead) == (4, 2)


def test_an_item_is_replayed_as_it_is_and_with_another_payload(api: ServedApi, batch: pipeline.Batch) -> None:
    assert api.http.post(f"/v1/items/{batch.id}-1/replay").json()["state"] == "pending"
    batch.wait(timeout=60)
    found = api.http.post(f"/v1/items/{batch.id}-1/replay", json={"payload": {"text": "good", "more": 1}})
    assert (found.status_code, found.json()["item_id"]) == (200, f"{batch.id}-1")
    batch.wait(timeout=60)
    (result,) = [result for result in batch.results() if result.key == "bad one" and result.state == "succeeded"]
    assert (result.label, result.enrichment) == ("g", {"enrich": {"characters": 4}})
    again = api.http.post(f"/v1/items/{batch.id}-1/replay", json={"payload": {"text": "better"}})
    assert (again.status_code, again.json()["code"]) == (409, "not_dead")
    with api.context.database.read() as connection:
        (before,) = dead.find_replaced(connection, batch._row_id * POSITIONS_PER_BATCH + 1)
    assert before["payload"] == '{"text":"bad one"}'
    assert before["key_id"] == api.http.get("/v1/me").json()["key_id"]


@pytest.mark.parametrize("body", [None, {"payload": {"text": "good"}}], ids=["as it is", "payload"])
def test_an_item_of_a_batch_that_is_being_cancelled_is_not_replayed(
    api: ServedApi, batch: pipeline.Batch, body: dict[str, Any] | None
) -> None:
    of_batch = batches.c.id == batch._row_id
    with api.context.database.write() as connection:
        completed_at = connection.scalar(select(batches.c.completed_at).where(of_batch))
        connection.execute(update(batches).where(of_batch).values(state="cancelled", completed_at=None))
    refused = api.http.post(f"/v1/items/{batch.id}-2/replay", json=body or {})
    with api.context.database.write() as connection:
        connection.execute(update(batches).where(of_batch).values(state="completed", completed_at=completed_at))
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "is being cancelled" in refused.json()["detail"]
    assert batch.progress().dead == 1


def test_replaced_payloads_are_pruned_with_their_batch(api: ServedApi, batch: pipeline.Batch) -> None:
    prune(api.context, datetime.now(UTC) + timedelta(minutes=1))
    with api.context.database.read() as connection:
        assert connection.execute(select(replays)).all() == []
    gone = api.http.post(f"/v1/items/{batch.id}-1/replay")
    assert (gone.status_code, gone.json()["detail"]) == (404, f"there is no item '{batch.id}-1'")
