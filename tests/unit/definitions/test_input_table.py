"""The `[input]` table: text of several fields, and how a record becomes a payload."""

from __future__ import annotations

import pytest

from pipeline.definitions import Definition, from_content, to_content, with_input
from pipeline.definitions.input_and_retry import InputSpec
from pipeline.errors import InvalidDefinition, InvalidItems
from pipeline.testing import run_definition

RULES = {"use": "keywords", "default": "other", "rules": [{"label": "refund", "all": ["refund", "invoice"]}]}


def definition(**given):
    return Definition(name="tickets", classify=RULES, input=given)


def test_the_table_survives_being_stored():
    given = {
        "text": ["subject", "body"], "rename": {"body": "Description"}, "fields": ["subject", "body"],
        "types": {"amount": "number"}, "on_null": "empty",
    }  # fmt: skip
    made = definition(**given)
    again = from_content(to_content(made))
    assert again.input == made.input
    assert again.version == made.version
    assert to_content(made)["input"] == given


def test_a_table_as_it_was_before_has_the_same_content_as_before():
    assert to_content(definition(text="body"))["input"] == {"text": "body"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": []}, r"input.text = .*: expected the name of a field, or a list of names that differ"),
        ({"text": ["a", "a"]}, r"input.text = .*names that differ"),
        ({"text": 3}, r"input.text = 3: expected the name"),
        ({"text": ""}, r"input.text = ''?.*expected the name"),
        ({"rename": {"a": "x", "b": "x"}}, "rename gives 'x' two names; give it one"),
        ({"fields": ["id"]}, "fields lacks 'text', which the classifier reads"),
        ({"fields": []}, "input.fields"),
        ({"types": {"a": "float"}}, r"input.types.a = 'float'"),
        ({"on_null": "skip"}, "input.on_null = 'skip'"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(given, message):
    with pytest.raises(InvalidDefinition, match=message):
        definition(**given)


def test_options_change_the_table_and_the_version():
    made = definition(text="body")
    changed = with_input(made, {"rename": {"body": "Description"}})
    assert changed.input == InputSpec(text="body", rename={"body": "Description"})
    assert changed.version != made.version


def test_the_texts_of_several_fields_are_classified_together():
    made = definition(text=["subject", "body"], rename={"body": "Description"}, fields=["subject", "body"])
    both, one = run_definition(
        made, [{"subject": "An invoice", "Description": "I want a refund", "x": 1}, {"subject": "refund", "body": None}]
    )
    assert (both.label, one.label) == ("refund", "other")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"subject": None}, "field 'subject', which the classifier reads, is null; expected a string"),
        ({}, "it has no field 'subject', which the classifier reads"),
        ({"subject": ["a"]}, "field 'subject', which the classifier reads, is a list"),
        ({"subject": " "}, "its text is empty .fields 'subject', 'body'."),
        ({"Description": {}}, "field 'body', which the classifier reads, is an object"),
    ],
)
def test_an_item_without_text_is_refused(payload, reason):
    made = definition(text=["subject", "body"], rename={"body": "Description"})
    with pytest.raises(InvalidItems, match=reason):
        run_definition(made, [payload])


def test_a_number_is_text_and_null_may_be_empty():
    made = definition(on_null="empty", empty="accept")
    assert [result.label for result in run_definition(made, [{"text": 300}, {"text": None}])] == ["other", "other"]
    with pytest.raises(InvalidItems, match="its text is empty"):
        run_definition(definition(on_null="empty"), [{"text": None}])
