"""The web page, without a browser: what it shows, who sees it, and which forms it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import pipeline
from pipeline.domain.api_key import Scope
from pipeline.http_api.rate_limits import FailedAttempts
from tests.support.factories import connect, make_definition, make_items
from tests.support.gateway import HANG_SECONDS, ServedApi, serving, wait_until
from tests.support.receiver import SECRET, Receiver

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
    for part in ("Items per second", "Time from submission", "<svg", "Latest results", ">4</span> of"):
        assert part in page


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


def test_the_stream_ends_with_a_batch_that_is_complete(api: ServedApi, batch: pipeline.Batch) -> None:
    text = api.http.get(f"/ui/stream?batch={batch.id}").text
    assert "event: batch\ndata: {" in text
    assert text.endswith("event: end\ndata: {}\n\n")


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


def test_dead_items_are_grouped_and_run_again_by_cause(api: ServedApi, batch: pipeline.Batch) -> None:
    page = api.http.get(f"/ui/dead?batch={batch.id}").text
    assert "it says &lt;b&gt;so&lt;/b&gt;" in page
    assert f"/ui/items/{batch.id}-4" in page
    asked = api.http.get(f"/ui/batches/{batch.id}/replay-dead")
    assert "Replay 1 dead items?" in asked.text
    replayed = api.http.post(f"/ui/batches/{batch.id}/replay-dead", headers=SAME_ORIGIN)
    assert "1 items run again." in api.http.get(replayed.headers["location"]).text
    batch.wait(timeout=60)
    assert "it says" in api.http.get("/ui/dead").text
    assert "it says" in api.http.get(f"/ui/batches/{batch.id}").text


def test_callbacks_and_endpoints_are_shown_and_changed(tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        connect(tmp_path, webhook_secret=SECRET, allow_private_callbacks="127.0.0.0/8") as client,
        serving(client) as served,
    ):
        batch = client.submit(
            make_items(1), definition=make_definition(tmp_path, enrich=False), callback_url=receiver.url
        )
        batch.wait(timeout=60)
        (delivery,) = client.deliveries()
        wait_until(lambda: client.delivery(delivery.id).state == "delivered")
        assert "item.completed" in served.http.get("/ui/deliveries?state=delivered").text
        assert "There are no such callbacks" in served.http.get("/ui/deliveries?state=dead").text
        one = served.http.get(f"/ui/deliveries/{delivery.id}")
        assert "succeeded" in one.text
        sent = served.http.post(f"/ui/deliveries/{delivery.id}/replay", headers=SAME_ORIGIN)
        assert "sent again" in served.http.get(sent.headers["location"]).text
        assert delivery.endpoint in served.http.get("/ui/endpoints").text
        form = {"origin": delivery.endpoint}
        disabled = served.http.post("/ui/endpoints/disable", data=form, headers=SAME_ORIGIN)
        assert "Disabled" in served.http.get(disabled.headers["location"]).text
        assert client.endpoint(delivery.endpoint).show().state == "disabled"
        assert served.http.post("/ui/endpoints/explode", data=form, headers=SAME_ORIGIN).status_code == 404
        assert served.http.get("/ui/deliveries/999").status_code == 404
