"""Escapes that stand in a text as characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.text.written_escapes import decode_escapes


@pytest.mark.parametrize(
    ("written", "decoded"),
    [
        (r"a\nb\tc\r", "a\nb\tc\n"),
        (r"\"a\" \/ \u0040 \x41 \\n", '"a" / @ A \n'),
        ("&lt;a&gt;&nbsp;&#64;&#x40;", "<a>\u00a0@@"),
        ("&amp;lt;", "<"),
        ("%20%40%C3%A4", " @ä"),
        ("%2540", "@"),
        ("=3D", "="),
        ("=C3=A4 =3Ca=3E so=\nft", "ä <a> soft"),
        ("=?utf-8?Q?a=40b?= =?utf-8?B?w6Q=?=", "a@b ä"),
    ],
)
def test_escapes_are_decoded(written: str, decoded: str) -> None:
    assert decode_escapes(written) == decoded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "100 % and 5%off",
        "%ff%de",
        "AT&T; &unknown;",
        "phone=2025550123",
        "a=40 b=20",
        r"C:\new\tools",
        r"C:\temp.txt",
        r"\\server\new\tools",
        r"D:\\data\\new",
        "=?unknown?Q?a=40b?=",
        "=?utf-8?B?not base64?=",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert decode_escapes(text) == text


def test_an_escape_before_an_address_is_not_a_path() -> None:
    assert decode_escapes(r"E:\nann@example.com") == "E:\nann@example.com"


@given(st.text(alphabet=st.sampled_from("\\nu0x4%&#;=3D?QButf-8 @a:\n"), max_size=40))
def test_any_text_is_decoded(text: str) -> None:
    assert isinstance(decode_escapes(text), str)
