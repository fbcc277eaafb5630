"""The keywords classifier: which label a text gets, and the messages for invalid rules."""

from __future__ import annotations

import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.domain.item import Classification, WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.classifiers.keywords import Spec, all_labels, build, files


def item(text: str = "", **payload: Any) -> WorkItem:
    return WorkItem("b-1", "b", payload, text)


def spec(*rules: dict[str, Any], **options: Any) -> Spec:
    return Spec.model_validate({"use": "keywords", "rules": rules, "default": "other", **options})


def classify(text: str, *rules: dict[str, Any], **options: Any) -> str:
    (answer,) = build(spec(*rules, **options), Path()).call([item(text)])
    assert isinstance(answer, Classification)
    return answer.label


BILLING = {"label": "billing", "any": ["refund", "credit card"]}


def test_a_matching_rule_determines_the_label() -> None:
    assert classify("I want a refund.", BILLING) == "billing"


def test_a_text_that_no_rule_matches_gets_the_default() -> None:
    assert classify("I cannot log in", BILLING) == "other"


def test_an_empty_text_gets_the_default() -> None:
    assert classify("", BILLING) == "other"


def test_answers_have_no_confidence() -> None:
    assert build(spec(BILLING), Path()).call([item("refund")]) == [Classification("billing", None, None)]


def test_case_is_ignored_by_default() -> None:
    assert classify("REFUND!", BILLING) == "billing"
    assert classify("REFUND!", BILLING, case_sensitive=True) == "other"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("straße", "STRASSE 5"),
        ("école", "une E\u0301COLE"),
        ("ΟΔΟΣ", "οδος"),
        ("ﬁle", "FILE"),
        ("ДОМ", "мой дом"),
    ],
)
def test_case_is_folded_by_unicode_rules(word: str, text: str) -> None:
    assert classify(text, {"label": "hit", "any": [word]}) == "hit"


@pytest.mark.parametrize("text", ["refunded", "prerefund", "refund2", "refund\u0301"])
def test_a_word_inside_a_longer_word_does_not_match(text: str) -> None:
    assert classify(text, BILLING) == "other"
    assert classify(text, BILLING, whole_words=False) == "billing"


@pytest.mark.parametrize("text", ["(refund)", "refund, please", "no_refund", "the-refund", "refund\n", "«refund»"])
def test_punctuation_ends_a_word(text: str) -> None:
    assert classify(text, BILLING) == "billing"


def test_white_space_in_a_phrase_matches_any_white_space() -> None:
    assert classify("my credit \n card", BILLING) == "billing"
    assert classify("my creditcard", BILLING) == "other"


def test_a_word_boundary_is_only_required_next_to_a_letter() -> None:
    assert classify("C++17 code", {"label": "cpp", "any": ["c++"]}) == "cpp"
    assert classify("abc++", {"label": "cpp", "any": ["c++"]}) == "other"


@pytest.mark.parametrize(
    ("word", "text"), [("退款", "我要退款谢谢"), ("ยกเลิก", "ขอยกเลิกครับ"), ("iphone", "iPhone手机")]
)
def test_words_in_scripts_without_spaces_match_anywhere(word: str, text: str) -> None:
    assert classify(text, {"label": "hit", "any": [word]}) == "hit"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("don't", "I don’t know"),
        ("don’t", "I don't know"),
        ("don't", "I don\u275ct know"),
        ("σ'αγαπώ", "σ᾽αγαπώ"),
        ('"late"', "it is ❝late❞"),
        ("e-mail", "an e‑mail"),
        ("e-mail", "an e⁃mail"),
        ("credit card", "credit\u2800card"),
        ("cancel", "ｃａｎｃｅｌ"),
        ("refund", "re\u00adfund"),
        ("credit card", "credit\u00a0card"),
        ("iade", "İADE talebi"),
        ("kızgın", "ÇOK KIZGINIM KIZGIN"),
        ("refund", "𝗿𝗲𝗳𝘂𝗻𝗱"),
        ("खोज\u200dना", "खोजना"),
        ("می\u200cخواهم", "میخواهم"),
    ],
)
def test_a_word_is_found_in_every_form_that_a_reader_considers_equal(word: str, text: str) -> None:
    assert classify(text, {"label": "hit", "any": [word]}) == "hit"
    assert classify(text, {"label": "hit", "any": [text.split()[-1]], "none": [word]}) == "other"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("won", "it won't start"),
        ("won", "it won’t start"),
        ("can", "I CAN'T"),
        ("t", "don't"),
        ("re", "we're"),
        ("brien", "O'Brien"),
        ("hui", "aujourd'hui"),
        ("сім", "моя сім'я"),
        ("סר", "צה'סר"),
        ("000", "5'000"),
    ],
)
def test_an_apostrophe_inside_a_word_does_not_end_it(word: str, text: str) -> None:
    assert classify(text, {"label": "hit", "any": [word]}) == "other"
    assert classify(text, {"label": "hit", "any": [word]}, whole_words=False) == "hit"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("won't", "it won’t start"),
        ("ami", "l'ami"),
        ("annulation", "demande d’annulation"),
        ("il", "Qu'il"),
        ("ordine", "dell'ordine"),
        ("ann", "Ann's"),
        ("we", "we'll"),
        ("foto", "foto's"),
        ("ankara", "Ankara'da"),
        ("istanbul", "İstanbul’dan"),
        ("refund", "'refund'"),
        ("refund", "‘refund’s"),
        ("退款", "'退款'吗"),
        ("환불", "'환불'을"),
    ],
)
def test_an_apostrophe_between_two_words_ends_one(word: str, text: str) -> None:
    assert classify(text, {"label": "hit", "any": [word]}) == "hit"


@pytest.mark.parametrize(
    "text",
    [
        "환불",
        "환불을 원해요",
        "환불이",
        "환불은요?",
        "환불해 주세요",
        "환불받고",
        "환불요청",
        "카드 환불과",
        "VIP환불",
        "환불OK",
    ],
)
def test_a_korean_word_may_be_followed_by_particles(text: str) -> None:
    assert classify(text, {"label": "hit", "any": ["환불"]}) == "hit"


def test_a_korean_word_begins_where_the_text_has_a_word() -> None:
    assert classify("미환불", {"label": "hit", "any": ["환불"]}) == "other"


@pytest.mark.parametrize("text", ["iPhone을", "iPhone手机", "iPhoneを"])
def test_a_foreign_word_may_be_followed_by_particles(text: str) -> None:
    assert classify(text, {"label": "hit", "any": ["iphone"]}) == "hit"


@pytest.mark.parametrize(
    ("word", "text", "label"),
    [
        ("استرداد", "أريد الاسترداد", "hit"),
        ("استرداد", "للاسترداد", "hit"),
        ("استرداد", "أاسترداد", "other"),
        ("החזר", "אני רוצה את ההחזר", "hit"),
        ("החזר", "בהחזר", "hit"),
        ("החזר", "אבהחזר", "other"),
    ],
)
def test_an_arabic_or_hebrew_word_may_be_preceded_by_particles(word: str, text: str, label: str) -> None:
    assert classify(text, {"label": "hit", "any": [word]}) == label


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("សំណង", "ខ្ញុំចង់បានសំណងវិញ"),
        ("ປະເທດ", "ຂ້ອຍຢູ່ປະເທດລາວ"),
        ("ငွေ", "ကျွန်တော်ငွေပြန်"),
        ("返金", "すぐ返金して"),
    ],
)
def test_words_are_found_in_each_script_without_spaces(word: str, text: str) -> None:
    assert classify(text, {"label": "hit", "any": [word]}) == "hit"


def test_the_first_rule_in_the_file_wins() -> None:
    assert classify("refund", {"label": "a", "any": ["refund"]}, {"label": "b", "any": ["refund"]}) == "a"


def test_priority_overrides_file_order() -> None:
    rules = ({"label": "a", "any": "refund"}, {"label": "b", "any": "refund", "priority": 1})
    assert classify("refund", *rules) == "b"


def test_all_words_of_all_must_occur() -> None:
    rule = {"label": "card", "all": ["card", "lost"]}
    assert classify("lost my card", rule) == "card"
    assert classify("my card", rule) == "other"


def test_a_rule_with_all_and_any_needs_both() -> None:
    rule = {"label": "card", "all": ["card"], "any": ["lost", "stolen"]}
    assert classify("card stolen", rule) == "card"
    assert classify("card", rule) == "other"
    assert classify("stolen", rule) == "other"


def test_a_word_of_none_prevents_a_match() -> None:
    rule = {"label": "billing", "any": ["refund"], "none": ["thanks"]}
    assert classify("refund", rule) == "billing"
    assert classify("thanks for the refund", rule) == "other"


def test_overlapping_words_are_all_found() -> None:
    rule = {"label": "hit", "all": ["credit card", "card number", "credit card number"]}
    assert classify("my credit card number", rule) == "hit"


def test_a_pattern_is_an_alternative_to_the_words() -> None:
    rule = {"label": "order", "any": ["parcel"], "regex": r"order\s+#?\d{4}"}
    assert classify("ORDER #1234", rule) == "order"
    assert classify("my parcel", rule) == "order"
    assert classify("order it", rule) == "other"


def test_a_pattern_does_not_replace_the_words_of_all() -> None:
    rule = {"label": "order", "all": ["late"], "regex": r"\d{4}"}
    assert classify("late 1234", rule) == "order"
    assert classify("1234", rule) == "other"
    assert classify("late", rule) == "other"


def test_a_pattern_is_case_sensitive_only_on_request() -> None:
    assert classify("ÉCOLE", {"label": "hit", "regex": "école"}) == "hit"
    assert classify("ÉCOLE", {"label": "hit", "regex": "école"}, case_sensitive=True) == "other"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("café", "cafe\u0301"),
        ("cafe\u0301", "café"),
        ("don't", "don’t"),
        ("don’t", "don't"),
        ("[‘’]s", "Ann's"),
        (r"order\s\d+", "order\u00a012"),
        ("cancel", "ｃａｎｃｅｌ"),
        ("退款？", "退款?"),
        ("refund", "re\u00adfund"),
        ("iade", "İADE"),
        ("kızgın", "KIZGIN"),
        (r"(?:^|\PL)état", "mon état"),
        ("5–7", "5-7"),
    ],
)
def test_a_pattern_is_searched_in_the_normalized_text(pattern: str, text: str) -> None:
    assert classify(text, {"label": "hit", "regex": pattern}) == "hit"


def test_a_full_width_sign_in_a_pattern_is_no_operator() -> None:
    assert classify("退", {"label": "hit", "regex": "退款？"}) == "other"
    assert classify("b", {"label": "hit", "regex": "[a–z]"}) == "other"


def test_a_pattern_prone_to_catastrophic_backtracking_runs_in_linear_time() -> None:
    assert classify("a" * 20_000 + "!", {"label": "hit", "regex": "(a+)+$"}) == "other"


@pytest.mark.parametrize(("pattern", "reason"), [("(", "missing )"), (r"(?<=a)b", "(?<"), (r"(a)\1", r"\1")])
def test_the_error_for_an_invalid_pattern_names_rule_pattern_and_reason(pattern: str, reason: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        build(spec(BILLING, {"label": "bad", "regex": pattern}), Path())
    message = str(caught.value)
    assert "rule 2 (label 'bad')" in message
    assert repr(pattern) in message
    assert reason in message


def test_without_a_default_an_unmatched_item_fails_alone() -> None:
    unmatched, matched = build(spec(BILLING, default=None), Path()).call([item("hello"), item("refund")])
    assert isinstance(unmatched, Permanent)
    assert "no rule matched" in str(unmatched)
    assert matched == Classification("billing")


def test_field_selects_a_payload_field() -> None:
    step = build(spec(BILLING, field="ticket.subject"), Path())
    assert step.call([item("x", ticket={"subject": "refund"})]) == [Classification("billing")]


@pytest.mark.parametrize("payload", [{}, {"ticket": {"subject": 5}}, {"ticket": ["subject"]}])
def test_the_error_for_a_missing_field_names_it(payload: dict[str, Any]) -> None:
    (answer,) = build(spec(BILLING, field="ticket.subject"), Path()).call([item("refund", **payload)])
    assert isinstance(answer, Permanent)
    assert "'ticket.subject'" in str(answer)


def test_all_labels_are_those_of_the_rules_and_the_default() -> None:
    rules = ({"label": "b", "any": "x"}, {"label": "a", "any": "y"}, {"label": "b", "any": "z"})
    assert all_labels(spec(*rules)) == ("b", "a", "other")


@pytest.mark.parametrize(
    ("rules", "options", "message"),
    [
        ([], {}, "at least 1"),
        ([{"label": "a"}], {}, "has no condition"),
        ([{"label": "a", "none": ["x"]}], {}, "has no condition"),
        ([{"label": "a", "any": ["x", " "]}], {}, "a word is empty"),
        ([{"label": "a", "any": ["x", "\u00ad"]}], {}, "invisible"),
        ([{"label": "", "any": ["x"]}], {}, "at least 1"),
        ([{"label": "a", "any": ["x"], "anny": ["y"]}], {}, "anny"),
        ([{"label": "a", "any": ["x"]}], {"labels": ["b", "other"]}, r"\['a'\]"),
        ([{"label": "a", "any": ["x"]}], {"labels": ["a"]}, r"\['other'\]"),
        ([{"label": "a", "any": ["x"]}], {"field": "a[x]"}, "brackets"),
    ],
)
def test_an_invalid_rule_is_rejected(rules: list[dict[str, Any]], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(*rules, **options)


def test_no_file_is_pinned() -> None:
    assert files(spec(BILLING)) == ()


def test_importing_the_module_does_not_import_its_extra() -> None:
    code = (
        "import sys, pipeline.stages.classifiers.keywords; sys.exit(bool({'re2', 'ahocorasick_rs'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_error_for_a_missing_extra_has_the_command_that_installs_it() -> None:
    code = """
import sys
from pathlib import Path
sys.modules["ahocorasick_rs"] = None
from pipeline.stages.classifiers.keywords import Spec, build
try:
    build(Spec.model_validate({"use": "keywords", "rules": [{"label": "a", "any": "b"}]}), Path())
except Exception as error:
    print(type(error).__name__, error)
"""
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60).stdout
    assert output.startswith("InvalidDefinition")
    assert "pip install 'pipeline[keywords]'" in output


WORDS = st.text(alphabet="ab", min_size=1, max_size=3)


@given(words=st.lists(WORDS, min_size=1, max_size=5), text=st.lists(WORDS, max_size=8))
def test_whole_words_match_between_spaces(words: list[str], text: list[str]) -> None:
    expected = "hit" if set(words) & set(text) else "other"
    assert classify(" ".join(text), {"label": "hit", "any": words}) == expected


@given(words=st.lists(WORDS, min_size=1, max_size=5), text=st.text(alphabet="ab c", max_size=12))
def test_partial_words_match_anywhere_in_the_text(words: list[str], text: str) -> None:
    expected = "hit" if all(word in text for word in words) else "other"
    assert classify(text, {"label": "hit", "all": words}, whole_words=False) == expected


@given(text=st.text(max_size=40), word=st.text(alphabet=string.ascii_letters, min_size=1, max_size=5))
def test_a_word_is_found_in_any_text(text: str, word: str) -> None:
    assert classify(f"{text} {word} {text}", {"label": "hit", "any": [word]}) == "hit"
