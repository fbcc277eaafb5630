"""Which answers of classifiers and enrichers are valid."""

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
from pipeline.stages.run.validate_answer import (
    MAX_DEPTH,
    MAX_ENRICHMENT_BYTES,
    MAX_LABEL_LENGTH,
    validate_classification,
    validate_enrichment,
)


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
    def test_valid_answers_become_classifications(self, answer: object, expected: Classification) -> None:
        read = validate_classification(answer, None)
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
            ("a" * (MAX_LABEL_LENGTH + 1), "invalid_label"),
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
    def test_anything_else_is_a_permanent_failure_with_a_code(self, answer: object, code: str) -> None:
        read = validate_classification(answer, None)
        assert isinstance(read, Failure)
        assert (read.kind, read.type) == (FailureKind.PERMANENT, code)
        assert read.message

    def test_the_message_for_an_unknown_label_shows_it_truncated(self) -> None:
        read = validate_classification("x" * 300, frozenset({"a"}))
        assert isinstance(read, Failure)
        assert read.type == "unknown_label"
        assert "x" * 80 in read.message
        assert "x" * 81 not in read.message

    def test_the_message_does_not_show_an_answer_that_is_not_a_label(self) -> None:
        read = validate_classification({"secret": "hunter2"}, None)
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
    def test_a_json_object_is_kept_unchanged(self, answer: dict[str, Any]) -> None:
        read = validate_enrichment(answer)
        assert read == answer
        assert orjson.loads(orjson.dumps(read)) == answer

    def test_the_answer_is_copied_deeply(self) -> None:
        answer: dict[str, Any] = {"a": [1]}
        read = validate_enrichment(answer)
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
    def test_values_that_convert_without_loss_are_accepted(self, value: object, kept: object) -> None:
        read = validate_enrichment({"a": value})
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
            nested(MAX_DEPTH + 1),
            {"a": "x" * MAX_ENRICHMENT_BYTES},
            Hostile(),
        ],
        # Without memory addresses, which would give the test another id in each process.
        ids=lambda answer: repr(answer).partition(" at 0x")[0][:40],
    )
    def test_anything_else_is_a_permanent_failure(self, answer: object) -> None:
        read = validate_enrichment(answer)
        assert isinstance(read, Failure)
        assert (read.kind, read.type) == (FailureKind.PERMANENT, "invalid_enrichment")

    def test_answers_at_the_limits_are_allowed(self) -> None:
        largest = {"a": "x" * (MAX_ENRICHMENT_BYTES - len('{"a":""}'))}
        assert validate_enrichment(largest) == largest
        assert validate_enrichment(nested(MAX_DEPTH)) == nested(MAX_DEPTH)

    def test_an_object_that_contains_itself_is_rejected(self) -> None:
        answer: dict[str, Any] = {}
        answer["a"] = answer
        assert isinstance(validate_enrichment(answer), Failure)

    @pytest.mark.parametrize("answer", [{"a": {"hunter2"}}, {"a": b"hunter2"}], ids=repr)
    def test_the_message_does_not_show_values(self, answer: object) -> None:
        read = validate_enrichment(answer)
        assert isinstance(read, Failure)
        assert "hunter2" not in read.message
