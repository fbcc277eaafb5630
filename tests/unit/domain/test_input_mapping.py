"""How a record becomes a payload: renamed, converted and reduced to the fields that are stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.inputs.field_types import UNFIT, FieldType, convert
from pipeline.domain.inputs.input_mapping import InputMapping, text_of
from pipeline.errors import InvalidInput

T, N, INT, B, AT = FieldType.TEXT, FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN, FieldType.INSTANT


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("007", T, "007"), (" ", T, " "), (300, T, "300"), (True, T, "true"), (1.5, T, "1.5"), ([], T, UNFIT),
        ("12", INT, 12), ("-007", INT, -7), ("+1", INT, 1), (" 1 ", INT, 1), (2.0, INT, 2), ("1.0", INT, UNFIT),
        (2.5, INT, UNFIT),
        ("1_0", INT, UNFIT), ("٣", INT, UNFIT), (True, INT, UNFIT), (str(2**64), INT, UNFIT),
        (str(2**64 - 1), INT, 2**64 - 1),
        ("", INT, None), (None, INT, None), ("9" * 5_000, INT, UNFIT),
        ("1.5", N, 1.5), ("1e3", N, 1000.0), ("12", N, 12), (1.5, N, 1.5), ("1,5", N, UNFIT), ("nan", N, UNFIT),
        ("inf", N, UNFIT), ("1e999", N, UNFIT), ("--1", N, UNFIT), (False, N, UNFIT), ({}, N, UNFIT),
        ("1_0.5", N, UNFIT),
        ("TRUE", B, True), ("no", B, False), (1, B, True), ("2", B, UNFIT), (False, B, False), ([], B, UNFIT),
        ("2026-01-01T10:00:00+01:00", AT, "2026-01-01T09:00:00Z"), ("2026-01-01 10:00", AT, "2026-01-01T10:00:00"),
        ("2026-01-01T10:00:00.5Z", AT, "2026-01-01T10:00:00.500000Z"), ("yesterday", AT, UNFIT), (5, AT, UNFIT),
        ("0001-01-01T00:00:00+14:00", AT, UNFIT),
    ],
)  # fmt: skip
def test_a_value_becomes_of_its_type_or_does_not_fit(value, kind, expected):
    found = convert(value, kind)
    assert found is expected or (type(found) is type(expected) and found == expected)


JSON_VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.just([])
    | st.just({})
)


@given(JSON_VALUES, st.sampled_from(FieldType))
def test_converting_again_changes_nothing(value, kind):
    found = convert(value, kind)
    if found is not UNFIT and found is not None:
        assert convert(found, kind) == found


def test_fields_are_renamed_converted_and_kept():
    mapping = InputMapping({"body": "Description", "id": "body"}, ("body", "n", "absent"), {"n": N, "other": INT})
    mapped = mapping.apply({"Description": "a", "body": "7", "n": "1.5"})
    assert mapped == {"body": "a", "id": "7", "n": 1.5}
    assert mapping.keep(mapped) == {"body": "a", "n": 1.5}
    assert [mapping.source_name(name) for name in ("body", "n")] == ["Description", "n"]


def test_what_changes_nothing_returns_the_same_object():
    payload = {"a": 1}
    assert InputMapping().apply(payload) is payload
    assert InputMapping(fields=("a", "b")).keep(payload) is payload


@pytest.mark.parametrize(
    ("mapping", "payload", "message"),
    [
        (InputMapping({"b": "a"}), {"a": 1, "b": 2}, "it has a field 'b' already, which 'a' is renamed to"),
        (InputMapping(types={"n": N}), {"n": "1,5"}, r"field 'n' is '1,5', where \[input.types\] has a number"),
        (
            InputMapping(types={"n": INT}),
            {"n": "x" * 100},
            r"field 'n' is 'x{59}…, where .* has an integer",
        ),
    ],
)
def test_a_record_that_cannot_be_mapped_says_why(mapping, payload, message):
    with pytest.raises(InvalidInput, match=message):
        mapping.apply(payload)


@pytest.mark.parametrize(
    ("payload", "fields", "expected"),
    [
        ({"a": "x", "b": "y"}, ("a", "b"), "x\n\ny"),
        ({"a": None, "b": "y"}, ("a", "b"), "y"),
        ({"b": 300}, ("a", "b"), "300"),
        ({"a": True}, ("a",), "true"),
        ({"a": 0}, ("a",), "0"),
        ({"a": None}, ("a",), ""),
        ({"a": ["x"]}, ("a",), ""),
        ({}, ("a",), ""),
    ],
)
def test_the_text_of_an_item(payload, fields, expected):
    assert text_of(payload, fields) == expected
