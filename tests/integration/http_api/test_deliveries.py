"""Deliveries and endpoints over HTTP, of two tenants who call the same receiver and of one who calls another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

import pipeline
from pipeline.batches.submission import Submitted
from pipeline.crypto.encryption import new_encryption_key
from pipeline.delivery import delivery_search, endpoint_secrets
from pipeline.delivery.sql import tenant_endpoints
from tests.support.gateway import ServedApi, serving
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import wait_until
from tests.support.tenants import submit_as

pytestmark = pytest.mark.xdist_group("http-deliveries")


class World(NamedTuple):
    """Two receivers, three batches, and the keys of their tenants."""

    api: ServedApi
    shared: Receiver
    own: Receiver
    acme: dict[str, str]
    other: dict[str, str]
    operator: dict[str, str]
    of_acme: Submitted
    of_other: Submitted
    own_of_acme: Submitted

    def get(self, path: str, key: dict[str, str]) -> Any:
        found = self.api.http.get(path, headers=key)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, key: dict[str, str], body: dict[str, Any] | None = None) -> Any:
        found = self.api.http.post(path, headers=key, json=body or {})
        assert found.status_code == 200, found.text
        return found.json()


def path_of(url: str, rest: str = "") -> str:
    return f"/v1/endpoints/{quote(url, safe='')}{rest}"


def origin_of(receiver: Receiver) -> str:
    return receiver.url.removesuffix("/hook")


@pytest.fixture(scope="module")
def world(module_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("deliveries")
    settings = {"encryption_key": new_encryption_key(), "allow_private_callbacks": "127.0.0.0/8"}
    with (
        Receiver() as shared,
        Receiver() as own,
        pipeline.connect(database_url=module_database, webhook_secret=SECRET, **settings) as client,
        serving(client) as api,
    ):
        of_acme = submit_as(api.context, folder, "acme", callback_url=shared.url)
        of_other = submit_as(api.context, folder, "other", callback_url=f"{shared.url}/other")
        own_of_acme = submit_as(api.context, folder, "acme", callback_url=own.url, batch_callback_url=own.url)
        client.work()
        shared.wait_for(lambda seen: len(seen.bodies) == 4)
        own.wait_for(lambda seen: len(seen.bodies) == 3)
        wait_until(lambda: {each.state for each in client.deliveries()} == {"delivered"})
        keys = (api.key(tenant="acme"), api.key(tenant="other"), api.key(tenant="*"))
        yield World(api, shared, own, *keys, of_acme, of_other, own_of_acme)


def pages(world: World, key: dict[str, str], query: str = "") -> list[dict[str, Any]]:
    """The deliveries of all pages of a list."""
    found, after = [], ""
    while True:
        page = world.get(f"/v1/deliveries?limit=2{query}{after}", key)
        found += page["data"]
        if not page["has_more"]:
            assert page["next"] is None
            return found
        after = f"&after={page['next']}"


def test_a_tenant_lists_its_own_deliveries_by_pages(world: World) -> None:
    found = pages(world, world.acme)
    assert [each["id"] for each in found] == sorted((each["id"] for each in found), reverse=True)
    assert {each["batch_id"] for each in found} == {world.of_acme.batch_id, world.own_of_acme.batch_id}
    assert len(found) == 5
    assert len(world.get("/v1/deliveries", world.operator)["data"]) == 7


@pytest.mark.parametrize("looked_at", [1, 3])
def test_a_page_looks_at_a_bounded_number_and_none_is_skipped(
    world: World, looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = world.get("/v1/deliveries", world.operator)["data"]
    monkeypatch.setattr(delivery_search, "LOOKED_AT", looked_at)
    assert pages(world, world.operator) == everything
    item = f"{world.of_acme.batch_id}-1"
    own = quote(world.own.url, safe="")
    for key, query, passes in (
        (world.other, "", lambda each: each["batch_id"] == world.of_other.batch_id),
        (world.acme, f"&endpoint={own}", lambda each: each["endpoint"] == origin_of(world.own)),
        (world.acme, "&state=dead", lambda each: False),
        (world.acme, f"&state=dead&endpoint={own}", lambda each: False),
        (world.acme, f"&item={item}", lambda each: each["item_id"] == item),
    ):
        expected = [each["id"] for each in everything if passes(each)]
        assert [each["id"] for each in pages(world, key, query)] == expected, query
    of_batch = pages(world, world.acme, f"&batch={world.own_of_acme.batch_id}")
    numbers = [int(each["webhook_id"][-12:]) for each in of_batch]
    assert numbers == [3, 2, 1]


def test_a_position_of_another_list_is_refused(world: World) -> None:
    batch = world.own_of_acme.batch_id
    of_all = world.get("/v1/deliveries?limit=1", world.acme)["next"]
    of_batch = world.get(f"/v1/deliveries?limit=1&batch={batch}", world.acme)["next"]
    for query in (f"after={of_batch}", f"batch={batch}&after={of_all}"):
        refused = world.api.http.get(f"/v1/deliveries?{query}", headers=world.acme)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("batch={batch}", 2),
        ("item={batch}-1", 1),
        ("endpoint={shared}", 2),
        ("state=dead", 0),
        ("since=PT1H", 5),
        ("before=1", 0),
    ],
)
def test_a_list_is_filtered(world: World, query: str, number: int) -> None:
    filled = query.format(batch=world.of_acme.batch_id, shared=quote(world.shared.url, safe=""))
    assert len(world.get(f"/v1/deliveries?{filled}", world.acme)["data"]) == number


@pytest.mark.parametrize(
    ("query", "code"),
    [("state=gone", "bad_parameter"), ("since=yesterday", "bad_parameter"), ("after=abc", "bad_cursor")],
)
def test_a_filter_that_cannot_be_read_is_refused(world: World, query: str, code: str) -> None:
    refused = world.api.http.get(f"/v1/deliveries?{query}", headers=world.acme)
    assert (refused.status_code, refused.json()["code"]) == (400, code)


def test_a_delivery_is_found_by_both_its_names_and_shows_its_attempts(world: World) -> None:
    listed = world.get(f"/v1/deliveries?item={world.of_acme.batch_id}-1", world.acme)["data"][0]
    by_id = world.get(f"/v1/deliveries/{listed['id']}", world.acme)
    assert by_id == world.get(f"/v1/deliveries/{listed['webhook_id']}", world.acme)
    assert (by_id["state"], by_id["attempts"], by_id["last_status"]) == ("delivered", 1, 204)
    assert [(each["number"], each["outcome"], each["status"]) for each in by_id["history"]] == [(1, "succeeded", 204)]


@pytest.mark.parametrize("name", ["{id}", "{webhook_id}", "99999999", "msg_none", "x"])
def test_another_tenants_delivery_is_not_found_in_the_words_of_an_unknown_one(world: World, name: str) -> None:
    foreign = world.get(f"/v1/deliveries?batch={world.of_acme.batch_id}", world.acme)["data"][0]
    path = f"/v1/deliveries/{name.format(**foreign)}"
    for refused in (
        world.api.http.get(path, headers=world.other),
        world.api.http.post(f"{path}/replay", headers=world.other),
    ):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert refused.json()["detail"].startswith("there is no delivery ")


def test_a_delivery_is_sent_again(world: World) -> None:
    listed = world.get(f"/v1/deliveries?item={world.own_of_acme.batch_id}-1", world.acme)["data"][0]
    again = world.post(f"/v1/deliveries/{listed['id']}/replay", world.acme)
    assert (again["id"], again["state"]) == (listed["id"], "pending")
    world.own.wait_for(lambda seen: len(seen.bodies[listed["webhook_id"]]) == 2)
    wait_until(lambda: world.get(f"/v1/deliveries/{listed['id']}", world.acme)["state"] == "delivered")


def test_recovery_reaches_a_tenants_own_deliveries_alone(world: World) -> None:
    wanted = {"endpoint": world.shared.url, "states": ["delivered"], "since": "PT1H", "dry_run": True}
    assert world.post("/v1/deliveries/recover", world.acme, wanted)["matched"] == 2
    assert world.post("/v1/deliveries/recover", world.operator, wanted)["matched"] == 4
    before = {name: len(bodies) for name, bodies in world.shared.bodies.items()}
    found = world.post("/v1/deliveries/recover", world.other, {**wanted, "dry_run": False})
    assert found == {"matched": 2, "recovered": 2, "left_out": []}
    world.shared.wait_for(lambda seen: sum(map(len, seen.bodies.values())) == sum(before.values()) + 2)
    twice = {name for name, bodies in world.shared.bodies.items() if len(bodies) > before[name]}
    assert all(world.of_other.batch_id in name for name in twice)
    refused = world.api.http.post("/v1/deliveries/recover", headers=world.other, json={"endpoint": world.own.url})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    wait_until(lambda: not world.get("/v1/deliveries?state=pending", world.operator)["data"])


def test_events_that_were_never_owed_to_a_url_are_sent_there(world: World) -> None:
    wanted = {"batch": world.own_of_acme.batch_id, "url": f"{world.own.url}/late"}
    assert world.post("/v1/deliveries/replay-missing", world.acme, {**wanted, "dry_run": True}) == {
        "matched": 2,
        "replayed": 0,
    }
    refused = world.api.http.post("/v1/deliveries/replay-missing", headers=world.other, json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_a_tenant_sees_the_endpoints_that_its_batches_name(world: World) -> None:
    assert {each["origin"] for each in world.get("/v1/endpoints", world.acme)["data"]} == {
        origin_of(world.shared),
        origin_of(world.own),
    }
    (seen,) = world.get("/v1/endpoints", world.other)["data"]
    assert (seen["origin"], seen["delivered"]) == (origin_of(world.shared), 2)
    assert world.get(path_of(world.shared.url), world.operator)["delivered"] == 4
    assert world.get("/v1/endpoints", world.api.key(tenant="nobody"))["data"] == []
    page = world.get("/v1/endpoints?limit=1", world.acme)
    assert page["has_more"] is True
    assert len(world.get(f"/v1/endpoints?limit=1&after={page['next']}", world.acme)["data"]) == 1


@pytest.mark.parametrize(
    ("method", "rest"), [("GET", ""), ("POST", "/test"), ("POST", "/enable"), ("POST", "/disable")]
)
def test_an_endpoint_of_others_is_not_found_in_the_words_of_an_unknown_one(
    world: World, method: str, rest: str
) -> None:
    details = []
    for url in (world.own.url, "https://nowhere.example"):
        refused = world.api.http.request(method, path_of(url, rest), headers=world.other)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        details.append(refused.json()["detail"].partition(" is unknown")[2])
    assert details[0] == details[1]


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("PATCH", "", {"rate": 5.0}),
        ("PATCH", "", {"headers": {"X-Key": "planted"}}),
        ("POST", "/rotate-secret", {}),
        ("DELETE", "/secrets", None),
        ("POST", "/disable", {}),
    ],
)
def test_an_endpoint_that_two_tenants_call_is_changed_by_an_operator_alone(
    world: World, method: str, rest: str, body: dict[str, Any] | None
) -> None:
    refused = world.api.http.request(method, path_of(world.shared.url, rest), headers=world.acme, json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "endpoint_owned")
    with world.api.context.database.read() as connection:
        assert tenant_endpoints.owner(connection, origin_of(world.shared)) is None


def test_settings_are_merged_and_headers_never_come_back(world: World) -> None:
    path = path_of(world.own.url)
    patch = world.api.http.patch
    first = patch(path, headers=world.acme, json={"rate": 50, "headers": {"X-Key": "planted-value", "X-Old": "old"}})
    assert first.status_code == 200, first.text
    assert (first.json()["settings"]["rate"], first.json()["headers"]) == (50.0, ["x-key", "x-old"])
    second = patch(path, headers={**world.acme, "If-Match": first.headers["etag"]}, json={"headers": {"x-old": None}})
    assert (second.json()["settings"]["rate"], second.json()["headers"]) == (50.0, ["x-key"])
    stale = patch(path, headers={**world.acme, "If-Match": first.headers["etag"]}, json={"rate": None})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert patch(path, headers=world.acme, json={"rate": None}).json()["settings"]["rate"] is None
    unknown = patch(path, headers=world.acme, json={"rat": 5})
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "#/rat")
    assert "did you mean 'rate'" in unknown.json()["detail"]
    assert "planted-value" not in first.text + second.text + world.api.http.get(path, headers=world.acme).text


def test_an_endpoint_with_headers_is_its_tenants_and_nobody_elses(world: World) -> None:
    url = f"{world.own.url}/foreign"
    foreign = world.api.http.patch(path_of(url), headers=world.other, json={"headers": {"X-Key": "mine"}})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "endpoint_owned")
    wanted = {"batch": world.of_other.batch_id, "url": url}
    missing = world.api.http.post("/v1/deliveries/replay-missing", headers=world.other, json=wanted)
    assert (missing.status_code, missing.json()["code"]) == (403, "endpoint_owned")


def test_what_an_operator_configured_for_all_is_not_a_tenants(world: World) -> None:
    origin = "https://for-all.example:443"
    endpoint_secrets.set_headers(world.api.context, origin, {"X-Key": "for all"})
    refused = world.api.http.post(path_of(origin, "/rotate-secret"), headers=world.acme)
    assert (refused.status_code, refused.json()["code"]) == (403, "endpoint_owned")
    default = world.api.http.patch(path_of(origin), headers=world.api.key(), json={"headers": {"X-More": "more"}})
    assert default.json()["headers"] == ["x-key", "x-more"]
    with world.api.context.database.read() as connection:
        assert tenant_endpoints.owner(connection, origin) is None


def test_a_secret_is_shown_once_and_forgotten(world: World) -> None:
    rotated = world.post(path_of(world.own.url, "/rotate-secret"), world.acme)
    assert rotated["secret"].startswith("whsec_")
    shown = world.api.http.get(path_of(world.own.url), headers=world.acme)
    assert rotated["secret"] not in shown.text
    assert rotated["fingerprint"] in {each["fingerprint"] for each in shown.json()["secrets"]}
    pair = world.post(path_of(world.own.url, "/rotate-secret"), world.acme, {"asymmetric": True, "grace_seconds": 0})
    assert pair["public_key"].startswith("whpk_")
    repeated = [
        world.post(path_of(world.own.url, "/rotate-secret"), world.acme, {"secret": SECRET})["fingerprint"]
        for _ in range(2)
    ]
    assert repeated[0] == repeated[1]
    assert world.api.http.delete(path_of(world.own.url, "/secrets"), headers=world.acme).status_code == 204
    found = world.get(path_of(world.own.url), world.acme)
    assert (found["secrets"], found["headers"]) == ([], [])
    with world.api.context.database.read() as connection:
        assert tenant_endpoints.owner(connection, origin_of(world.own)) is None


def test_an_endpoint_is_tested_disabled_and_enabled(world: World) -> None:
    sent = world.post(path_of(world.own.url, "/test"), world.acme)
    assert (sent["is_success"], sent["status"]) == (True, 204)
    elsewhere = world.api.http.post(
        path_of(world.own.url, "/test"), headers=world.acme, json={"url": "https://nowhere.example/"}
    )
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "invalid_request")
    assert world.post(path_of(world.own.url, "/disable"), world.acme, {"reason": "it moves"})["deliveries"] == 0
    assert world.get(path_of(world.own.url), world.acme)["reason"] == "manual: it moves"
    wanted = {"batch": world.own_of_acme.batch_id, "states": ["delivered"], "dry_run": True}
    left_out = world.post("/v1/deliveries/recover", world.acme, wanted)["left_out"]
    assert left_out == [{"endpoint": origin_of(world.own), "state": "disabled", "count": 3}]
    listed = world.get(f"/v1/deliveries?batch={world.own_of_acme.batch_id}", world.acme)["data"][0]
    refused = world.api.http.post(f"/v1/deliveries/{listed['id']}/replay", headers=world.acme)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert world.post(path_of(world.own.url, "/enable"), world.acme) == {
        "origin": origin_of(world.own),
        "deliveries": 0,
    }
