"""The encodings that a rejection proposes: the right one is among them, and none is applied."""

from __future__ import annotations

import io

import pytest

from pipeline.sources import Rejection, read_items

TEXTS = {
    "cp1252": ["Müller aus Köln, Weiß aus Würzburg", "déjà vu à l'école, café crème", "“quoted” – 5 €", "caf\xe9"],
    "cp1250": ["příliš žluťoučký kůň", "Zażółć gęślą jaźń", "Árvíztűrő tükörfúrógép"],
    "cp1251": ["Привет, как дела?", "Москва"],
    "big5": ["請問如何退款", "謝謝您的幫助"],
    "gb18030": ["请问如何退款", "我要退款，谢谢。"],
    "shift_jis": ["返金をお願いします", "ありがとうございました"],
    "cp949": ["환불을 원해요", "감사합니다"],
}


@pytest.mark.parametrize(("encoding", "text"), [(name, text) for name, texts in TEXTS.items() for text in texts])
def test_the_right_encoding_is_among_the_proposed(encoding, text):
    content = f"id,text\n1,{text}\n2,ok\n".encode(encoding)
    rejection, record = read_items("-", stdin=io.BytesIO(content))
    assert isinstance(rejection, Rejection)
    proposed = rejection.reason.rpartition("perhaps ")[2].replace(" or ", ", ").split(", ")
    assert encoding in proposed
    assert len(proposed) <= 3
    assert record.payload == {"id": "2", "text": "ok"}


def test_the_end_of_a_long_input_decides_as_well():
    content = b"id,text\n" + (b"1," + b"o" * 997 + b"\n") * 1_500 + "2,返金　をお願いします\n".encode("shift_jis")
    *_, last = read_items("-", stdin=io.BytesIO(content))
    assert last.reason.startswith("byte 1,500,010 of the input (0x95) is not valid UTF-8; ")
    assert last.reason.endswith("perhaps shift_jis, gb18030 or cp1251")


def test_bytes_that_no_common_encoding_has_are_said_to_be_damaged():
    (rejection,) = read_items("-", stdin=io.BytesIO(b"text\n\x81\x00\xff\xff\x98 \x90\n"))
    assert rejection.reason.endswith(
        "none of the common encodings fits; if you know the right one, name it with --encoding"
    )


def test_nothing_is_proposed_for_half_a_character_of_utf16():
    _, rejection = read_items("-", stdin=io.BytesIO("text\na\n".encode("utf-16") + b"\x00"))
    assert rejection.reason.startswith("column 1 (byte 0x00) is not valid utf-16; none of the common encodings fits")


def test_another_encoding_than_the_named_one_is_proposed():
    (rejection,) = read_items("-", stdin=io.BytesIO("text\nÁrvíz\n".encode()), encoding="cp1252")
    assert (
        "is not valid cp1252; if the file is not cp1252, name its encoding with --encoding, perhaps utf-8"
        in rejection.reason
    )
