"""The web page, without a browser: what it shows, who sees it, and which forms it takes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

import pipeline
from pipeline.domain.api_key import Scope
from pipeline.http_api.rate_limits import FailedAttempts
from pipeline.http_api.streaming.options import StreamOptions
from tests.support.factories import connect, make_definition, make_items
from tests.support.gateway import HANG_SECONDS, ServedApi, serving

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def batch(api: ServedApi, folder: Path) -> pipeline.Batch:
    """A completed batch, one item of which has a label that is markup."""
    source = """
        def classify(item):
            if "fails" in item.text:
                raise Permanent("it says <b>so</b>")
            return "<script>alert(1)</script>"
        from pipeline import Permanent
        """
    definition = make_definition(folder, source, enrich=False)
    assert api.client is not None
    submitted = api.client.submit([*make_items(3), {"text": "it fails"}], definition=definition)
    submitted.wait(timeout=60)
    return submitted


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[ServedApi]:
    """A server with a key, so that nobody gets in without one."""
    with connect(tmp_path) as client, serving(client, works=False) as served:
        served.key()
        yield served


def test_the_list_shows_batches(api: ServedApi, batch: pipeline.Batch) -> None:
    page = api.http.get("/ui")
    assert page.status_code == 200
    assert f'href="/ui/batches/{batch.id}"' in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_the_bare_address_leads_to_the_page(api: ServedApi) -> None:
    found = api.http.get("/")
    assert (found.status_code, found.headers["location"]) == (303, "/ui")


def test_the_list_filters_by_state(api: ServedApi, batch: pipeline.Batch) -> None:
    assert batch.id in api.http.get("/ui?state=completed").text
    assert batch.id not in api.http.get("/ui?state=paused").text


def test_a_batch_shows_counts_charts_and_results(api: ServedApi, batch: pipeline.Batch) -> None:
    page = api.http.get(f"/ui/batches/{batch.id}").text
    for part in ("Time from submission", "<svg", "Labels", "Latest results", ">4</span> of"):
        assert part in page
    assert f'href="/ui/batches/{batch.id}/items?label=%3Cscript%3E' in page


def test_a_label_that_is_a_script_is_text(api: ServedApi, batch: pipeline.Batch) -> None:
    page = api.http.get(f"/ui/batches/{batch.id}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_an_item_shows_why_it_is_dead_and_runs_again(api: ServedApi, batch: pipeline.Batch) -> None:
    page = api.http.get(f"/ui/items/{batch.id}-4").text
    assert "it says &lt;b&gt;so&lt;/b&gt;" in page
    replayed = api.http.post(f"/ui/items/{batch.id}-4/replay", headers=SAME_ORIGIN)
    assert replayed.status_code == 303
    assert "The item runs again" in api.http.get(replayed.headers["location"]).text
    batch.wait(timeout=60)


def test_a_payload_is_shown_on_demand(api: ServedApi, batch: pipeline.Batch) -> None:
    assert "text number 1" not in api.http.get(f"/ui/items/{batch.id}-1").text
    assert "text number 1" in api.http.get(f"/ui/items/{batch.id}-1?payload=true").text


def test_an_unknown_batch_is_a_page_too(api: ServedApi) -> None:
    page = api.http.get("/ui/batches/0123456789abcdef")
    assert page.status_code == 404
    assert "There is no such thing" in page.text


def test_a_form_of_another_site_changes_nothing(api: ServedApi, batch: pipeline.Batch) -> None:
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        refused = api.http.post(f"/ui/batches/{batch.id}/pause", headers=headers)
        assert refused.status_code == 403
        assert "another site" in refused.text


def test_a_stream_has_the_counts_of_its_batch_alone(api: ServedApi, batch: pipeline.Batch, folder: Path) -> None:
    assert api.client is not None
    other = api.client.submit(make_items(1), definition=make_definition(folder, enrich=False))
    with api.http.stream("GET", f"/ui/stream?batch={batch.id}") as answer:
        text = read_until(answer.iter_text(), f'"batch":"{batch.id}"')
    assert other.id not in text
    with api.http.stream("GET", "/ui/stream") as answer:
        read_until(answer.iter_text(), f'"batch":"{other.id}"')


def test_a_stream_ends_when_somebody_signs_out(tmp_path: Path) -> None:
    options = StreamOptions(recheck_seconds=0.05)
    with (
        connect(tmp_path) as client,
        serving(client, works=False, streams=options) as served,
        signed_in(served, Scope.READ) as browser,
    ):
        with browser.stream("GET", "/ui/stream") as answer:
            chunks = answer.iter_text()
            read_until(chunks, ": pipeline")
            browser.post("/ui/logout", headers=SAME_ORIGIN)
            assert '"code":"no_key"' in read_until(chunks, "event: error\ndata: ")
        # `EventSource` connects again after anything else.
        assert httpx2.get(f"{served.url}/ui/stream", trust_env=False).status_code == 204


@pytest.mark.parametrize("name", ["csv", "ndjson", "parquet", "xlsx"])
def test_results_are_saved_as_a_file(api: ServedApi, batch: pipeline.Batch, name: str) -> None:
    found = api.http.get(f"/ui/batches/{batch.id}/results.{name}")
    assert found.headers["content-disposition"] == f'attachment; filename="{batch.id}.{name}"'
    if name in ("csv", "ndjson"):
        assert found.text.count("it says <b>so</b>") >= 1
        assert len(found.text.splitlines()) >= 4
    assert api.http.get(f"/ui/batches/{batch.id}/results.exe").status_code == 404


def test_items_are_found_by_state_label_and_key(api: ServedApi, batch: pipeline.Batch) -> None:
    path = f"/ui/batches/{batch.id}/items"
    assert api.http.get(path).text.count(f"/ui/items/{batch.id}-") == 4
    assert api.http.get(f"{path}?label=%3Cscript%3Ealert(1)%3C/script%3E").text.count("/ui/items/") == 3
    assert "No item matches" in api.http.get(f"{path}?key=nobody").text
    refused = api.http.get(f"{path}?state=nothing")
    assert refused.status_code == 400
    assert "succeeded" in refused.text
    assert api.http.get(f"{path}?after=x").status_code == 400


def test_what_a_change_came_to_is_said_once(api: ServedApi, folder: Path) -> None:
    assert api.client is not None
    submitted = api.client.submit(make_items(1), definition=make_definition(folder, enrich=False))
    submitted.pause()
    path = f"/ui/batches/{submitted.id}"
    assert api.http.post(f"{path}/resume", headers=SAME_ORIGIN).headers["location"] == path
    assert "Resumed." in api.http.get(path).text
    assert "Resumed." not in api.http.get(path).text


def test_assets_are_kept_by_browsers_under_names_of_their_content(api: ServedApi) -> None:
    page = api.http.get("/ui").text
    path = page.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    found = api.http.get(path)
    assert (found.status_code, found.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in found.headers["cache-control"]
    assert api.http.get("/ui/assets/ui.css").status_code == 404


def test_a_browser_signs_in_with_a_key_and_out_again(keyed: ServedApi) -> None:
    with httpx2.Client(base_url=keyed.url, timeout=HANG_SECONDS, trust_env=False) as browser:
        assert browser.get("/ui").headers["location"] == "/ui/login"
        assert "mistyped" in browser.post("/ui/login", data={"key": "pipe_x"}, headers=SAME_ORIGIN).text
        key = keyed.key(Scope.READ)["Authorization"].removeprefix("Bearer ")
        signed_in = browser.post("/ui/login", data={"key": key}, headers=SAME_ORIGIN)
        cookie = signed_in.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert key not in cookie
        assert browser.get("/ui").status_code == 200
        browser.post("/ui/logout", headers=SAME_ORIGIN)
        assert browser.get("/ui").headers["location"] == "/ui/login"


def test_failed_sign_ins_are_counted_with_the_requests_that_have_no_valid_key(keyed: ServedApi) -> None:
    keyed.gateway.keyring.failures = FailedAttempts(limit=3)
    key = keyed.key(Scope.READ)
    form = {"key": key["Authorization"].removeprefix("Bearer ")}
    with httpx2.Client(base_url=keyed.url, timeout=HANG_SECONDS, trust_env=False) as browser:
        assert browser.get("/v1/me").status_code == 401
        for _ in range(2):
            assert browser.post("/ui/login", data={"key": "pipe_x"}, headers=SAME_ORIGIN).status_code == 403
        # The right key, too: otherwise the answer would tell which one it is.
        refused = browser.post("/ui/login", data=form, headers=SAME_ORIGIN)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert "set-cookie" not in refused.headers
        assert browser.get("/v1/me", headers=key).json()["code"] == "too_many_failures"


def test_who_signs_in_sees_the_page_that_was_wanted_if_it_is_one_of_ours(keyed: ServedApi) -> None:
    asked = httpx2.get(f"{keyed.url}/ui/dead?stage=enrich", trust_env=False, follow_redirects=False)
    assert asked.headers["location"] == "/ui/login?next=%2Fui%2Fdead%3Fstage%3Denrich"
    for wanted, shown in (
        ("/ui/dead?stage=enrich", "/ui/dead?stage=enrich"),
        ("https://evil.example/ui", "/ui"),
        ("//evil.example", "/ui"),
        ("/uiui", "/ui"),
        ("/ui\r\nX: y", "/ui"),
    ):
        with signed_in(keyed, Scope.READ, next=wanted) as browser:
            assert browser.headers["X-Shown"] == shown


def test_changes_by_the_page_are_logged(keyed: ServedApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline.http_api.audit")
    with signed_in(keyed, Scope.READ) as browser:
        refused = browser.post("/ui/batches/0123456789abcdef/pause", headers=SAME_ORIGIN)
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("api_change")]
    assert "operation='page.pause' target='0123456789abcdef' outcome='scope_missing'" in line
    assert f"request_id='{refused.headers['x-request-id']}'" in line
    assert refused.headers["x-request-id"] in refused.text


def test_the_api_does_not_read_the_cookie(keyed: ServedApi) -> None:
    with httpx2.Client(base_url=keyed.url, timeout=HANG_SECONDS, trust_env=False) as browser:
        key = keyed.key(Scope.READ)["Authorization"].removeprefix("Bearer ")
        browser.post("/ui/login", data={"key": key}, headers=SAME_ORIGIN)
        assert browser.get("/v1/me").status_code == 401


def test_a_reader_cannot_operate(keyed: ServedApi, tmp_path: Path) -> None:
    batch = pipeline.connect(database_url=f"sqlite:///{tmp_path / 'pipeline.db'}")
    with batch as client, httpx2.Client(base_url=keyed.url, timeout=HANG_SECONDS, trust_env=False) as browser:
        stored = client.submit(make_items(1), definition=make_definition(tmp_path, enrich=False))
        key = keyed.key(Scope.READ)["Authorization"].removeprefix("Bearer ")
        browser.post("/ui/login", data={"key": key}, headers=SAME_ORIGIN)
        refused = browser.post(f"/ui/batches/{stored.id}/cancel", headers=SAME_ORIGIN)
        assert refused.status_code == 403
        assert "operate" in refused.text


@contextmanager
def signed_in(api: ServedApi, *scopes: Scope, **form: str) -> Iterator[httpx2.Client]:
    """A browser that has signed in; its header `X-Shown` says where that led."""
    key = api.key(*scopes)["Authorization"].removeprefix("Bearer ")
    with httpx2.Client(base_url=api.url, timeout=HANG_SECONDS, trust_env=False) as browser:
        found = browser.post("/ui/login", data={"key": key, **form}, headers=SAME_ORIGIN)
        browser.headers["X-Shown"] = found.headers["location"]
        yield browser


def read_until(chunks: Iterator[str], part: str) -> str:
    """What a stream says until it says this and ends its line."""
    text = ""
    for chunk in chunks:
        text += chunk
        if part in text and "\n" in text.partition(part)[2]:
            return text
    raise AssertionError(f"{part!r} is not in {text!r}")


def test_the_streams_of_pages_count_among_those_of_the_key(tmp_path: Path) -> None:
    with (
        connect(tmp_path) as client,
        serving(client, works=False, streams=StreamOptions(most=1)) as served,
        signed_in(served, Scope.READ) as browser,
        browser.stream("GET", "/ui/stream") as answer,
    ):
        chunks = answer.iter_text()
        read_until(chunks, ": pipeline")
        with browser.stream("GET", "/ui/stream") as refused:
            assert refused.status_code == 429
            refused.read()
        assert (refused.status_code, "streams of this key are open" in refused.text) == (429, True)
