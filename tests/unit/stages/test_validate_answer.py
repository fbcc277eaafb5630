"""What a classifier or an enricher may answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.item import Classification
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.stages.run import validate_answer
from pipeline.stages.run.validate_answer import DEPTH_LIMIT, ENRICHMENT_LIMIT, LABEL_LIMIT


class Label(StrEnum):
    BILLING = "billing"


class Level(IntEnum):
    HIGH = 3


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise ZeroDivisionError


@dataclass
class Record:
    name: str = "x"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


class TestClassification:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ("billing", Classification("billing")),
            (Label.BILLING, Classification("billing")),
            (np.str_("billing"), Classification("billing")),
            (np.array("billing"), Classification("billing")),
            (("billing", 0.5), Classification("billing", 0.5)),
            (("billing", None), Classification("billing")),
            (("billing", 1), Classification("billing", 1.0)),
            (("billing", Fraction(1, 4)), Classification("billing", 0.25)),
            (("billing", np.float32(0.5)), Classification("billing", 0.5)),
            (("billing", np.float64(1.0000000000000002)), Classification("billing", 1.0)),
            (("billing", -1e-9), Classification("billing", 0.0)),
            (Classification("billing", 0.5, {"a": 1}), Classification("billing", 0.5, {"a": 1.0})),
            (Classification("billing", 0.5, {np.str_("a"): np.float32(-2)}), Classification("billing", 0.5, {"a": -2})),
        ],
        ids=repr,
    )
    def test_a_label_may_be_given_in_these_ways(self, answer: object, expected: Classification) -> None:
        read = validate_answer.classification(answer, None)
        assert read == expected
        assert isinstance(read, Classification)
        assert type(read.label) is str
        assert read.confidence is None or type(read.confidence) is float

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (None, "invalid_answer"),
            (7, "invalid_answer"),
            ({"label": "a"}, "invalid_answer"),
            (["a", 0.5], "invalid_answer"),
            (b"a", "invalid_answer"),
            (("a",), "invalid_answer"),
            (("a", 0.5, {}), "invalid_answer"),
            ("", "invalid_label"),
            (" \n", "invalid_label"),
            ("a\x00", "invalid_label"),
            ("\ud800", "invalid_label"),
            ("a" * (LABEL_LIMIT + 1), "invalid_label"),
            ((7, 0.5), "invalid_label"),
            (Classification(None), "invalid_label"),  # type: ignore[arg-type]
            (("a", 1.5), "invalid_confidence"),
            (("a", -0.1), "invalid_confidence"),
            (("a", math.nan), "invalid_confidence"),
            (("a", math.inf), "invalid_confidence"),
            (("a", True), "invalid_confidence"),
            (("a", np.bool_(True)), "invalid_confidence"),
            (("a", "0.5"), "invalid_confidence"),
            (("a", 10**400), "invalid_answer"),
            (Classification("a", None, [0.5]), "invalid_scores"),  # type: ignore[arg-type]
            (Classification("a", None, {"a": math.nan}), "invalid_scores"),
            (Classification("a", None, {"a": "1"}), "invalid_scores"),  # type: ignore[dict-item]
            (Classification("a", None, {"a": True}), "invalid_scores"),
            (Classification("a", None, {1: 0.5}), "invalid_scores"),  # type: ignore[dict-item]
            (Classification("a", None, Hostile()), "invalid_answer"),
        ],
        ids=lambda value: repr(value)[:40],
    )
    def test_anything_else_is_dead_with_a_code(self, answer: object, code: str) -> None:
        read = validate_answer.classification(answer, None)
        assert isinstance(read, Failure)
        assert (read.kind, read.type) == (FailureKind.PERMANENT, code)
        assert read.message

    def test_a_label_that_is_not_the_definitions_is_named_and_cut(self) -> None:
        read = validate_answer.classification("x" * 300, frozenset({"a"}))
        assert isinstance(read, Failure)
        assert read.type == "unknown_label"
        assert "x" * 80 in read.message
        assert "x" * 81 not in read.message

    def test_an_answer_that_is_no_label_is_not_repeated(self) -> None:
        read = validate_answer.classification({"secret": "hunter2"}, None)
        assert isinstance(read, Failure)
        assert "hunter2" not in read.message


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=10)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
)
JSON = st.dictionaries(TEXTS, VALUES, max_size=4)


class TestEnrichment:
    @given(JSON)
    def test_a_json_object_is_kept_as_it_is(self, answer: dict[str, Any]) -> None:
        read = validate_answer.enrichment(answer)
        assert read == answer
        assert orjson.loads(orjson.dumps(read)) == answer

    def test_what_the_caller_changes_later_changes_nothing(self) -> None:
        answer: dict[str, Any] = {"a": [1]}
        read = validate_answer.enrichment(answer)
        answer["a"].append(2)
        assert read == {"a": [1]}

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            (np.int64(3), 3),
            (np.float32(0.5), 0.5),
            (np.bool_(True), True),
            (np.str_("a"), "a"),
            ((1, 2), [1, 2]),
            (Label.BILLING, "billing"),
            (Level.HIGH, 3),
            ("\\u0000", "\\u0000"),
        ],
        ids=repr,
    )
    def test_what_converts_cleanly_is_accepted(self, value: object, kept: object) -> None:
        read = validate_answer.enrichment({"a": value})
        assert read == {"a": kept}
        assert isinstance(read, dict)
        assert type(read["a"]) is type(kept)

    @pytest.mark.parametrize(
        "answer",
        [
            None,
            [],
            "text",
            {1: "a"},
            {"a": {None: 1}},
            {"a": math.nan},
            {"a": [math.inf]},
            {"a": np.float64("nan")},
            {"a": "\x00"},
            {"a\x00": 1},
            {"a": "\udfff"},
            {"a": 2**63},
            {"a": -(2**63) - 1},
            {"a": object()},
            {"a": Record()},
            {"a": {1, 2}},
            {"a": b"bytes"},
            {"a": np.array([1, 2])},
            nested(DEPTH_LIMIT + 1),
            {"a": "x" * ENRICHMENT_LIMIT},
            Hostile(),
        ],
        # An address would be another name in each process that runs tests.
        ids=lambda answer: repr(answer).partition(" at 0x")[0][:40],
    )
    def test_anything_else_is_dead(self, answer: object) -> None:
        read = validate_answer.enrichment(answer)
        assert isinstance(read, Failure)
        assert (read.kind, read.type) == (FailureKind.PERMANENT, "invalid_enrichment")

    def test_the_limits_themselves_are_allowed(self) -> None:
        fits = {"a": "x" * (ENRICHMENT_LIMIT - len('{"a":""}'))}
        assert validate_answer.enrichment(fits) == fits
        assert validate_answer.enrichment(nested(DEPTH_LIMIT)) == nested(DEPTH_LIMIT)

    def test_an_object_that_contains_itself_is_refused(self) -> None:
        answer: dict[str, Any] = {}
        answer["a"] = answer
        assert isinstance(validate_answer.enrichment(answer), Failure)

    @pytest.mark.parametrize("answer", [{"a": {"hunter2"}}, {"a": b"hunter2"}], ids=repr)
    def test_values_are_not_repeated_in_the_message(self, answer: object) -> None:
        read = validate_answer.enrichment(answer)
        assert isinstance(read, Failure)
        assert "hunter2" not in read.message
