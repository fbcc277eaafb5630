"""Lists of batches and items, waiting for a change, pause, resume and cancel."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.batches import progress
from pipeline.domain.api_key import Scope
from pipeline.domain.item import ItemState
from pipeline.http_api.operations import batches as operations
from tests.support.event_logs import WrittenBatch, write_batch
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving, wait_for_readers


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server without a worker."""
    with connect(folder) as client, serving(client, works=False) as served:
        yield served


@pytest.fixture(scope="module")
def mixed(api: ServedApi, folder: Path) -> WrittenBatch:
    """A batch with 3 items that succeeded, 2 that are dead and 4 that wait."""
    batch = write_batch(api.context, folder, 9)
    batch.finish(3)
    batch.finish(2, ItemState.DEAD, label="long")
    return batch


def pages(api: ServedApi, path: str, headers: dict[str, str] | None = None, **query: object) -> list[dict[str, object]]:
    """Return the entries of all pages of a list."""
    found, after = [], {}
    while True:
        page = api.http.get(path, params={**query, **after}, headers=headers or {}).json()
        found += page["data"]
        if not page["has_more"]:
            assert page["next"] is None
            return found
        after = {"after": page["next"]}


def test_batches_are_listed_newest_first_and_by_tenant(
    api: ServedApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = api.context.now()
    made = [write_batch(api.context, folder, 1, name=name, tenant="lists").id for name in "abcab"]
    write_batch(api.context, folder, 1, tenant="elsewhere")
    key = api.key(Scope.READ, Scope.OPERATE, tenant="lists")
    newest_first = made[::-1]
    listed = [each["batch_id"] for each in pages(api, "/v1/batches", key, limit=2)]
    assert listed == newest_first
    # Each page looks at two batches only, and may be short.
    monkeypatch.setattr(progress, "LOOKED_AT", 2)
    api.http.post(f"/v1/batches/{made[0]}/pause", headers=key)
    for query, expected in (
        ({"definition": "a"}, [made[3], made[0]]),
        ({"state": "paused"}, [made[0]]),
        ({"state": "completed"}, []),
        ({"created_after": before.isoformat()}, newest_first),
        ({"created_after": "2100-01-01T00:00:00Z"}, []),
        ({"before": made[2]}, [made[1], made[0]]),
    ):
        assert [each["batch_id"] for each in pages(api, "/v1/batches", key, **query)] == expected
    for query, status, code in (
        ("after=!", 400, "bad_cursor"),
        ("after=MDE", 400, "bad_cursor"),
        ("after=" + "x" * 90, 400, "bad_cursor"),
        ("before=0123456789abcdef", 404, "not_found"),
        ("limit=0", 400, "bad_parameter"),
        ("created_after=2100-01-01T00:00:00", 400, "bad_parameter"),
    ):
        refused = api.http.get(f"/v1/batches?{query}", headers=key)
        assert (refused.status_code, refused.json()["code"]) == (status, code)


def test_items_are_listed_in_the_order_of_the_input(
    api: ServedApi, mixed: WrittenBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, key = f"/v1/batches/{mixed.id}/items", api.key(Scope.READ, Scope.PAYLOADS)
    assert [each["item_id"] for each in pages(api, path, key, limit=4)] == [f"{mixed.id}-{n}" for n in range(1, 10)]
    monkeypatch.setattr(progress, "LOOKED_AT", 2)
    for query, expected in (
        ({"state": "dead"}, [4, 5]),
        ({"label": "long", "limit": 1}, [4, 5]),
        ({"state": "pending"}, [6, 7, 8, 9]),
        ({"state": "running"}, []),
        ({"key": "absent"}, []),
    ):
        found = pages(api, path, key, **query)
        assert [each["item_id"] for each in found] == [f"{mixed.id}-{n}" for n in expected]
        assert all("payload" not in each for each in found)
    shown = pages(api, path, key, payload="true", limit=1000)
    assert shown[0]["payload"] == {"text": "text number 1"}
    refused = api.http.get(f"{path}?payload=true", headers=api.key(Scope.READ))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


def test_an_item_is_shown_from_all_sides(api: ServedApi, mixed: WrittenBatch) -> None:
    key = api.key(Scope.READ)
    answer = api.http.get(f"/v1/items/{mixed.id}-4", headers=key)
    found = answer.json()
    assert (found["state"], found["label"], found["deliveries"], found["failed_attempts"]) == ("dead", "long", [], [])
    again = api.http.get(f"/v1/items/{mixed.id}-4", headers=key | {"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in (f"{mixed.id}-10", "nothing", f"{mixed.id}-0"):
        missing = api.http.get(f"/v1/items/{name}", headers=key)
        assert (missing.status_code, missing.json()["detail"]) == (404, f"there is no item '{name}'")
    foreign = api.http.get(f"/v1/items/{mixed.id}-4", headers=api.key(Scope.READ, tenant="other"))
    assert (foreign.status_code, foreign.json()["detail"]) == (404, f"there is no item '{mixed.id}-4'")


def test_labels_are_counted_among_the_first_items_unless_all_are_asked_for(
    api: ServedApi, mixed: WrittenBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "COUNTED_LABELS", 4)
    path, key = f"/v1/batches/{mixed.id}/labels", api.key(Scope.READ)
    short, long = ({"label": label, "count": count} for label, count in (("short", 3), ("long", 1)))
    assert api.http.get(path, headers=key).json() == {"data": [short, long], "is_partial": True}
    assert api.http.get(f"{path}?full=true", headers=key).json() == {
        "data": [short, {**long, "count": 2}],
        "is_partial": False,
    }


def test_a_batch_is_awaited_until_it_changes(api: ServedApi, folder: Path) -> None:
    batch, key = write_batch(api.context, folder, 2), api.key(Scope.READ)
    path = f"/v1/batches/{batch.id}"
    first = api.http.get(path, headers=key)
    tag = {"If-None-Match": first.headers["etag"]}
    assert api.http.get(path, headers=key | tag).status_code == 304
    assert api.http.get(f"{path}?wait=0.05", headers=key | tag).status_code == 304
    answers = []
    for headers in (key | tag, key):
        waiting = threading.Thread(
            target=lambda headers=headers: answers.append(api.http.get(f"{path}?wait=25", headers=headers))
        )
        waiting.start()
        wait_for_readers(api, 1)
        batch.finish(1)
        waiting.join(60)
        wait_for_readers(api, 0)
    assert [(each.status_code, each.json()["succeeded"]) for each in answers] == [(200, 1), (200, 2)]
    # A tag that is no longer true is answered at once.
    assert api.http.get(f"{path}?wait=25", headers=key | tag).status_code == 200


def test_batches_are_paused_resumed_and_cancelled(api: ServedApi, folder: Path) -> None:
    batch, key = write_batch(api.context, folder, 5), api.key(Scope.OPERATE)
    path = f"/v1/batches/{batch.id}"
    for change, state in (
        ("resume", "running"), ("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("pause", "paused"),
    ):  # fmt: skip
        answer = api.http.post(f"{path}/{change}", headers=key)
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    batch.finish(2)
    cancelled = [api.http.post(f"{path}/cancel", headers=key) for _ in range(2)]
    assert [each.status_code for each in cancelled] == [200, 200]
    assert [each.json()["cancelled_now"] for each in cancelled] == [3, 0]
    assert cancelled[1].json()["state"] == "cancelled"
    history = api.http.get(f"{path}/status", headers=api.key(Scope.READ)).json()["history"]
    assert [each["action"] for each in history] == ["cancel", "pause", "resume", "pause"]
    assert {each["actor"] for each in history} == {"key:test"}
    for change in ("pause", "resume"):
        refused = api.http.post(f"{path}/{change}", headers=key)
        assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
        assert "cancelled" in refused.json()["detail"]


def test_a_completed_batch_is_neither_paused_nor_cancelled(api: ServedApi, folder: Path) -> None:
    batch, key = write_batch(api.context, folder, 1), api.key(Scope.OPERATE)
    batch.finish(1)
    for change in ("pause", "resume", "cancel"):
        refused = api.http.post(f"/v1/batches/{batch.id}/{change}", headers=key)
        assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
        assert "is completed" in refused.json()["detail"]
    for headers, status in ((api.key(Scope.READ), 403), (api.key(Scope.OPERATE, tenant="other"), 404)):
        assert api.http.post(f"/v1/batches/{batch.id}/pause", headers=headers).status_code == status
