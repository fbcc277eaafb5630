"""The pages by which a person repairs: dead letters, another payload, deliveries, endpoints."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx2
import pytest

import pipeline
from pipeline.domain.api_key import Scope
from tests.support.factories import connect, make_definition
from tests.support.gateway import ServedApi, serving, wait_until
from tests.support.receiver import SECRET, Receiver

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
#: What most items of the batch die of at classify, and the others at enrich.
SOURCE = """
from pipeline import Permanent

def classify(item):
    if item.text.startswith("bad"):
        raise Permanent("it says <b>so</b>")
    return "label " + item.text[:4]

def enrich(item):
    if item.text.startswith("lost"):
        raise Permanent("nobody answers")
    return {}
"""
BAD = 130


class Repair(NamedTuple):
    """A server with dead items and callbacks."""

    api: ServedApi
    batch: pipeline.Batch
    receiver: Receiver
    origin: str

    def get(self, path: str) -> httpx2.Response:
        return self.api.http.get(path)

    def post(self, path: str, /, **form: str) -> httpx2.Response:
        return self.api.http.post(path, data=form, headers=SAME_ORIGIN)

    def said(self, answer: httpx2.Response) -> str:
        """What the page says that a form leads to."""
        assert answer.status_code == 303, answer.text
        page = self.get(answer.headers["location"]).text
        found = re.search(r'<p class="message" role="status">(.*?)</p>', page)
        assert found is not None
        return found[1]


@pytest.fixture(scope="module")
def repair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repair]:
    folder: Path = tmp_path_factory.mktemp("repair")
    texts = [*(f"bad {n}" for n in range(BAD)), "lost 1", "lost 2", "good"]
    with (
        Receiver() as receiver,
        connect(folder, webhook_secret=SECRET, allow_private_callbacks="127.0.0.0/8") as client,
        serving(client) as api,
    ):
        definition = make_definition(folder, SOURCE, name="mail")
        items = [{"text": text} for text in texts]
        batch = client.submit(items, definition=definition, callback_url=receiver.url)
        batch.wait(timeout=60)
        wait_until(lambda: client.endpoint(receiver.url).show().delivered == len(texts))
        yield Repair(api, batch, receiver, client.endpoint(receiver.url).origin)


def dead_items(page: str) -> list[str]:
    return re.findall(r'<th scope="row" class="name"><a href="/ui/items/([^"]+)"', page)


# --- dead letters ----------------------------------------------------------------------------------------------------


def test_every_dead_item_is_on_one_page_of_the_list(repair: Repair) -> None:
    page = repair.get(f"/ui/dead?batch={repair.batch.id}").text
    assert "it says &lt;b&gt;so&lt;/b&gt;" in page
    seen = dead_items(page)
    assert len(seen) == 100
    while (older := re.search(r'href="(\?[^"]*)" rel="next"', page)) is not None:
        page = repair.get("/ui/dead" + older[1].replace("&amp;", "&")).text
        seen += dead_items(page)
    assert len(seen) == len(set(seen)) == BAD + 2


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("stage=enrich", 2),
        ("label=label+lost", 2),
        ("type=Permanent&stage=enrich", 2),
        ("definition=mail&stage=enrich", 2),
        ("definition=other", 0),
        ("cause=0123456789ab", 0),
    ],
)
def test_dead_items_are_filtered(repair: Repair, query: str, number: int) -> None:
    page = repair.get(f"/ui/dead?{query}").text
    assert len(dead_items(page)) == number
    assert ("No dead item matches" in page) is (number == 0)


def test_a_filter_of_the_page_that_is_none_is_refused(repair: Repair) -> None:
    for query in ("stage=nothing", "after=x", "batch=0123456789abcdef", "label=%00"):
        assert repair.get(f"/ui/dead?{query}").status_code in (400, 404), query


def test_items_of_one_cause_run_again_after_a_question(repair: Repair) -> None:
    page = repair.get(f"/ui/dead?batch={repair.batch.id}&stage=enrich").text
    asked = re.search(r'href="(/ui/batches/\w+/replay-dead\?[^"]*cause=[^"]*)"', page)
    assert asked is not None
    question = repair.get(asked[1].replace("&amp;", "&")).text
    assert "Replay 2 dead items?" in question
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', question))
    assert repair.said(repair.post(f"/ui/batches/{repair.batch.id}/replay-dead", **fields)) == "2 items run again."
    repair.batch.wait(timeout=60)


def test_nothing_to_replay_has_no_button(repair: Repair) -> None:
    question = repair.get(f"/ui/batches/{repair.batch.id}/replay-dead?type=Nothing").text
    assert "Replay 0 dead items?" in question
    assert "<button class=" not in question.partition("<main")[2]


# --- another payload -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ('{"text": "good",\n}', "line 2, column 1"),
        ("[1]", "a payload is a JSON object"),
        ('{"text": "a", "text": "b"}', "appears twice"),
        ('{"words": "good"}', "has no field &#39;text&#39;"),
        ('{"text": " "}', "its text is empty"),
        ("", "line 1, column 1"),
    ],
)
def test_a_payload_that_cannot_be_used_is_shown_again_with_what_is_wrong(repair: Repair, typed: str, said: str) -> None:
    answer = repair.post(f"/ui/items/{repair.batch.id}-1/edit", payload=typed.replace("\n", "\r\n"))
    assert answer.status_code == 422
    field = answer.text.partition("<textarea")[2].partition("</textarea>")[0]
    assert 'aria-describedby="payload-error payload-hint" aria-invalid="true"' in field
    assert field.partition(">\n")[2] == typed.replace('"', "&#34;")
    assert said in answer.text.partition('id="payload-error">')[2].partition("</strong>")[0]


def test_an_item_runs_again_with_the_payload_that_was_typed(repair: Repair) -> None:
    name = f"{repair.batch.id}-2"
    assert "bad 1" in repair.get(f"/ui/items/{name}/edit").text
    typed = '{"text": "good \\u202e again"}'
    assert "from the first stage" in repair.said(repair.post(f"/ui/items/{name}/edit", payload=typed))
    repair.batch.wait(timeout=60)
    page = repair.get(f"/ui/items/{name}?payload=true").text
    assert "succeeded" in page
    # Both payloads, and nothing that turns the text behind it around.
    assert page.index("good \\u202e again") < page.index("bad 1")
    assert "\u202e" not in page
    assert repair.get(f"/ui/items/{name}/edit").status_code == 409
    assert repair.post(f"/ui/items/{name}/edit", payload=typed).status_code == 409
    assert repair.post(f"/ui/items/{name}/replay").status_code == 409


# --- deliveries ------------------------------------------------------------------------------------------------------


def test_deliveries_are_filtered_and_paged(repair: Repair) -> None:
    page = repair.get(f"/ui/deliveries?batch={repair.batch.id}&state=delivered").text
    seen = re.findall(r'href="/ui/deliveries/(\d+)"', page)
    assert len(seen) == 100
    older = re.search(r'href="(\?[^"]*)" rel="next"', page)
    assert older is not None
    further = repair.get("/ui/deliveries" + older[1].replace("&amp;", "&")).text
    assert not set(seen) & set(re.findall(r'href="/ui/deliveries/(\d+)"', further))
    assert "No callback matches" in repair.get("/ui/deliveries?state=cancelled").text
    assert repair.get("/ui/deliveries?state=nothing").status_code == 400
    assert repair.get("/ui/deliveries?endpoint=nothing").status_code == 422
    assert repair.get("/ui/deliveries/99999999").status_code == 404


def test_a_delivery_is_shown_with_its_attempts_and_sent_again(repair: Repair) -> None:
    number = re.findall(r'href="/ui/deliveries/(\d+)"', repair.get("/ui/deliveries?state=delivered").text)[0]
    page = repair.get(f"/ui/deliveries/{number}").text
    for part in ("succeeded", "msg_", repair.receiver.url):
        assert part in page
    assert "sent again" in repair.said(repair.post(f"/ui/deliveries/{number}/replay"))


def test_dead_deliveries_are_sent_again_after_a_question(repair: Repair) -> None:
    assert "Send 0 dead callbacks again?" in repair.get(f"/ui/deliveries/recover?endpoint={repair.origin}").text
    assert "0 callbacks sent again" in repair.said(repair.post("/ui/deliveries/recover", batch=repair.batch.id))
    assert repair.get("/ui/deliveries/recover?batch=0123456789abcdef").status_code == 404


# --- endpoints -------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(repair: Repair) -> str:
    return f"/ui/endpoints/{quote(repair.origin, safe='')}"


def test_endpoints_are_listed_by_state(repair: Repair, path: str) -> None:
    assert f'href="{path}"' in repair.get("/ui/endpoints?state=ok").text
    assert "No endpoint matches" in repair.get("/ui/endpoints?state=locked").text
    assert repair.get("/ui/endpoints/nothing").status_code == 422


def test_settings_of_an_endpoint_are_saved_all_or_none(repair: Repair, path: str) -> None:
    assert "Saved" in repair.said(repair.post(f"{path}/settings", rate="12.5", in_flight_cap="7", ordering="batch"))
    page = repair.get(path).text
    for part in ('name="rate" value="12.5"', 'name="in_flight_cap" value="7"', "<option selected>batch</option>"):
        assert part in page
    refused = repair.post(f"{path}/settings", rate="fast", in_flight_cap="0", burst="5")
    assert refused.status_code == 422
    for part in ('name="rate" value="fast"', 'id="rate-error"', 'id="in_flight_cap-error"', "from 1 to 1000"):
        assert part in refused.text
    assert 'id="burst-error"' not in refused.text
    assert "Saved" in repair.said(repair.post(f"{path}/settings", rate="", in_flight_cap="", ordering=""))
    alone = repair.post(f"{path}/settings", burst="5")
    assert 'id="burst-error">burst has no effect without rate' in alone.text


def test_settings_that_somebody_else_changed_are_not_overwritten(repair: Repair, path: str) -> None:
    version = re.findall(r'name="version" value="(\w+)"', repair.get(path).text)[0]
    assert repair.said(repair.post(f"{path}/settings", rate="3", version=version))
    assert repair.post(f"{path}/settings", rate="4", version=version).status_code == 412
    assert repair.said(repair.post(f"{path}/settings", rate=""))


def test_an_endpoint_is_tested(repair: Repair, path: str) -> None:
    assert "It works" in repair.post(f"{path}/test", path="/hook").text
    refused = repair.post(f"{path}/test", path="https://evil.example/")
    assert (refused.status_code, "is not at" in refused.text) == (422, True)


def test_an_endpoint_is_disabled_with_a_reason_and_enabled(repair: Repair, path: str) -> None:
    assert "are paused, not dropped" in repair.get(f"{path}/disable").text
    refused = repair.post(f"{path}/disable", reason="two\nlines")
    assert (refused.status_code, 'id="reason-error"' in refused.text) == (422, True)
    assert "Disabled." in repair.said(repair.post(f"{path}/disable", reason="maintenance"))
    assert "maintenance" in repair.get(path).text
    assert "Enabled." in repair.said(repair.post(f"{path}/enable"))


def test_who_may_only_read_sees_no_forms(repair: Repair, path: str, tmp_path: Path) -> None:
    with connect(tmp_path) as client, serving(client, works=False) as served:
        batch = client.submit([{"text": "a"}], definition=make_definition(tmp_path, enrich=False))
        batch.pause()
        key = served.key(Scope.READ)["Authorization"].removeprefix("Bearer ")
        served.http.post("/ui/login", data={"key": key}, headers=SAME_ORIGIN)
        page = served.http.get(f"/ui/batches/{batch.id}").text
        assert re.findall(r'<form method="post" action="([^"]*)"', page) == ["/ui/logout"]
        assert "the scope <code>payloads</code>" in served.http.get(f"/ui/items/{batch.id}-1?payload=true").text
        refused = served.http.get(f"/ui/items/{batch.id}-1/edit")
        assert (refused.status_code, "no scope operate" in refused.text) == (403, True)
