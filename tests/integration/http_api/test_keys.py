"""Keys and stream tokens over HTTP: who is let in, who is not, and what is told and logged."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.requests import Request

from pipeline.access import keys, stream_tokens
from pipeline.access.caller import LOCAL
from pipeline.access.keys import RevokedKey
from pipeline.domain.api_key import Scope, split_key
from pipeline.http_api.authentication import TRUST_SECONDS, Keyring
from pipeline.http_api.pools import Pool
from tests.support.factories import connect, make_definition, make_items
from tests.support.gateway import ServedApi, serving

pytestmark = pytest.mark.xdist_group("http-keys")

UNKNOWN = keys.new_key()


def key_of(header: dict[str, str]) -> str:
    return header["Authorization"].removeprefix("Bearer ")


def id_of(header: dict[str, str]) -> str:
    parts = split_key(key_of(header))
    assert parts is not None
    return parts.id


def request(header: dict[str, str], address: str = "192.0.2.1", query: str = "") -> Request:
    """A request as the server sees it."""
    headers = [(name.lower().encode(), value.encode()) for name, value in header.items()]
    return Request({"type": "http", "headers": headers, "query_string": query.encode(), "client": (address, 1)})


@pytest.fixture(scope="module")
def admin(api: ServedApi) -> dict[str, str]:
    """A key of an operator, so that from now on every request needs one."""
    return api.key(tenant="*")


@pytest.mark.parametrize("case", ["no_key", "no_bearer", "mistyped", "unknown", "expired_key", "revoked_key"])
def test_a_key_that_cannot_be_used_is_told_apart(api: ServedApi, admin: dict[str, str], case: str) -> None:
    expired = api.key(lifetime=timedelta(seconds=-1))
    revoked = api.key()
    keys.revoke(api.context, id_of(revoked))
    good = key_of(admin)
    headers, code = {
        "no_key": ({}, "no_key"),
        "no_bearer": ({"Authorization": "Basic b3BzOm9wcw=="}, "no_key"),
        "mistyped": ({"Authorization": f"Bearer {good[:-1]}{'a' if good[-1] != 'a' else 'b'}"}, "bad_key"),
        "unknown": ({"Authorization": f"Bearer {UNKNOWN}"}, "bad_key"),
        "expired_key": (expired, "expired_key"),
        "revoked_key": (revoked, "revoked_key"),
    }[case]
    refused = api.http.get("/v1/me", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (401, code)
    assert refused.headers["www-authenticate"] == "Bearer"


def test_a_scope_that_is_missing_is_named(api: ServedApi, admin: dict[str, str]) -> None:
    refused = api.http.get("/v1/keys", headers=api.key(Scope.READ))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert "admin" in refused.json()["detail"]


@pytest.mark.parametrize("query", [f"x={UNKNOWN}", "api_key=anything"], ids=["key", "name"])
def test_a_key_in_the_url_is_refused(api: ServedApi, admin: dict[str, str], query: str) -> None:
    refused = api.http.get(f"/v1/me?{query}", headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (400, "key_in_url")
    assert UNKNOWN not in refused.text


def test_every_key_may_ask_what_it_is(api: ServedApi, admin: dict[str, str]) -> None:
    found = api.http.get("/v1/me", headers=api.key(Scope.SUBMIT, tenant="acme", rate=5.0)).json()
    assert (found["tenant"], found["scopes"], found["requests_per_second"]) == ("acme", ["submit"], 5.0)
    assert found["burst"] == 10


def test_an_operator_lists_all_keys_by_pages_and_a_tenant_its_own(api: ServedApi, admin: dict[str, str]) -> None:
    mine = api.key(Scope.ADMIN, tenant="lister")
    found, after = [], ""
    while True:
        page = api.http.get(f"/v1/keys?limit=2{after}", headers=admin).json()
        found += [key["key_id"] for key in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert found == [key.id for key in keys.every(api.context)]
    assert [key["key_id"] for key in api.http.get("/v1/keys", headers=mine).json()["data"]] == [id_of(mine)]


def test_a_revoked_key_is_refused_and_another_tenants_is_not_found(api: ServedApi, admin: dict[str, str]) -> None:
    key, stranger = api.key(tenant="left"), api.key(Scope.ADMIN, tenant="stranger")
    refused = api.http.delete(f"/v1/keys/{id_of(key)}", headers=stranger)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert api.http.delete(f"/v1/keys/{id_of(key)}", headers=admin).json()["revoked_at"]
    # It was never presented to this server, so it is not trusted for a while.
    assert api.http.get("/v1/me", headers=key).json()["code"] == "revoked_key"


def test_a_stream_hears_of_a_revoked_key_once_it_is_no_longer_trusted(api: ServedApi) -> None:
    times = [1_000.0]
    pool, header = Pool.quick(), api.key(Scope.READ)
    keyring = Keyring(api.context, pool, is_open=False, clock=lambda: times[0])

    async def follow() -> None:
        asking = request(header)
        assert (await keyring.caller(asking)).key_id == id_of(header)
        keys.revoke(api.context, id_of(header))
        times[0] += TRUST_SECONDS - 0.1
        assert (await keyring.caller(asking)).key_id == id_of(header)
        times[0] += 0.2
        with pytest.raises(RevokedKey):
            await keyring.caller(asking)

    asyncio.run(follow())
    pool.close()


def test_expiry_follows_the_clock_of_the_database_and_not_that_of_the_machine(api: ServedApi) -> None:
    key = keys.create(api.context, "short", lifetime=timedelta(hours=1))
    later = replace(api.context, now=lambda: api.context.now() + timedelta(hours=2))
    assert keys.authenticate(api.context, key).name == "short"
    with pytest.raises(keys.ExpiredKey):
        keys.authenticate(later, key)


def test_an_address_that_fails_too_often_is_not_answered_but_keys_in_use_are(api: ServedApi) -> None:
    pool, good = Pool.quick(), api.key(Scope.READ)
    keyring = Keyring(api.context, pool, is_open=False)

    async def fail() -> list[str]:
        await keyring.caller(request(good))
        codes = []
        for _ in range(11):
            try:
                await keyring.caller(request({"Authorization": f"Bearer {UNKNOWN}"}))
            except Exception as error:
                codes.append(getattr(error, "code", ""))
        await keyring.caller(request(good))
        await keyring.caller(request(api.key(Scope.READ), address="192.0.2.9"))
        return codes

    assert asyncio.run(fail()) == ["bad_key"] * 10 + ["too_many_failures"]
    pool.close()


def test_a_key_that_sends_too_much_waits_and_others_do_not(api: ServedApi, admin: dict[str, str]) -> None:
    slow = api.key(Scope.READ, rate=0.5)
    first = api.http.get("/v1/me", headers=slow)
    assert first.headers["ratelimit-policy"] == '"key";q=30;w=60'
    assert first.headers["ratelimit"] == '"key";r=0;t=2'
    refused = api.http.get("/v1/me", headers=slow)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "2"
    assert "ratelimit" in refused.headers
    assert api.http.get("/v1/me", headers=admin).status_code == 200


class TestStreamTokens:
    """What a stream token is good for."""

    def test_it_names_its_batch_and_expires(self, api: ServedApi, folder: Path, admin: dict[str, str]) -> None:
        assert api.client is not None
        batch = api.client.submit(make_items(1), definition=make_definition(folder))
        found = api.http.post("/v1/stream-tokens", headers=admin, json={"batch": batch.id, "ttl": 60})
        assert (found.status_code, found.json()["batch_id"]) == (201, batch.id)
        text = found.json()["token"]
        assert text.startswith("pipes_")
        caller = stream_tokens.authenticate(api.context, text)
        assert (caller.scopes, caller.only_batch) == ({Scope.READ}, batch._row_id)
        later = replace(api.context, now=lambda: api.context.now() + timedelta(seconds=61))
        with pytest.raises(stream_tokens.BadToken):
            stream_tokens.authenticate(later, text)

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"batch": "0123456789abcdef"}, 404, "not_found"),
            ({"batch": "0123456789abcdef", "ttl": 3_601}, 422, "invalid_request"),
            ({}, 422, "invalid_request"),
        ],
    )
    def test_it_is_of_a_batch_that_exists_and_of_an_hour_at_most(
        self, api: ServedApi, admin: dict[str, str], body: dict[str, object], status: int, code: str
    ) -> None:
        refused = api.http.post("/v1/stream-tokens", headers=admin, json=body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)

    def test_it_ends_with_its_key(self, api: ServedApi) -> None:
        header = api.key(Scope.READ)
        caller = keys.authenticate(api.context, key_of(header)).to_caller()
        token = stream_tokens.create(api.context, caller, 1, timedelta(minutes=1))
        keys.revoke(api.context, id_of(header))
        with pytest.raises(RevokedKey):
            stream_tokens.authenticate(api.context, token.text)

    def test_one_made_without_a_key_ends_with_the_first_key(self, api: ServedApi, admin: dict[str, str]) -> None:
        token = stream_tokens.create(api.context, LOCAL, 1, timedelta(minutes=1))
        with pytest.raises(stream_tokens.BadToken):
            stream_tokens.authenticate(api.context, token.text)

    def test_it_does_where_a_route_takes_it_and_nowhere_else(self, api: ServedApi, admin: dict[str, str]) -> None:
        pool = Pool.quick()
        keyring = Keyring(api.context, pool, is_open=True)
        caller = keys.authenticate(api.context, key_of(admin)).to_caller()
        token = stream_tokens.create(api.context, caller, 7, timedelta(minutes=1)).text

        async def ask(takes_token: bool) -> int | None:
            return (await keyring.caller(request({}, query=f"token={token}"), takes_token=takes_token)).only_batch

        assert asyncio.run(ask(True)) == 7
        pool.close()
        assert api.http.get(f"/v1/me?token={token}").json()["code"] == "no_key"
        as_key = api.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert (as_key.status_code, as_key.json()["code"]) == (401, "bad_key")


def test_changes_are_logged_with_who_and_what_and_without_secrets(
    api: ServedApi, admin: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = api.key(tenant="logged")
    answers = [
        api.http.delete(f"/v1/keys/{id_of(key)}", headers={**admin, "Cookie": "pipeline=planted-cookie"}),
        api.http.delete("/v1/keys/pl@nted", headers=admin),
        api.http.post("/v1/stream-tokens?token=planted-token", headers=admin, json={"batch": "planted-body"}),
        api.http.get("/v1/me", headers=admin),
    ]
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("api_change")]
    assert [line.partition(" key_id=")[0] for line in lines] == [
        f"api_change operation='keys.revoke' target='{id_of(key)}' outcome='200'",
        "api_change operation='keys.revoke' target='(not shown)' outcome='not_found'",
        "api_change operation='stream_tokens.create' target='' outcome='bad_parameter'",
    ]
    assert all(f"key_id='{id_of(admin)}' tenant='*' request_id=" in line for line in lines)
    # The client of the test logs what it sends, and pytest has uvicorn log requests, which `make_server` has it not.
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("pipeline")]
    told = "".join(ours) + "".join(answer.text for answer in answers)
    markers = (key_of(admin), key_of(key), "planted-cookie", "planted-token", "planted-body")
    assert [marker for marker in markers if marker in told] == []


def test_pages_of_allowed_origins_may_call_and_hosts_may_be_narrowed(tmp_path: Path) -> None:
    origins, hosts = "https://app.example.com", "127.0.0.1, api.example.com"
    with (
        connect(tmp_path, cors_origins=origins, allowed_hosts=hosts) as client,
        serving(client, works=False) as served,
    ):
        key = served.key()
        asked = {"Origin": origins, "Access-Control-Request-Method": "POST"}
        wanted = {**asked, "Access-Control-Request-Headers": "authorization, idempotency-key"}
        preflight = served.http.options("/v1/batches", headers=wanted)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == origins
        assert preflight.headers["access-control-max-age"] == "3600"
        assert "access-control-allow-credentials" not in preflight.headers
        answer = served.http.get("/v1/me", headers={**key, "Origin": origins})
        assert "RateLimit" in answer.headers["access-control-expose-headers"]
        refused = served.http.options("/v1/batches", headers={**wanted, "Origin": "https://evil.example"})
        assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin")
        assert "access-control-allow-origin" not in served.http.get("/health", headers={"Origin": "null"}).headers
        assert served.http.get("/v1/me", headers={**key, "Host": "API.example.com:443"}).status_code == 200
        wrong = served.http.get("/v1/me", headers={**key, "Host": "evil.example"})
        assert (wrong.status_code, wrong.json()["code"]) == (421, "wrong_host")


def test_without_settings_no_origin_is_allowed(api: ServedApi) -> None:
    answer = api.http.get("/health", headers={"Origin": "https://app.example.com", "Host": "any.example"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
