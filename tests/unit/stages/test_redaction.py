"""What is kept of a service's answer holds no secret of the request, in any form in which the service repeats it."""

from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import quote_plus

import pytest

from pipeline.domain.body_text import KEPT_BYTES
from pipeline.stages.enrichers.redaction import REPLACEMENT, Redaction

SECRET = 'tök/en+"1 2'
FORMS = [SECRET, json.dumps(SECRET)[1:-1].replace("\\u00f6", "ö"), SECRET.replace("/", "\\/").replace('"', '\\"')]


@pytest.mark.parametrize("form", [*FORMS, quote_plus(SECRET)])
def test_a_secret_is_replaced_in_every_form(form: str) -> None:
    kept = Redaction([SECRET]).excerpt(f"invalid token {form}!".encode(), is_complete=True)
    assert kept == f"invalid token {REPLACEMENT}!"


def test_the_password_of_basic_authentication_is_a_secret_as_well() -> None:
    header = b64encode(b"ada:lovelace").decode()
    kept = Redaction([header]).excerpt(f"ada may not use lovelace, {header}".encode(), is_complete=True)
    assert kept == f"ada may not use {REPLACEMENT}, {REPLACEMENT}"


def test_a_secret_within_another_does_not_leave_the_rest_of_it() -> None:
    assert Redaction(["abcd", "abcdefgh"]).excerpt(b"abcdefgh", is_complete=True) == REPLACEMENT


@pytest.mark.parametrize("length", range(4, 12))
def test_a_secret_that_the_limit_cut_is_left_out(length: int) -> None:
    body = b"x" * 100 + b"hunter2hunter2"[:length]
    assert Redaction(["hunter2hunter2"]).excerpt(body, is_complete=False) == "x" * 100


def test_a_secret_at_the_end_of_what_is_kept_is_replaced_before_it_is_cut() -> None:
    body = b"x" * (KEPT_BYTES - 3) + b"hunter2"
    kept = Redaction(["hunter2"]).excerpt(body, is_complete=True)
    assert kept == "x" * (KEPT_BYTES - 3) + REPLACEMENT[:3]


def test_values_too_short_for_a_secret_garble_nothing() -> None:
    assert Redaction(["1", "on", ""]).excerpt(b"1 on 1", is_complete=True) == "1 on 1"


def test_what_is_kept_can_be_stored() -> None:
    assert Redaction([]).excerpt(b"", is_complete=True) is None
    assert Redaction([]).excerpt(b"a\0b\xff", is_complete=True) == "ab�"
    assert len((Redaction([]).excerpt("ä".encode() * 5_000, is_complete=True) or "").encode()) == KEPT_BYTES
