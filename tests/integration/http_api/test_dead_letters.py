"""A thousand items that died of different things: grouped by cause, replayed by cause, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

import pipeline
from pipeline.batches import event_log
from tests.support.factories import make_definition
from tests.support.gateway import ServedApi, serving

pytestmark = pytest.mark.xdist_group("http-dead-letters")

#: Fails in four ways until the file of that way is there, and records each call.
SOURCE = """
import pathlib
from pipeline import Permanent

FOLDER = pathlib.Path(__file__).parent
SAYS = {
    "price": "row {0} has no price, only '{0} EUR'",
    "date": "{0}-11-2026 is no date",
    "crm": "503 from https://crm.internal/companies/{0}",
}

def fail(kind, number):
    if kind in SAYS and not (FOLDER / kind).exists():
        raise Permanent(SAYS[kind].format(number))

def classify(item):
    with open(FOLDER / "calls", "a") as calls:
        calls.write(f"{item.item_id} {item.text}\\n")
    kind, number = item.text.split()
    if kind == "code" and not (FOLDER / kind).exists():
        return {}[number]
    if kind != "crm":
        fail(kind, number)
    return kind

def enrich(item):
    kind, number = item.text.split()
    if kind == "crm":
        fail(kind, number)
    return {"number": int(number)}
"""
#: Items by what becomes of them.
NUMBERS = {"price": 400, "date": 300, "crm": 200, "code": 100, "good": 50}
MESSAGES = {
    ("classify", "Permanent", "row <n> has no price, only <q>"): "price",
    ("classify", "Permanent", "<n>-<n>-<n> is no date"): "date",
    ("enrich", "Permanent", "enrich: <n> from url:crm.internal"): "crm",
    ("classify", "KeyError", "<q>"): "code",
}


@pytest.fixture
def api(database_url: str) -> Iterator[ServedApi]:
    with pipeline.connect(database_url=database_url) as client, serving(client) as served:
        yield served


def calls(folder: Path) -> Counter[str]:
    return Counter(line.split()[0] for line in (folder / "calls").read_text().splitlines())


def test_mixed_failures_are_grouped_and_replayed_by_cause_once(api: ServedApi, tmp_path: Path) -> None:
    items = [{"text": f"{kind} {number}"} for kind, count in NUMBERS.items() for number in range(count)]
    definition = make_definition(tmp_path, SOURCE, retry={"max_attempts": 1})
    assert api.client is not None
    batch = api.client.submit(items, definition=definition)
    batch.wait(timeout=60)
    path = f"/v1/batches/{batch.id}/dead/replay"
    groups = api.http.get(f"/v1/dead/causes?batch={batch.id}").json()
    found = {(each["stage"], each["type"], each["message"]): each for each in groups["data"]}
    assert {MESSAGES[key]: each["count"] for key, each in found.items()} == {
        kind: number for kind, number in NUMBERS.items() if kind != "good"
    }
    assert groups["is_partial"] is False
    edited = found["classify", "KeyError", "<q>"]["example"]
    for key, kind in MESSAGES.items():
        (tmp_path / kind).touch()
        where = {"where": {"cause": found[key]["cause"]}}
        if kind == "code":
            again = api.http.post(f"/v1/items/{edited}/replay", json={"payload": {"text": "good 7000"}})
            assert (again.status_code, again.json()["state"]) == (200, "pending")
        number = NUMBERS[kind] - (kind == "code")
        counted = api.http.post(path, json={**where, "dry_run": True}).json()
        assert counted == {"matched": number, "replayed": 0}
        # Twice at once: what one of them replays, the other does not.
        with ThreadPoolExecutor(2) as pool:
            sent = list(pool.map(lambda body: api.http.post(path, json=body).json()["replayed"], [where, where]))
        assert sum(sent) == number
        batch.wait(timeout=60)
        assert api.http.post(path, json=where).json() == {"matched": 0, "replayed": 0}
    progress = batch.progress()
    assert (progress.succeeded, progress.dead) == (1_050, 0)
    # Those that failed at `enrich` went on there; the others ran twice, and none oftener.
    numbers = Counter(calls(tmp_path).values())
    assert numbers == {1: NUMBERS["crm"] + NUMBERS["good"], 2: 800}
    log = event_log.read(api.context, batch._row_id, 0, limit=10_000).events
    ends = Counter((orjson.loads(each.body)["data"]["item_id"], each.type) for each in log if each.type[:4] == "item")
    assert set(ends.values()) == {1}
    assert Counter(kind for _, kind in ends) == {"item.failed": 1_000, "item.completed": 1_050}
    (result,) = [each for each in batch.results() if each.item_id == edited and each.state == "succeeded"]
    assert (result.label, result.enrichment) == ("good", {"enrich": {"number": 7_000}})
