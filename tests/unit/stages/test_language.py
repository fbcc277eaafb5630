"""The language enricher, with the model that comes with its package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.enrichers.language import Spec, build, files

UNKNOWN = {"language": None, "confidence": 0.0}


def item(text: str = "", **payload: Any) -> WorkItem:
    return WorkItem(id=1, item_id="b-1", batch_id="b", key=None, payload=payload, text=text, attempt=1)


def spec(**options: Any) -> Spec:
    return Spec.model_validate({"use": "language", **options})


def detect(text: str, **options: Any) -> dict[str, Any]:
    (answer,) = build(spec(**options), Path()).call([item(text)])
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my order? I have been waiting for two weeks.", "en"),
        ("Wo ist meine Bestellung? Ich warte schon zwei Wochen.", "de"),
        ("Bonjour, je voudrais annuler ma commande.", "fr"),
        ("GUTEN TAG, WO BLEIBT MEINE LIEFERUNG?", "de"),
        ("Где мой заказ? Я жду уже две недели.", "ru"),
        ("この製品はとても良いです", "ja"),
        ("你好世界", "zh"),
    ],
)
def test_the_language_is_told_with_a_confidence(text: str, language: str) -> None:
    answer = detect(text)
    assert answer["language"] == language
    assert 0.5 < answer["confidence"] <= 1.0


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "ok", "123 456 789", "?!…", "\x00\x00"])
def test_a_text_without_enough_letters_has_no_language(text: str) -> None:
    assert detect(text) == UNKNOWN


def test_text_behind_a_line_break_counts() -> None:
    assert detect("1234\r\n\nBonjour, je voudrais annuler ma commande.")["language"] == "fr"


def test_an_unsure_answer_is_null_where_a_confidence_is_asked_for() -> None:
    sure = detect("Where is my order?")
    assert sure["confidence"] < 1
    answer = detect("Where is my order?", min_confidence=1)
    assert answer == {"language": None, "confidence": sure["confidence"]}


def test_a_batch_is_answered_in_order() -> None:
    texts = ["Where is my order, please?", "", "Bonjour, je voudrais annuler ma commande."]
    answers = build(spec(), Path()).call([item(text) for text in texts])
    assert [answer["language"] for answer in answers] == ["en", None, "fr"]


def test_a_payload_field_is_read_where_named_and_null_counts_as_empty() -> None:
    step = build(spec(field="mail.body"), Path())
    answers = step.call(
        [item("x", mail={"body": "Bonjour, je voudrais annuler"}), item("x", mail={"body": None}), item()]
    )
    assert answers[0]["language"] == "fr"
    assert answers[1] == UNKNOWN
    assert isinstance(answers[2], Permanent)
    assert "'mail.body'" in str(answers[2])


def test_the_answer_bears_the_name_given() -> None:
    assert build(spec(), Path()).name == "language"
    assert build(spec(name="lang"), Path()).name == "lang"


def test_nothing_is_pinned_by_hash() -> None:
    assert files(spec()) == ()


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="model"):
        spec(model="full")


def test_detection_opens_no_connection() -> None:
    code = """
import sys
from pathlib import Path
from pipeline.domain.item import WorkItem
from pipeline.stages.enrichers.language import Spec, build

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise SystemExit(f"the network was used: {event}")

sys.addaudithook(watch)
answers = build(Spec(use="language"), Path()).call([WorkItem(1, "b-1", "b", None, {}, "Where is my order?", 1)])
print(answers[0]["language"])
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert shown.stdout.strip() == "en"


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_any_text_is_answered(text: str) -> None:
    answer = detect(text)
    assert 0.0 <= answer["confidence"] <= 1.0
    assert answer["language"] is None or answer["language"].isascii()


def test_a_lone_surrogate_is_answered() -> None:
    assert detect("\ud800 where is my order, please?")["language"] == "en"
