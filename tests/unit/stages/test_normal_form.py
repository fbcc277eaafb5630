"""The normal form of texts: what is equal to what, and what is deliberately not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.text.normal_form import fold, normalize

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("variant", ["’", "‘", "ʼ", "＇", "‛", "′", "ʻ", "´", "`", "՚", "׳"])
def test_apostrophes_are_equal(variant: str) -> None:
    assert normalize(f"don{variant}t") == "don't"


@pytest.mark.parametrize("variant", ["‐", "‑", "‒", "–", "−", "－", "﹣", "־"])
def test_hyphens_are_equal(variant: str) -> None:
    assert normalize(f"e{variant}mail") == "e-mail"


@pytest.mark.parametrize("variant", ["“buy”", "„buy“", "＂buy＂", "״buy״"])
def test_quotation_marks_are_equal(variant: str) -> None:
    assert normalize(variant) == '"buy"'


@pytest.mark.parametrize("variant", [*"\u00a0\u1680\u2002\u2003\u2007\u2009\u200a\u202f\u205f\u3000"])
def test_spaces_are_equal(variant: str) -> None:
    assert normalize(f"credit{variant}card") == "credit card"


@pytest.mark.parametrize("separator", ["\u0085", "\u2028", "\u2029"])
def test_line_separators_are_line_breaks(separator: str) -> None:
    assert normalize(f"one{separator}two") == "one\ntwo"


@pytest.mark.parametrize(
    "invisible",
    [*"\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u202e\u2060\u2064\u2069\ufe0f\ufeff\U000e0101", "\u115f\u1160"],
)
def test_invisible_characters_are_removed(invisible: str) -> None:
    assert normalize(f"re{invisible}fund") == "refund"


@pytest.mark.parametrize(
    ("variant", "plain"),
    [
        ("ｃａｎｃｅｌ，１２", "cancel,12"),
        ("ﾊﾝｶﾞｸ", "ハンガク"),
        ("ﬁle ﬂow", "file flow"),
        ("𝗿𝗲𝗳𝘂𝗻𝗱", "refund"),
        ("Ⅳ", "IV"),
        ("⾦", "金"),
        ("ﻣﺮﺣﺒﺎ", "مرحبا"),
        ("مـــرحبا", "مرحبا"),
        ("\ufe77", "\u064e"),
        ("wait…", "wait..."),
        ("น\u0e4d\u0e49า", "น้ำ"),
        ("ນ\u0ecd\u0ec9າ", "ນ້ຳ"),
        ("❤️", "❤"),
        ("e\u034f\u0301", "é"),
        ("\u212b", "Å"),
        ("\u1112\u116a\u11ab", "환"),
    ],
)
def test_variants_of_a_character_are_equal(variant: str, plain: str) -> None:
    assert normalize(variant) == plain


@pytest.mark.parametrize(
    "text",
    [
        "10²",
        "½",
        "①",
        "№ 5",
        "㈱",
        "™",
        "ㅋㅋㅋ",
        "น้ำ",
        "a—b",
        "«x»",
        "`code`",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "résumé",
        "аbc",
        "٣",
        "Ärger",
        "ẞ",
    ],
)
def test_what_a_reader_tells_apart_is_kept(text: str) -> None:
    assert normalize(text) == text


@pytest.mark.parametrize(
    ("variant", "plain"),
    [
        ("İADE", "iade"),
        ("I\u0307ADE", "iade"),
        ("KIZGIN", "kızgın"),
        ("STRASSE", "straße"),
        ("ẞ", "ss"),
        ("ΟΔΟΣ", "οδος"),
        ("Į\u0307", "į"),
        ("ＣＡＮＣＥＬ", "cancel"),
        ("DON’T", "don't"),
    ],
)
def test_folding_ignores_case(variant: str, plain: str) -> None:
    assert fold(variant) == fold(plain)


@given(TEXTS)
def test_normalizing_twice_changes_nothing(text: str) -> None:
    for form in (normalize, fold):
        assert form(form(text)) == form(text)


@given(TEXTS)
def test_canonically_equivalent_texts_are_equal(text: str) -> None:
    for form in (normalize, fold):
        assert form(unicodedata.normalize("NFD", text)) == form(text)
        assert unicodedata.is_normalized("NFC", form(text))


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=30).filter(lambda text: "`" not in text))
def test_ascii_stays_as_it_is(text: str) -> None:
    assert normalize(text) == text
    assert fold(text) == text.lower()


def test_no_character_of_latin_1_is_overlooked() -> None:
    for char in map(chr, range(256)):
        assert normalize(f"ä {char} ä") == normalize(f"ä {char} ä\u2019")[:-1]
        assert normalize(f"ä{char}ä") == normalize(f"ä{char}ä\u2019")[:-1]
