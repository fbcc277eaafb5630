"""No route answers without a key, or about what is another tenant's. A route that nobody has judged here fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx2
import pytest
from starlette.routing import compile_path

from pipeline.access import sessions
from pipeline.alerts.episodes import open_episode
from pipeline.alerts.rules.episode import Episode, Severity
from pipeline.batches.find import find_batch
from pipeline.context import Context
from pipeline.crypto.encryption import new_encryption_key
from pipeline.domain.api_key import split_key
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations import OPERATIONS
from pipeline.http_api.page.site import PAGES, PageRoute
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import wait_until
from tests.support.tenants import submit_as

pytestmark = pytest.mark.xdist_group("http-isolation")

#: Routes that anybody may ask.
OPEN = {
    "server.health", "server.ready", "server.version",
    "document.openapi", "document.problems", "document.problem",
}  # fmt: skip
#: Parts of paths that name nothing that somebody owns.
NOT_OWNED = {"code": "not_found", "number": "1", "n": "1", "part": "1"}
#: Routes whose body or query names something, with what they are sent; `{batch}` and the like are filled in.
NAMED_ELSEWHERE: dict[str, dict[str, Any]] = {
    "batches.create": {"json": {"definition": "{name}", "items": [{"text": "a text"}]}},
    "items.classify": {"json": {"definition": "{name}", "payload": {"text": "a text"}, "wait": 0}},
    "stream_tokens.create": {"json": {"batch": "{batch}"}},
    "dead.list": {"params": {"batch": "{batch}"}},
    "dead.causes": {"params": {"batch": "{batch}"}},
    "deliveries.list": {"params": {"batch": "{batch}"}},
    "deliveries.recover": {"json": {"batch": "{batch}"}},
    "deliveries.replay_missing": {"json": {"batch": "{batch}", "url": "{receiver}/mine"}},
}
#: Lists: what is another tenant's is not in them.
LISTS = {"me.get", "keys.list", "batches.list", "endpoints.list", "definitions.list", "alerts.list"}
#: Routes that name nothing, and change nothing that could be another tenant's.
HARMLESS = {"definitions.validate"}
#: Routes that have tests of their own: what they show is asked for after they are open.
STREAMS = {"batches.stream", "events.socket"}
#: Routes that answer otherwise than 404, and why.
OTHERWISE = {
    # An endpoint is shared by all who call it: who may change it is told apart from whether there is one.
    "endpoints.update": (403, "endpoint_owned"),
    "endpoints.rotate_secret": (403, "endpoint_owned"),
    # Each tenant has its own names.
    "definitions.store": (201, None),
    # Of all tenants.
    "server.metrics": (403, "scope_missing"),
}

#: Ids of every kind that nobody has.
UNKNOWN = {
    "alert": "alr_0000000000000000",
    "batch": "0123456789abcdef",
    "item": "0123456789abcdef-1",
    "delivery": "99999999",
    "endpoint": quote("https://nobody.example", safe=""),
    "name": "no-such-definition",
    "key": "zzzzzzzzzz",
    "receiver": "http://127.0.0.1:60001",
}


class Tenants(NamedTuple):
    """A tenant that owns something of every kind."""

    api: ServedApi
    owner: dict[str, str]
    foreign: dict[str, str]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    folder: Path = tmp_path_factory.mktemp("isolation")
    settings = {"encryption_key": new_encryption_key(), "allow_private_callbacks": "127.0.0.0/8"}
    items = [{"text": "good"}, {"text": "bad"}]
    with (
        Receiver() as receiver,
        connect(folder, webhook_secret=SECRET, **settings) as client,
        serving(client) as api,
    ):
        owner = api.key(tenant="owner")
        batch = submit_as(api.context, folder, "owner", items, callback_url=receiver.url)
        client.work()
        wait_until(lambda: [each.state for each in client.deliveries()] == ["delivered"] * 2)
        definition = {"classify": {"use": "keywords", "rules": [{"label": "a", "any": ["b"]}]}}
        assert api.http.put("/v1/definitions/plans", headers=owner, json=definition).status_code == 201
        endpoint = quote(receiver.url, safe="")
        patched = api.http.patch(f"/v1/endpoints/{endpoint}", headers=owner, json={"headers": {"X-Key": "planted"}})
        assert patched.status_code == 200, patched.text
        parts = split_key(owner["Authorization"].removeprefix("Bearer "))
        assert parts is not None
        yield Tenants(
            api,
            owner,
            {
                "alert": alert_about(api.context, batch.batch_id),
                "batch": batch.batch_id,
                "item": f"{batch.batch_id}-2",
                "delivery": str(min(each.id for each in client.deliveries())),
                "endpoint": endpoint,
                "name": "plans",
                "key": parts.id,
                "receiver": receiver.url,
            },
        )


def alert_about(context: Context, batch_id: str) -> str:
    """Let an alert about a batch fire. Return its id."""
    with context.database.write() as connection:
        batch = find_batch(connection, batch_id)
        episode = Episode("test", f"test:{batch_id}", Severity.WARNING, f"batch {batch_id}", batch_id=batch["id"])
        alert = open_episode(connection, episode, context.now())
    assert alert is not None
    return alert


def filled(value: Any, ids: dict[str, str]) -> Any:
    """A value with the ids in it."""
    if isinstance(value, dict):
        return {name: filled(each, ids) for name, each in value.items()}
    return value.format(**ids) if isinstance(value, str) else value


def path_of(operation: Operation, ids: dict[str, str]) -> str:
    """The path of an operation with these ids in it. A kind of id that is not known fails."""
    return filled(compile_path(operation.path)[1], {**NOT_OWNED, **ids})


def names_in(operation: Operation) -> set[str]:
    return set(compile_path(operation.path)[2]) - set(NOT_OWNED)


def send(tenants: Tenants, operation: Operation, ids: dict[str, str], key: dict[str, str]) -> httpx2.Response:
    given = filled(NAMED_ELSEWHERE.get(operation.id, {}), ids)
    if not given and operation.body is not None:
        given = {"json": dict(operation.example)}
    elif not given and operation.bodies:
        tables = {"classify": {"use": "keywords", "rules": [{"label": "a", "any": ["b"]}]}}
        given = {"json": tables} if operation.id.startswith("definitions.") else {"content": b"{}"}
    headers = {"Content-Type": operation.bodies[0], **key} if "content" in given else key
    return tenants.api.http.request(operation.method, path_of(operation, ids), headers=headers, **given)


def first_bytes(tenants: Tenants, operation: Operation, key: dict[str, str]) -> str:
    """What a stream begins with: the state of things, before anything happens."""
    with tenants.api.http.stream(operation.method, operation.path, headers=key) as answer:
        return next(answer.iter_text(), "")


def texts(ids: dict[str, str]) -> list[str]:
    """What may not be told: ids as they are written, the longest first. The number of a delivery says nothing."""
    origins = {"https://nobody.example:443", ids["receiver"].removesuffix("/hook")}
    return sorted({*(ids[kind] for kind in ids if kind != "delivery"), *origins}, key=len, reverse=True)


def told(answer: httpx2.Response, ids: dict[str, str]) -> tuple[int, str | None, str]:
    """What an answer tells, without the id that it was asked about."""
    problem = answer.json() if answer.content else {}
    detail = str(problem.get("detail")).replace(f"delivery '{ids['delivery']}'", "delivery …")
    for text in texts(ids):
        detail = detail.replace(text, "…")
    return answer.status_code, problem.get("code"), detail


def owned(tenants: Tenants) -> list[Any]:
    """What the owner sees of everything that it has."""
    ids = tenants.foreign
    paths = [f"/v1/batches/{ids['batch']}", "/v1/dead", "/v1/deliveries", "/v1/endpoints", "/v1/definitions/plans"]
    found = [tenants.api.http.get(path, headers=tenants.owner).json() for path in paths]
    keys = tenants.api.http.get("/v1/keys", headers=tenants.owner).json()["data"]
    return [*found, [(key["key_id"], key["revoked_at"]) for key in keys]]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_what_is_another_tenants_is_answered_as_what_is_not_there(tenants: Tenants, operation: Operation) -> None:
    # With all scopes, and without anything that an operation before has left.
    before, stranger = owned(tenants), tenants.api.key(tenant=f"stranger-{operation.id}")
    if operation.id in STREAMS:
        shown = first_bytes(tenants, operation, stranger)
        assert [text for text in texts(tenants.foreign) if text in shown] == []
        return
    answer = send(tenants, operation, tenants.foreign, stranger)
    if operation.id in OPEN | HARMLESS:
        assert answer.status_code == 200
    elif operation.id in LISTS:
        assert answer.status_code == 200
        assert [text for text in texts(tenants.foreign) if text in answer.text] == []
    elif operation.id in OTHERWISE:
        assert (answer.status_code, answer.json().get("code")) == OTHERWISE[operation.id]
    else:
        assert names_in(operation) or operation.id in NAMED_ELSEWHERE, "say here what this route names"
        unknown = send(tenants, operation, UNKNOWN, stranger)
        assert told(answer, tenants.foreign)[:2] == (404, "not_found"), answer.text
        assert told(answer, tenants.foreign) == told(unknown, UNKNOWN)
    assert owned(tenants) == before


@pytest.mark.parametrize("route", [each for each in PAGES if "{" in each.path], ids=lambda each: each.name)
def test_pages_about_what_is_another_tenants_are_not_there(tenants: Tenants, route: PageRoute) -> None:
    """As for the API: a page whose path names something that nobody has judged here fails."""
    before, path = owned(tenants), compile_path(route.path)[1]
    key = tenants.api.key(tenant="stranger-pages")["Authorization"].removeprefix("Bearer ")
    cookie = f"pipeline={sessions.sign_in(tenants.api.context, key)}"
    headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
    answers = [
        tenants.api.http.request(route.method, filled(path, {"format": "csv", **ids}), headers=headers)
        for ids in (tenants.foreign, UNKNOWN)
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert [answer.text.count("There is no such thing") for answer in answers] == [2, 2]
    assert owned(tenants) == before


@pytest.mark.parametrize("path", ["/ui", "/ui/dead", "/ui/deliveries", "/ui/endpoints"])
def test_lists_of_the_page_leave_out_what_is_another_tenants(tenants: Tenants, path: str) -> None:
    key = tenants.api.key(tenant="stranger-lists")["Authorization"].removeprefix("Bearer ")
    cookie = f"pipeline={sessions.sign_in(tenants.api.context, key)}"
    answer = tenants.api.http.get(path, headers={"Cookie": cookie})
    assert answer.status_code == 200
    assert [text for text in texts(tenants.foreign) if text in answer.text] == []


def test_the_owner_itself_is_answered(tenants: Tenants) -> None:
    """Otherwise the test above would pass with a server that finds nothing at all."""
    for operation in OPERATIONS:
        if operation.method == "GET" and not operation.is_stream and names_in(operation):
            answer = send(tenants, operation, tenants.foreign, tenants.owner)
            assert answer.status_code == 200, f"{operation.id}: {answer.text}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_no_route_answers_without_a_key_once_one_exists(tenants: Tenants, operation: Operation) -> None:
    answer = send(tenants, operation, tenants.foreign, {})
    if operation.id in OPEN:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["code"]) == (401, "no_key")
