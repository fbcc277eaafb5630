"""`pipeline.testing.run_definition`, as the tests of a user's definition use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.testing import run_definition
from tests.support.factories import make_definition
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"


def define(folder: Path, source: str, *, enrich: bool = False, **tables: Any) -> pipeline.Definition:
    return make_definition(folder, source, enrich=enrich, **tables)


def test_a_definition_file_is_run_and_results_come_in_the_order_of_the_items() -> None:
    tickets = [
        {"ticket_id": "T-1", "body": "Please refund the second payment."},
        {"ticket_id": "T-2", "body": "Where is my parcel?"},
    ]
    first, second = run_definition(EXAMPLES / "support-tickets" / "definition.toml", tickets)
    assert (first.key, first.label, first.state) == ("T-1", "billing", pipeline.ItemState.SUCCEEDED)
    assert (second.key, second.label, second.succeeded) == ("T-2", "shipping", True)
    assert [(each.batch_id, each.item_id, each.seq, each.attempts) for each in (first, second)] == [
        ("test", "test-1", 1, 2),
        ("test", "test-2", 2, 2),
    ]
    assert first.enrichment["language"]["language"] == "en"
    times = first.timings
    assert times.started_at is not None
    assert times.classified_at is not None
    assert times.created_at <= times.classified_at <= times.started_at <= times.finished_at
    assert pipeline.Result.from_data(first.to_dict()) == first


def test_asynchronous_and_batched_callables_run_side_by_side_and_failures_are_those_of_production() -> None:
    lines = [
        {"email": "a@tealfinch.example.com", "domain": "tealfinch.example.com", "message": "call me"},
        {"email": "b@nowhere.example.com", "domain": "nowhere.example.com", "message": "no plans"},
        {"email": "c@x.example.com", "domain": "x.example.com", "message": "   "},
    ]
    definition = pipeline.Definition(
        name="leads",
        folder=EXAMPLES / "callables",
        input={"text": "message", "empty": "accept"},
        classify={"use": "my_module:classify_many"},
        enrich=[{"use": "my_module:company"}],
        retry={"max_attempts": 3, "base_seconds": 300},
    )
    hot, cold, empty = run_definition(definition, lines, key_field="email")
    assert (hot.label, hot.confidence, hot.key) == ("hot", 0.9, "a@tealfinch.example.com")
    assert hot.enrichment["company"]["employees"] == 85
    assert cold.error is not None
    assert (cold.label, cold.state) == ("cold", "dead")
    assert (cold.error.kind, cold.error.stage) == ("permanent", "enrich")
    assert "no company at nowhere.example.com" in cold.error.message
    assert empty.error == pipeline.ItemFailure(
        pipeline.FailureKind.PERMANENT, "Permanent", "the message is empty", pipeline.Stage.CLASSIFY
    )
    assert (empty.label, empty.classification, empty.attempts) == (None, None, 1)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u00a0", "\u3000", "\ufeff", "\u200b \u00ad\u2028", "\u3164"])
def test_an_item_without_a_text_is_refused_unless_the_definition_accepts_it(text: str) -> None:
    classify = {"use": "keywords", "default": "other", "rules": [{"label": "x", "any": ["x"]}]}
    items = [{"text": "x"}, {"text": text}]
    definition = pipeline.Definition(name="texts", classify=classify)
    with pytest.raises(pipeline.InvalidItems, match=r"line 2: its text is empty \(field 'text'\).*`empty = "):
        run_definition(definition, items)
    accepting = pipeline.Definition(name="texts", classify=classify, input={"empty": "accept"})
    assert [result.label for result in run_definition(accepting, items)] == ["x", "other"]


@pytest.mark.parametrize("text", [".", "0", "❤️", "é", "\u0301", "退", "\U000e0001x"])
def test_whatever_a_reader_sees_is_a_text(text: str) -> None:
    classify = {"use": "keywords", "default": "other", "rules": [{"label": "x", "any": ["xyz"]}]}
    [result] = run_definition(pipeline.Definition(name="texts", classify=classify), [{"text": text}])
    assert result.label == "other"


def test_retries_follow_at_once_up_to_the_attempts_of_the_definition(tmp_path: Path) -> None:
    source = """
    from pipeline import Throttled, Transient

    throttled = set()

    def classify(item):
        if item.text == "slow" and item.attempt < 3:
            raise Transient("not yet")
        if item.text == "busy" and item.key not in throttled:
            throttled.add(item.key)
            raise Throttled("wait an hour", retry_after=3600)
        if item.text == "never":
            raise ConnectionError("the service is gone")
        if item.text == "closed":
            raise Throttled(retry_after=3600)
        return "done"
    """
    retry = {"max_attempts": 4, "base_seconds": 3600, "cap_seconds": 3600}
    items = [pipeline.Item({"text": text}, key=text) for text in ("slow", "busy", "never", "closed")]
    slow, busy, never, closed = run_definition(define(tmp_path, source, retry=retry), items)
    assert (slow.label, slow.attempts) == ("done", 3)
    assert (busy.label, busy.attempts) == ("done", 1)
    assert never.error is not None
    assert (never.state, never.attempts, never.error.type, never.error.kind) == (
        "dead",
        4,
        "ConnectionError",
        "transient",
    )
    assert closed.error is not None
    assert (closed.state, closed.error.kind) == ("dead", "throttled")


def test_an_enricher_knows_the_label_and_scores_reach_the_result(tmp_path: Path) -> None:
    source = """
    from pipeline import Classification

    def classify(item):
        return Classification("a", 0.75, {"a": 0.75, "b": 0.25})

    def enrich(item):
        return {"label": item.label, "confidence": item.confidence, "item": item.item_id, "attempt": item.attempt}
    """
    (result,) = run_definition(define(tmp_path, source, enrich=True), [{"text": "t"}])
    assert result.classification == pipeline.Classification("a", 0.75, {"a": 0.75, "b": 0.25})
    assert result.enrichment == {"enrich": {"label": "a", "confidence": 0.75, "item": "test-1", "attempt": 1}}


def test_items_are_checked_as_a_submission_is(tmp_path: Path) -> None:
    definition = define(tmp_path, "def classify(item): return 'a'")
    with pytest.raises(pipeline.InvalidItems, match="it has no field 'text'") as raised:
        run_definition(definition, [{"text": "a"}, {"body": "b"}])
    assert [each.line for each in raised.value.rejections] == [2]
    with pytest.raises(pipeline.InvalidItems, match="there is no item to run"):
        run_definition(definition, [])
    twice = [pipeline.Item({"text": "a"}, key="k"), pipeline.Item({"text": "b"}, key="k")]
    with pytest.raises(pipeline.InvalidItems, match="its key 'k' is the key of item 1 as well"):
        run_definition(definition, twice)
    called_back = pipeline.Item({"text": "a"}, callback_url="http://127.0.0.1:8080/hook")
    assert run_definition(definition, [called_back])[0].label == "a"


def test_a_definition_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    with pytest.raises(pipeline.NotFound, match="no definition 'nothing'"):
        run_definition("nothing", [{"text": "a"}])
    missing = pipeline.Definition(name="x", folder=tmp_path, classify={"use": "not_a_module_at_all:classify"})
    with pytest.raises(pipeline.InvalidDefinition, match="no module 'not_a_module_at_all'"):
        run_definition(missing, [{"text": "a"}])
