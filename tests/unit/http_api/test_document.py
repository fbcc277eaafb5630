"""The OpenAPI document and the reference page are made from the table of operations."""

from __future__ import annotations

from collections import Counter

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipeline.http_api.document.described import problems_of
from pipeline.http_api.document.openapi import make_document
from pipeline.http_api.document.reference import reference_page
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations import OPERATIONS
from pipeline.http_api.problems import KINDS
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "http.md"


def test_the_document_is_valid() -> None:
    assert list(OpenAPIV31SpecValidator(make_document(OPERATIONS)).iter_errors()) == []


def test_every_operation_is_in_the_document_once() -> None:
    counted = Counter(operation.id for operation in OPERATIONS)
    assert [name for name, number in counted.items() if number > 1] == []
    described = [
        each["operationId"] for methods in make_document(OPERATIONS)["paths"].values() for each in methods.values()
    ]
    assert sorted(described) == sorted(counted)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.id)
def test_every_operation_says_what_it_takes_and_answers(operation: Operation) -> None:
    assert operation.summary.endswith(".")
    assert set(problems_of(operation)) <= set(KINDS)
    assert operation.answer or operation.answers or operation.status in (101, 204)
    if operation.query is not None:
        names = [name for name, field in operation.query.model_fields.items() if not field.description]
        assert names == [], "parameters without a description"


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "operations have changed: python -m pipeline.http_api.document.reference > docs/reference/http.md"
    )
