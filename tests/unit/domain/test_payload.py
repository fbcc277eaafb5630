"""Which payloads are accepted, and why the others are rejected."""

from __future__ import annotations

import enum
import json
import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.payload import MAX_DEPTH, MAX_PAYLOAD_BYTES, encode, find_problem
from pipeline.errors import InvalidInput


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    LARGE = "large"


def nested(levels: int) -> dict:
    value: dict = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc:\\u0{", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", max_size=3), json_values, max_size=4))
def test_every_json_object_survives_a_round_trip(payload):
    assert find_problem(payload) is None
    assert json.loads(encode(payload)) == payload


def test_encoded_json_is_compact_and_not_escaped():
    assert encode({"a": [1, 2.5, None], "b": "é"}) == '{"a":[1,2.5,null],"b":"é"}'


@pytest.mark.parametrize(
    "payload",
    [
        MappingProxyType({"a": 1}),
        OrderedDict(a=1),
        {"a": (1, 2)},
        {"a": Size.LARGE},
        {"a": "{[" * 100},
        {"a": "a literal \\u0000 in six characters"},
        {"a": None},
    ],
)
def test_a_payload_that_only_looks_suspicious_is_accepted(payload):
    assert find_problem(payload) is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"created": datetime(2026, 1, 1, tzinfo=UTC)}, "payload.created is datetime, not JSON"),
        ({"a": [{"day": date(2026, 1, 1)}]}, "payload.a[0].day is date, not JSON"),
        ({"a": {"b c": Decimal(1)}}, "payload.a['b c'] is Decimal, not JSON"),
        ({"a": uuid.UUID(int=1)}, "payload.a is UUID, not JSON"),
        ({"a": Colour.RED}, "payload.a is Colour, not JSON"),
        ({"a": b"x"}, "payload.a is bytes, not JSON"),
        ({"a": {1, 2}}, "payload.a is set, not JSON"),
        ({"a": [float("nan")]}, "payload.a[0] is nan: JSON has neither NaN nor infinity"),
        ({"a": float("-inf")}, "payload.a is -inf"),
        ({"a": 2**64}, "payload.a is an integer beyond 64 bits"),
        ({"a": -(2**63) - 1}, "payload.a is an integer beyond 64 bits"),
        ({"a": "x\x00y"}, "payload.a contains a NUL character"),
        ({"a\x00": 1}, "payload has the key 'a\\x00', which contains a NUL character"),
        ({"a": "\ud800"}, "payload.a contains a lone surrogate"),
        ({"\udfff": 1}, "payload has the key '\\udfff', which contains a lone surrogate"),
        ({"a": {1: 2}}, "payload.a has the key 1, int; JSON keys must be strings"),
        ([], "payload is list, not an object"),
        (None, "payload is null, not an object"),
        ("text", "payload is str, not an object"),
    ],
)
def test_rejecting_a_value_that_is_not_json_names_its_path(payload, reason):
    assert (find_problem(payload) or "").startswith(reason)
    with pytest.raises(InvalidInput):
        encode(payload)


def test_nesting_is_allowed_up_to_the_limit():
    assert find_problem(nested(MAX_DEPTH)) is None
    assert find_problem(nested(MAX_DEPTH + 1)) == f"payload is nested deeper than {MAX_DEPTH} levels"
    assert find_problem(nested(900)) == f"payload is nested deeper than {MAX_DEPTH} levels"


def test_a_payload_that_contains_itself_is_rejected():
    payload: dict = {}
    payload["self"] = payload
    assert "nested deeper" in (find_problem(payload) or "")


def test_size_is_measured_in_bytes_of_compact_json():
    limit = MAX_PAYLOAD_BYTES - len('{"a":""}')
    assert find_problem({"a": "x" * limit}) is None
    assert find_problem({"a": "x" * (limit + 1)}) == "payload has 262,145 bytes as JSON; the limit is 262,144"
    assert "262,14" in (find_problem({"a": "é" * (limit // 2 + 1)}) or "")
    assert find_problem({"a": "x" * 20}, max_bytes=10) == "payload has 28 bytes as JSON; the limit is 10"


def test_a_message_never_shows_the_value():
    problem = find_problem({"token": {"secret": "top-secret\x00"}}) or ""
    assert "secret" not in problem.replace("payload.token.secret", "")
