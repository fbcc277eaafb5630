"""Submitting batches over HTTP: what is accepted, what is refused, and that what is refused leaves nothing."""

from __future__ import annotations

import http.client
import io
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from sqlalchemy import insert, select, update

from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.database.tables import batches, endpoints, items
from pipeline.definitions import load_definition
from pipeline.domain.api_key import Scope
from tests.support.factories import client_context, connect
from tests.support.gateway import ServedApi, serving
from tests.support.receiver import SECRET
from tests.support.uploads import (
    NDJSON,
    content_digest,
    lines,
    raw_request,
    read_answer,
    stored,
    waited,
    write_definition,
    zipped,
)

STREAM = "/v1/batches?definition=tickets"
LIMIT = 512 * 1024
PAYLOAD = 1_000


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    """A server with small limits, on whose batches nothing works."""
    write_definition(folder)
    write_definition(folder, "keyed", '\nkey = "id"')
    settings = {"definitions": folder, "webhook_secret": SECRET}
    limits = {"max_payload_bytes": PAYLOAD, "max_upload_bytes": LIMIT}
    with connect(folder, **settings, **limits) as client, serving(client, works=False) as served:
        yield served


def submitted(api: ServedApi, batch_id: str) -> list[tuple[Any, ...]]:
    """The positions, keys and payloads of a batch's items."""
    query = select(items.c.position, items.c.key, items.c.payload).join(batches, batches.c.id == items.c.batch_id)
    with api.context.database.read() as connection:
        found = connection.execute(query.where(batches.c.public_id == batch_id).order_by(items.c.id))
        return [(position, key, json.loads(payload)) for position, key, payload in found]


def parquet(number: int = 3) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": [f"invoice {n}" for n in range(number)]}), file)
    return file.getvalue()


def test_an_object_is_a_batch(api: ServedApi) -> None:
    body = {"definition": "tickets", "items": [{"text": "invoice"}, {"text": "hello"}], "weight": 3}
    answer = api.http.post("/v1/batches", json=body)
    assert answer.status_code == 201
    batch = answer.json()
    assert answer.headers["location"] == f"/v1/batches/{batch['batch_id']}"
    assert (batch["state"], batch["total"], "rejected" in batch) == ("running", 2, False)
    assert submitted(api, batch["batch_id"]) == [(1, None, {"text": "invoice"}), (2, None, {"text": "hello"})]


def test_items_of_an_object_may_have_keys_and_urls(api: ServedApi) -> None:
    given = [
        {"payload": {"text": "a"}, "key": "k"},
        {"payload": {"text": "b"}, "callback_url": "https://example.com/x"},
    ]
    body = {"definition": "tickets", "items_are": "items", "items": given}
    batch = api.http.post("/v1/batches", json=body).json()
    assert [(key, payload) for _, key, payload in submitted(api, batch["batch_id"])] == [
        ("k", {"text": "a"}),
        (None, {"text": "b"}),
    ]
    given[1]["kee"] = "x"
    refused = api.http.post("/v1/batches", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_items")
    assert refused.json()["errors"][0]["pointer"] == "#/items/1"
    assert "kee" in refused.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/x-ndjson", b'{"text": "invoice 1"}\n{"text": "invoice 2"}'),
        ("application/jsonl; charset=utf-16", '{"text": "invoice 1"}\n{"text": "invoice 2"}'.encode("utf-16")),
        ("application/json", b'[{"text": "invoice 1"}, {"text": "invoice 2"}]'),
        ("text/csv; charset=utf-8", b"text\ninvoice 1\ninvoice 2\n"),
        ("Text/Tab-Separated-Values", b"text\tn\ninvoice 1\t1\ninvoice 2\t2\n"),
        ("application/vnd.apache.parquet", parquet(2)),
    ],
)
@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_stream_of_any_format_is_a_batch(api: ServedApi, media_type: str, body: bytes, is_zipped: bool) -> None:
    headers = {"Content-Type": media_type} | ({"Content-Encoding": "gzip"} if is_zipped else {})
    sent = zipped(body) if is_zipped else body
    answer = api.http.post(STREAM, content=sent, headers=headers | content_digest(sent))
    assert (answer.status_code, answer.json().get("total")) == (201, 2), answer.text
    assert [position for position, *_ in submitted(api, answer.json()["batch_id"])] == [1, 2]


def test_options_of_a_stream_are_in_the_query(api: ServedApi) -> None:
    options = "&weight=7&fair_key=f&callback_url=https://example.com/a&fallback_url=https://example.com/b&key_field=id"
    body = b'{"text": "a", "id": 1}\n{"text": "b", "id": 2}\n'
    batch = api.http.post(STREAM + options, content=body, headers=NDJSON).json()["batch_id"]
    with api.context.database.read() as connection:
        row = connection.execute(select(batches).where(batches.c.public_id == batch)).mappings().one()
    assert (row["weight"], row["fair_key"]) == (7, "f")
    assert (row["callback_url"], row["fallback_url"]) == ("https://example.com/a", "https://example.com/b")
    assert [key for _, key, _ in submitted(api, batch)] == ["1", "2"]


def test_curl_uploads_a_file_in_chunks(api: ServedApi, tmp_path: Path) -> None:
    file = tmp_path / "tickets.jsonl"
    file.write_bytes(lines(6_000))
    command = ["curl", "-sS", "-X", "POST", "-H", "Content-Type: application/x-ndjson", "-T", "-", api.url + STREAM]
    with file.open("rb") as opened:
        done = subprocess.run(command, stdin=opened, capture_output=True, check=True)
    assert json.loads(done.stdout)["total"] == 6_000


REFUSED = [
    ("no line is left out", lines(16) + b"{nonsense\n" + lines(90), 17),
    ("a payload that is too large", lines(2) + lines(1, text="x" * PAYLOAD) + lines(3), 3),
    ("a line that is too long", lines(2) + b'{"text": "' + b"x" * (9 * PAYLOAD) + b'"}\n' + lines(3), 3),
    ("another field", lines(4) + b'{"txet": "x"}\n', 5),
    ("a lone surrogate", lines(1) + b'{"text": "\\ud800"}\n', 2),
]


@pytest.mark.parametrize(("body", "line"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_one_bad_line_refuses_all_and_is_named(api: ServedApi, body: bytes, line: int) -> None:
    before = stored(api.context)
    refused = api.http.post(STREAM, content=body, headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_items")
    assert [each["line"] for each in refused.json()["errors"]] == [line]
    assert refused.json()["error_count"] == 1
    assert stored(api.context) == before
    accepted = api.http.post(STREAM + "&on_error=skip", content=body, headers=NDJSON)
    assert (accepted.status_code, accepted.json()["rejected"]) == (201, 1)
    assert accepted.json()["total"] == body.count(b"\n") - 1
    assert [each["line"] for each in accepted.json()["errors"]] == [line]


def test_many_bad_lines_are_counted_and_the_first_listed(api: ServedApi) -> None:
    refused = api.http.post(STREAM, content=b'{"text": []}\n' * 3_000, headers=NDJSON).json()
    assert (refused["code"], refused["error_count"], len(refused["errors"])) == ("invalid_items", 3_000, 1_000)


def test_one_key_names_one_item(api: ServedApi) -> None:
    body = b'{"text": "a", "id": "x"}\n{"text": "b", "id": "y"}\n{"text": "c", "id": "x"}\n'
    refused = api.http.post("/v1/batches?definition=keyed", content=body, headers=NDJSON).json()
    assert refused["errors"] == [{"line": 3, "detail": "its key 'x' is also the key of item 1"}]


BAD_BODIES = [
    ("an object cut off", "/v1/batches", "application/json", b'{"definition": "tickets", "items": [', 400, "bad_json"),
    ("no items", "/v1/batches", "application/json", b'{"definition": "tickets", "items": []}', 422, "no_items"),
    ("items absent", "/v1/batches", "application/json", b'{"definition": "tickets"}', 422, "no_items"),
    ("an empty stream", STREAM, "text/csv", b"", 422, "no_items"),
    ("a header alone", STREAM, "text/csv", b"text\n", 422, "no_items"),
    ("no definition", "/v1/batches", "application/x-ndjson", lines(1), 400, "bad_parameter"),
    ("an array without one", "/v1/batches", "application/json", b"[{}]", 400, "bad_parameter"),
    ("an object with a query", STREAM, "application/json", b'{"definition": "t"}', 422, "invalid_request"),
    ("an unknown member", "/v1/batches", "application/json", b'{"item": []}', 422, "invalid_request"),
    ("another type", STREAM, "text/plain", lines(1), 415, "unsupported_media_type"),
    ("a form", STREAM, "multipart/form-data; boundary=x", b"--x--", 415, "unsupported_media_type"),
    ("a quote that does not end", STREAM, "text/csv", b'text\n"invoice\n', 422, "invalid_items"),
    ("UTF-16 as UTF-8", STREAM, "text/csv; charset=utf-8", "text\na\n".encode("utf-16"), 422, "invalid_request"),
    ("an unknown charset", STREAM, "text/csv; charset=utf-99", b"text\na\n", 422, "invalid_request"),
    ("Parquet that is text", STREAM, "application/vnd.apache.parquet", lines(1), 422, "invalid_request"),
    ("Parquet cut off", STREAM, "application/vnd.apache.parquet", parquet()[:-20], 422, "invalid_request"),
    ("Parquet as JSON Lines", STREAM, "application/x-ndjson", parquet(), 422, "invalid_request"),
    ("an unknown definition", "/v1/batches?definition=ticktes", "text/csv", b"text\na\n", 404, "not_found"),
    ("a definition as a path", "/v1/batches?definition=./tickets.toml", "text/csv", b"text\na\n", 404, "not_found"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "kind", "body", "status", "code"),
    [each[1:] for each in BAD_BODIES],
    ids=[each[0] for each in BAD_BODIES],
)
def test_what_is_no_batch_is_refused_and_leaves_nothing(
    api: ServedApi, path: str, kind: str, body: bytes, status: int, code: str
) -> None:
    before = stored(api.context)
    refused = api.http.post(path, content=body, headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    # In words of the API.
    assert " --" not in refused.text
    assert "standard input" not in refused.text
    assert stored(api.context) == before


def test_a_refusal_says_what_to_do(api: ServedApi) -> None:
    untyped = api.http.post(STREAM, content=lines(1))
    assert untyped.status_code == 415
    assert "application/x-ndjson" in untyped.headers["accept"]
    coded = api.http.post(STREAM, content=lines(1), headers=NDJSON | {"Content-Encoding": "br"})
    assert (coded.status_code, coded.headers["accept-encoding"]) == (415, "gzip")
    assert api.http.post("/v1/batches?definition=ticktes", headers=NDJSON).json()["nearest"] == "tickets"
    cut = api.http.post("/v1/batches", content=b'{"definition": "x', headers={"Content-Type": "application/json"})
    assert cut.json()["offset"] == 15


@pytest.mark.parametrize("query", ["limt=1", "weight=x", "weight=1&weight=2", "on_error=ignore", "strict=yes"])
def test_a_parameter_that_cannot_be_used_is_named(api: ServedApi, query: str) -> None:
    refused = api.http.post(f"{STREAM}&{query}", content=lines(1), headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_parameter")
    assert refused.json()["errors"][0]["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize(
    "query", ["weight=0", "callback_url=http://127.0.0.1/", "callback_url=https://u:p@example.com/"]
)
def test_a_value_that_cannot_be_used_is_refused(api: ServedApi, query: str) -> None:
    refused = api.http.post(f"{STREAM}&{query}", content=lines(1), headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert query.partition("=")[0] in refused.json()["detail"]


def test_damaged_gzip_is_refused(api: ServedApi) -> None:
    before, sent = stored(api.context), zipped(lines(9_000))
    headers = NDJSON | {"Content-Encoding": "gzip"}
    for body in (sent[:-30], sent[:200] + b"\0" * 40 + sent[240:], lines(1), zipped(sent)):
        refused = api.http.post(STREAM, content=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_encoding"), refused.text
    assert stored(api.context) == before


def test_what_is_decompressed_is_bounded_too(api: ServedApi) -> None:
    bomb = zipped(b"x" * (3 * LIMIT))
    for body in (bomb, zipped(lines(1_000, note="x" * 600))):
        refused = api.http.post(STREAM, content=body, headers=NDJSON)
        assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert len(bomb) < LIMIT


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_a_body_that_is_too_large_is_refused(api: ServedApi, kind: str) -> None:
    path, limit = ("/v1/batches", 10 * 1024 * 1024) if kind == "application/json" else (STREAM, LIMIT)
    before = stored(api.context)
    # Announced: refused before anything is sent.
    with raw_request(api, [f"Content-Type: {kind}", f"Content-Length: {limit + 1}"], path=path) as connection:
        assert read_answer(connection)[0] == 413
    chunk = b'{"definition": "tickets", "items": [' + b" " * 70_000

    def endless() -> Iterator[bytes]:
        yield chunk if kind == "application/json" else b""
        for _ in range(limit // 50_000 + 2):
            yield b" " * 49_999 + b"\n"

    refused = api.http.post(path, content=endless(), headers={"Content-Type": kind})
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert stored(api.context) == before


def test_a_digest_that_does_not_match_refuses_the_body(api: ServedApi) -> None:
    before = stored(api.context)
    refused = api.http.post(STREAM, content=lines(2), headers=NDJSON | content_digest(lines(3)))
    assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
    malformed = api.http.post(STREAM, content=lines(2), headers=NDJSON | {"Content-Digest": "sha-256=:AAAA:"})
    assert (malformed.status_code, malformed.json()["code"]) == (400, "bad_request")
    assert stored(api.context) == before


def test_a_connection_that_breaks_leaves_nothing(api: ServedApi) -> None:
    before, body = stored(api.context), lines(9_000)
    head = ["Content-Type: application/x-ndjson", f"Content-Length: {len(body)}", "Idempotency-Key: cut"]
    with raw_request(api, head, body[: len(body) * 9 // 10], path=STREAM):
        waited(lambda: stored(api.context)[1] > before[1])
    waited(lambda: stored(api.context) == before)
    answers = []

    def is_accepted() -> bool:
        # Busy for as long as the thread of the broken connection has not ended.
        answers.append(api.http.post(STREAM, content=body, headers=NDJSON | {"Idempotency-Key": "cut"}))
        return answers[-1].status_code not in (409, 503)

    waited(is_accepted)
    assert (answers[-1].status_code, answers[-1].json()["total"]) == (201, 9_000)


def test_a_key_repeats_its_batch(api: ServedApi) -> None:
    headers = NDJSON | {"Idempotency-Key": '"again"'}
    first = api.http.post(STREAM, content=lines(3), headers=headers)
    second = api.http.post(STREAM, content=lines(3), headers=NDJSON | {"Idempotency-Key": "again"})
    assert (first.status_code, "idempotent-replayed" in first.headers) == (201, False)
    assert (second.status_code, second.headers["idempotent-replayed"]) == (200, "true")
    assert first.json() == second.json()


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/v1/batches?definition=keyed", lines(3), ["definition"]),
        (f"{STREAM}&weight=2&callback_url=https://example.com/", lines(3), ["callback_url", "weight"]),
        (STREAM, lines(4), ["body"]),
        (f"{STREAM}&key_field=text", lines(3), ["key_field"]),
    ],
)
def test_a_key_belongs_to_one_submission(api: ServedApi, path: str, body: bytes, fields: list[str]) -> None:
    headers = NDJSON | {"Idempotency-Key": "taken"}
    batch = api.http.post(STREAM, content=lines(3), headers=headers).json()["batch_id"]
    refused = api.http.post(path, content=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert (refused.json()["batch_id"], refused.json()["fields"]) == (batch, fields)


def test_a_key_of_the_library_is_compared_by_items(api: ServedApi, folder: Path) -> None:
    definition = load_definition(folder / "tickets.toml")
    given = [{"text": f"invoice {n}"} for n in (1, 2, 3)]
    known = submit(api.context, given, Submission(definition, idempotency_key="of-the-library"))
    headers = NDJSON | {"Idempotency-Key": "of-the-library"}
    answer = api.http.post(STREAM, content=lines(3), headers=headers)
    assert (answer.status_code, answer.json()["batch_id"]) == (200, known.batch_id)
    refused = api.http.post(STREAM, content=lines(2), headers=headers)
    assert (refused.status_code, refused.json()["fields"]) == (422, ["items"])


@pytest.mark.parametrize("key", ["", "x" * 300, "with space", '""'])
def test_a_key_that_cannot_be_used_is_refused(api: ServedApi, key: str) -> None:
    refused = api.http.post(STREAM, content=lines(1), headers=NDJSON | {"Idempotency-Key": key})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_idempotency_key")


def test_equal_requests_at_once_make_one_batch(api: ServedApi) -> None:
    before, body = stored(api.context)[0], lines(3_000)

    def post(_: int) -> int:
        answer = api.http.post(STREAM, content=body, headers=NDJSON | {"Idempotency-Key": "at-once"})
        assert answer.status_code != 409 or answer.json()["code"] == "idempotency_in_progress"
        return answer.status_code

    with ThreadPoolExecutor(20) as pool:
        found = sorted(pool.map(post, range(20)))
    assert set(found) <= {200, 201, 409}
    assert found.count(201) == 1
    assert stored(api.context)[0] == before + 1


def test_a_client_that_waits_for_word_is_not_asked_for_a_known_body(api: ServedApi) -> None:
    body = lines(3)
    head = ["Content-Type: application/x-ndjson", f"Content-Length: {len(body)}", "Expect: 100-continue"]
    keyed = [*head, "Idempotency-Key: expected"]
    with raw_request(api, keyed, path=STREAM) as connection:
        assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        status, first = read_answer(connection)
    assert status == 201
    digest = [f"{name}: {value}" for name, value in content_digest(body).items()]
    other = [f"{name}: {value}" for name, value in content_digest(lines(4)).items()]
    for sent, expected in ((keyed, 200), ([*keyed, *digest], 200), ([*keyed, *other], 422)):
        with raw_request(api, sent, path=STREAM) as connection:
            status, answer = read_answer(connection)
        assert status == expected
        assert answer["batch_id"] == first["batch_id"]
    for wrong in ("/v1/batches?definition=nothing", f"{STREAM}&weight=0"):
        with raw_request(api, head, path=wrong) as connection:
            assert read_answer(connection)[0] in (404, 422)


def test_an_object_whose_client_waits_is_not_asked_for_again(api: ServedApi) -> None:
    body = json.dumps({"definition": "tickets", "items": [{"text": "a"}]}).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "object"}
    first = api.http.post("/v1/batches", content=body, headers=headers).json()
    head = [f"{name}: {value}" for name, value in headers.items()]
    head += [f"Content-Length: {len(body)}", "Expect: 100-continue"]
    with raw_request(api, head) as connection:
        assert read_answer(connection) == (200, first)


@pytest.mark.parametrize("source", ["definition", "items"])
def test_a_tenant_cannot_use_what_is_another_tenants(api: ServedApi, source: str) -> None:
    with api.context.database.write() as connection:
        row = {"origin": f"https://{source}.example:443", "tenant": "other", "updated_at": api.context.now()}
        connection.execute(insert(endpoints).values(**row))
    before, url = stored(api.context), f"https://{source}.example/hook"
    body: dict[str, Any] = {"definition": "tickets", "items_are": "items", "items": [{"payload": {"text": "a"}}]}
    if source == "items":
        body["items"][0]["callback_url"] = url
    else:
        body["fallback_url"] = url
    refused = api.http.post("/v1/batches", json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "endpoint_owned")
    assert stored(api.context) == before
    with api.context.database.write() as connection:
        connection.execute(update(endpoints).values(tenant=None))
    assert api.http.post("/v1/batches", json=body).status_code == 201


def test_a_full_backlog_refuses_more(folder: Path, tmp_path: Path) -> None:
    write_definition(tmp_path)
    options = {"definitions": tmp_path, "max_pending_items": 5}
    with connect(tmp_path, **options) as client, serving(client, works=False) as api:
        headers = NDJSON | {"Idempotency-Key": "k"}
        assert api.http.post(STREAM, content=lines(6), headers=headers).status_code == 201
        head = ["Content-Type: application/x-ndjson", "Content-Length: 10", "Expect: 100-continue"]
        with raw_request(api, head, path=STREAM) as connection:
            status, problem = read_answer(connection)
        assert (status, problem["code"]) == (429, "backlog_full")
        # What is known already is no more.
        assert api.http.post(STREAM, content=lines(6), headers=headers).status_code == 200
        api.context.database.close()


def test_keys_decide_what_may_be_submitted(tmp_path: Path) -> None:
    write_definition(tmp_path)
    inline = {"name": "x", "classify": {"use": "os:system"}}
    with connect(tmp_path, definitions=tmp_path) as client, serving(client, works=False) as api:
        acme, reader = api.key(Scope.SUBMIT, tenant="acme"), api.key(Scope.READ)
        refused = api.http.post(STREAM, content=lines(1), headers=NDJSON | reader)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        body = {"definition": inline, "items": [{"text": "a"}]}
        refused = api.http.post("/v1/batches", json=body, headers=acme)
        assert (refused.status_code, refused.json()["code"]) == (403, "definition_not_allowed")
        assert refused.json()["errors"][0]["pointer"].startswith("#/definition")
        chosen = api.http.post(STREAM + "&fair_key=mine", content=lines(1), headers=NDJSON | acme)
        assert (chosen.status_code, chosen.json()["code"]) == (422, "invalid_request")
        keyed = NDJSON | {"Idempotency-Key": "k"}
        mine = api.http.post(STREAM, content=lines(1), headers=keyed | acme)
        theirs = api.http.post(STREAM, content=lines(2), headers=keyed | api.key(Scope.SUBMIT, tenant="other"))
        assert (mine.status_code, theirs.status_code) == (201, 201)
        with client_context(client).database.read() as connection:
            found = connection.execute(select(batches.c.tenant, batches.c.fair_key).order_by(batches.c.id)).all()
        assert found == [("acme", "acme"), ("other", "other")]
        admin = api.key(Scope.SUBMIT, Scope.ADMIN)
        body["definition"] = {"name": "x", "input": {"text": "text"}, "classify": {"use": "keywords", "default": "o"}}
        assert api.http.post("/v1/batches", json=body, headers=admin).status_code in (201, 422)


@pytest.mark.parametrize("expect", ["", "100-continue"])
def test_clients_read_the_refusal_of_what_they_still_send(api: ServedApi, tmp_path: Path, expect: str) -> None:
    file = tmp_path / "large.jsonl"
    file.write_bytes(lines(2_000, note="x" * 600))
    command = ["curl", "-sS", "-X", "POST", "-H", "Content-Type: application/jsonl", "-H", f"Expect: {expect}"]
    with file.open("rb") as opened:
        done = subprocess.run([*command, "-T", "-", api.url + STREAM], stdin=opened, capture_output=True, check=True)
    assert json.loads(done.stdout)["code"] == "body_too_large"
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    with file.open("rb") as opened:
        connection.request("POST", STREAM, opened, NDJSON, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_busy_server_says_so_before_it_reads(api: ServedApi) -> None:
    size = len(lines(3))
    head = ["Content-Type: application/x-ndjson", f"Content-Length: {size}", "Expect: 100-continue"]
    taken = [raw_request(api, head, path=STREAM) for _ in range(4)]
    try:
        for connection in taken:
            assert connection.recv(1_000).startswith(b"HTTP/1.1 100 ")
        with raw_request(api, head, path=STREAM) as another:
            status, problem = read_answer(another)
        assert (status, problem["code"]) == (503, "busy")
        # What does not submit is answered as ever.
        assert api.http.get("/v1/me").status_code == 200
        for connection in taken:
            connection.sendall(lines(3))
            assert read_answer(connection)[0] == 201
    finally:
        for connection in taken:
            connection.close()
