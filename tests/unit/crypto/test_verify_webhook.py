"""Anybody can send a request: with any headers, it verifies or is refused."""

from __future__ import annotations

import math
from email.header import Header
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import InvalidArgument, InvalidSecret, InvalidWebhook, verify_webhook
from pipeline.testing import sign_webhook
from tests.support.fuzz import HOSTILE_TEXTS, fuzzed
from tests.support.receiver import SECRET

BODY = b'{"type":"item.completed"}'
NAMES = ("webhook-id", "webhook-timestamp", "webhook-signature")
ODD: tuple[Any, ...] = (None, 5, b"x", ["x"], ("x",), {}, object(), Header("é"), math.nan)


def signed() -> dict[str, Any]:
    return dict(sign_webhook(BODY, SECRET))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["a\udce9", "\ud800", "\x00", "é", "", " ", "9" * 5_000, "٣", *ODD])
def test_an_odd_header_is_no_webhook(name: str, value: Any) -> None:
    with pytest.raises(InvalidWebhook):
        verify_webhook(BODY, {**signed(), name: value}, SECRET)


def test_an_odd_header_beside_those_of_a_webhook_is_ignored() -> None:
    others = {"\udce9": "x", 5: "x", None: "x", b"webhook-id": b"x", "x": "\udce9"}
    assert verify_webhook(BODY, {**signed(), **others}, SECRET)  # type: ignore[dict-item]


values = st.sampled_from([*HOSTILE_TEXTS, *ODD]) | st.text(st.characters())


@fuzzed(200)
@given(headers=st.dictionaries(st.sampled_from(NAMES), values), secret=values, body=st.binary())
def test_fuzzed_requests_are_refused(headers: dict[str, Any], secret: Any, body: bytes) -> None:
    with pytest.raises((InvalidWebhook, InvalidSecret)):
        verify_webhook(body, {**signed(), **headers}, secret)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("body", "text"),
        ("body", None),
        ("headers", None),
        ("headers", "webhook-id: x"),
        ("tolerance_seconds", math.nan),
        ("tolerance_seconds", -1),
        ("tolerance_seconds", "300"),
        ("now", math.nan),
        ("now", "today"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(name: str, value: Any) -> None:
    given: dict[str, Any] = {"body": BODY, "headers": signed(), "secret": SECRET, name: value}
    with pytest.raises(InvalidArgument, match=f"^{name} is "):
        verify_webhook(**given)


@pytest.mark.parametrize("body", [bytearray(BODY), memoryview(BODY)])
def test_a_body_may_be_any_bytes(body: Any) -> None:
    assert verify_webhook(body, signed(), SECRET) == {"type": "item.completed"}
