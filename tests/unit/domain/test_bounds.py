"""Bounds of arguments."""

from __future__ import annotations

import math
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from pipeline.domain.bounds import FAIR_KEY, IDEMPOTENCY_KEY, LIMIT, SEQ, WEIGHT, Number, Text, WholeNumber
from pipeline.errors import InvalidArgument


class One(IntEnum):
    ONE = 1


class Key(StrEnum):
    KEY = "key"


def test_the_bounds_are_those_of_the_documentation() -> None:
    assert (WEIGHT.least, WEIGHT.most) == (1, 1_000_000)
    assert (LIMIT.least, LIMIT.most) == (1, 100_000)
    assert (SEQ.least, SEQ.most) == (0, 2**63 - 1)
    assert (IDEMPOTENCY_KEY.least, IDEMPOTENCY_KEY.most) == (1, 255)
    assert (FAIR_KEY.least, FAIR_KEY.most) == (1, 200)


def test_a_value_within_its_bounds_is_returned_as_a_plain_one() -> None:
    assert type(WEIGHT.check("weight", One.ONE)) is int
    assert type(FAIR_KEY.check("fair_key", Key.KEY)) is str
    assert Number(0, math.inf).check("timeout", 10**400) == math.inf
    assert [LIMIT.check("limit", each) for each in (1, 100_000)] == [1, 100_000]
    assert IDEMPOTENCY_KEY.check("k", "é" * 255) == "é" * 255


@pytest.mark.parametrize(
    ("bound", "value"),
    [(WholeNumber(1, 9), each) for each in (0, 10, -(10**5_000), 10**5_000, 1.0, True, "1", None, math.nan, [1], b"1")]
    + [(Number(0, 9), each) for each in (-1, 9.5, math.nan, math.inf, 10**400, True, "1", None, 1j)]
    + [(Text(1, 9), each) for each in ("", "x" * 10, "\ud800", "a\udce9", "nul\x00", None, 1, b"x", ["x"])],
    ids=lambda each: type(each).__name__,  # some cannot be written as text
)
def test_a_value_out_of_its_bounds_is_refused_by_name(bound: Any, value: Any) -> None:
    with pytest.raises(InvalidArgument, match="^argument ") as refused:
        bound.check("argument", value)
    assert len(str(refused.value)) < 200
    str(refused.value).encode()
    assert str(refused.value.with_names({"argument": "--argument"})).startswith("--argument ")


def test_braces_in_a_value_are_no_template() -> None:
    with pytest.raises(InvalidArgument, match=r"'\{0\} \{1\} \{x\}'"):
        WEIGHT.check("weight", "{0} {1} {x}")
