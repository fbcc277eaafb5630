"""The language enricher, with the model that ships with its package."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.catalog.step import Step
from pipeline.stages.enrichers.language import Spec, build, files

UNKNOWN = {"language": None, "confidence": 0.0}


def item(text: str = "", **payload: Any) -> WorkItem:
    return WorkItem("b-1", "b", payload, text)


def spec(**options: Any) -> Spec:
    return Spec.model_validate({"use": "language", **options})


@cache
def load(**options: Any) -> Step:
    return build(spec(**options), Path())


def detect(text: str, **options: Any) -> dict[str, Any]:
    (answer,) = load(**options).call([item(text)])
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
def test_the_language_is_detected_with_a_confidence(text: str, language: str) -> None:
    answer = detect(text)
    assert answer["language"] == language
    assert 0.5 < answer["confidence"] <= 1.0


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "ok", "123 456 789", "?!…", "\x00\x00"])
def test_a_text_without_enough_letters_has_no_language(text: str) -> None:
    assert detect(text) == UNKNOWN


@pytest.mark.parametrize("text", ["退款", "ACME XJKW", "I love it", "ⲁⲃⲅⲇ"])
def test_a_text_of_which_the_model_knows_nothing_has_no_language(text: str) -> None:
    assert detect(text) == UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "https://www.example.com/ordering/where-is-my-order",
        "HTTP://EXAMPLE.COM/PATH ftp://files.example.org",
        "www.example.com/orders",
        "example.com",
        "ann.miller+orders@example.com",
        "❤️ 👍🏽 👩‍💻 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ☎ ✓",
        "A1B2C3D4 2024-11-30 10kg",
        "```\nfor order in orders:\n    print(order)\n```",
        "`SELECT orders FROM customers`",
        "<div class='order'><br/></div>&nbsp;",
        "/usr/local/share/orders C:\\Users\\ann\\orders",
        "where_is_my_order()",
        "(https://example.com/a_(b)) <https://example.com> [1] #42 :-) -- •",
        "tel:+4930123456",
        "@ann_miller",
        "12:30 1.2.3.4 2001:db8::1 $5.00 v1.2.3",
        "rechnung.docx where-is-my-order.html invoice_2024.pdf",
        "shop.example.de",
        "http://例え.jp/ http://例え.テスト",
        "git@example.com:org/orders.git",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg",
    ],
)
def test_what_is_in_no_language_has_none_and_changes_no_answer(text: str) -> None:
    assert detect(text) == UNKNOWN
    assert detect(f"Danke {text}") == detect("Danke")
    assert detect(f"{text}\nBonjour, je voudrais annuler") == detect("Bonjour, je voudrais annuler")


def test_text_written_onto_an_address_is_read() -> None:
    assert detect("请看https://example.com/a你好世界")["language"] == "zh"
    assert detect("请发邮件到ann@example.com谢谢你的帮助")["language"] == "zh"


@pytest.mark.parametrize(
    "text",
    [
        "환불해 주세요",
        "Je suis très déçu",
        "Tôi muốn hoàn tiền",
        "ｗｈｅｒｅ ｉｓ ｍｙ ｏｒｄｅｒ",
        "I don’t know",
        "re\u00adfund it now",
    ],
)
def test_equal_texts_have_equal_answers(text: str) -> None:
    decomposed = unicodedata.normalize("NFD", text)
    composed = unicodedata.normalize("NFKC", text.replace("’", "'").replace("\u00ad", ""))
    assert detect(text) == detect(decomposed) == detect(composed)
    assert detect(text)["language"] is not None


def test_text_after_a_line_break_is_read() -> None:
    assert detect("1234\r\n\nBonjour, je voudrais annuler ma commande.")["language"] == "fr"


def test_an_answer_below_min_confidence_is_null() -> None:
    answer = detect("Where is my order?")
    assert answer["confidence"] < 1
    too_low = detect("Where is my order?", min_confidence=1)
    assert too_low == {"language": None, "confidence": answer["confidence"]}


def test_answers_are_in_the_order_of_the_items() -> None:
    texts = ["Where is my order, please?", "", "Bonjour, je voudrais annuler ma commande."]
    answers = build(spec(), Path()).call([item(text) for text in texts])
    assert [answer["language"] for answer in answers] == ["en", None, "fr"]


def test_field_selects_a_payload_field_and_null_counts_as_empty() -> None:
    step = build(spec(field="mail.body"), Path())
    answers = step.call(
        [item("x", mail={"body": "Bonjour, je voudrais annuler"}), item("x", mail={"body": None}), item()]
    )
    assert answers[0]["language"] == "fr"
    assert answers[1] == UNKNOWN
    assert isinstance(answers[2], Permanent)
    assert "'mail.body'" in str(answers[2])


def test_the_name_of_the_answer_can_be_chosen() -> None:
    assert build(spec(), Path()).name == "language"
    assert build(spec(name="lang"), Path()).name == "lang"


def test_no_file_is_pinned() -> None:
    assert files(spec()) == ()


def test_an_unknown_option_is_rejected() -> None:
    with pytest.raises(ValidationError, match="model"):
        spec(model="full")


def test_detection_opens_no_connection() -> None:
    code = """
import sys
import unicodedata
from functools import cache
from pathlib import Path
from pipeline.domain.item import WorkItem
from pipeline.stages.catalog.step import Step
from pipeline.stages.enrichers.language import Spec, build

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        raise SystemExit(f"the network was used: {event}")

sys.addaudithook(watch)
answers = build(Spec(use="language"), Path()).call([WorkItem("b-1", "b", {}, "Where is my order?")])
print(answers[0]["language"])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "en"


@given(st.text(max_size=200))
def test_any_text_gets_an_answer(text: str) -> None:
    answer = detect(text)
    assert 0.0 <= answer["confidence"] <= 1.0
    assert answer["language"] is None or answer["language"].isascii()


def test_a_text_with_a_lone_surrogate_gets_an_answer() -> None:
    assert detect("\ud800 where is my order, please?")["language"] == "en"
