"""The contacts enricher: what it finds in texts as people write them, and what it ignores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.item import WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.catalog.step import Step
from pipeline.stages.enrichers.contacts import Spec, build, files


def item(text: str = "", **payload: Any) -> WorkItem:
    return WorkItem("b-1", "b", payload, text)


def make_step(**options: Any) -> Step:
    return build(Spec.model_validate({"use": "contacts", **options}), Path())


US = make_step(region="US")


def find(text: str, step: Step = US) -> dict[str, list[str]]:
    (answer,) = step.call([item(text)])
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("Write to ann@example.com.", ["ann@example.com"]),
        ("Ann <Ann.Lee@EXAMPLE.Com>, please", ["Ann.Lee@example.com"]),
        ("('ann@example.com')", ["ann@example.com"]),
        ("mailto:ann@example.com?cc=bob@example.org", ["ann@example.com", "bob@example.org"]),
        ("ann+tag@mail.example.co.uk; bob@example.com", ["ann+tag@mail.example.co.uk", "bob@example.com"]),
        ("ann@example.com,ann@EXAMPLE.com", ["ann@example.com"]),
        ("ann@example.com.Thanks", ["ann@example.com"]),
        ("zoe\u0308@exa\u0308mple.de", ["zoë@exämple.de"]),
        ("ann@localhost, @example, a@b, ann@@example.com, ann @ example.com", []),
        ("at 5@3.99 each", []),
        ("", []),
    ],
)
def test_email_addresses_are_found_and_normalized(text: str, emails: list[str]) -> None:
    assert find(text)["emails"] == emails


def test_a_password_in_a_url_is_not_an_email_address() -> None:
    found = find("https://user:secret@host.example.com/path?to=x")
    assert found == {"emails": [], "phones": [], "domains": ["example.com"]}


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("Call (212) 555-1234 now", ["+12125551234"]),
        ("212.555.1234, 212-555-1235/212 555 1236", ["+12125551234", "+12125551235", "+12125551236"]),
        ("+1 212-555-1234 ext. 55", ["+12125551234"]),
        ("tel:+49 30 901820\n+44 20 7946 0958.", ["+4930901820", "+442079460958"]),
        ("212-555-1234\n(212) 555-1234", ["+12125551234"]),
        ("t: 212–555–1234", ["+12125551234"]),
        ("order 1234 call 212-555-1234", ["+12125551234"]),
    ],
)
def test_phone_numbers_are_found_as_e164(text: str, phones: list[str]) -> None:
    assert find(text)["phones"] == phones


@pytest.mark.parametrize(
    "text",
    [
        "order 2125551234",
        "Order no. 212-555-1234",
        "invoice number: 2125551234",
        "tracking #2125551234",
        "ORD-2125551234",
        "A2125551234",
        "2024-01-15 10 items",
        "2024-01-15 10:30:00",
        "15.01.2024 1234567",
        "192.168.100.200",
        "4111 1111 1111 1111",
        "12345",
        "https://shop.example.com/item/2125551234",
        "2125551234@example.com",
        "1234567890123456789012345",
    ],
)
def test_other_numbers_are_not_phone_numbers(text: str) -> None:
    assert find(text)["phones"] == []


def test_without_a_region_only_numbers_with_a_country_code_are_found() -> None:
    assert find("212-555-1234 or +1 212-555-1235", make_step())["phones"] == ["+12125551235"]


def test_a_region_determines_the_national_number_format() -> None:
    assert find("Tel. 030 901820", make_step(region="DE"))["phones"] == ["+4930901820"]


@pytest.mark.parametrize(("region", "suggestion"), [("us", "'US'"), ("Germany", "'DE'"), ("XX", "'US'")])
def test_an_unknown_region_is_rejected(region: str, suggestion: str) -> None:
    with pytest.raises(InvalidDefinition, match=f"region '{region}'.*{suggestion}"):
        make_step(region=region)


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("see https://www.shop.example.co.uk:8080/a?b=c.", ["example.co.uk"]),
        ("www.example.com, Example.org and ann@mail.example.net!", ["example.com", "example.org", "example.net"]),
        ("https://a.com,https://b.com", ["a.com", "b.com"]),
        ("http://example.com http://www.example.com ann@example.com", ["example.com"]),
        ("ann@first.com then https://second.com then third.com", ["first.com", "second.com", "third.com"]),
        ("https://münchen.de and xn--mnchen-3ya.de", ["xn--mnchen-3ya.de"]),
        ("http://192.168.1.1/x http://localhost:80 http://[::1]/", []),
        ("README.md, main.py, src/main.rs, e.g. 1.2.3, foo.me(1)", []),
        ("www.readme.md https://main.py", ["readme.md", "main.py"]),
        ("That is the end.Next one", []),
        ("a.b.invalid, co.uk", []),
    ],
)
def test_domains_are_registered_ones_in_order_of_appearance(text: str, domains: list[str]) -> None:
    assert find(text)["domains"] == domains


def test_everything_in_a_signature_is_found() -> None:
    text = "Best,\nAnn Lee <ann.lee@acme.co.uk> | +44 20 7946 0958 | www.acme.co.uk\nYour ref: 2079460959"
    assert find(text) == {
        "emails": ["ann.lee@acme.co.uk"],
        "phones": ["+442079460958"],
        "domains": ["acme.co.uk"],
    }


def test_text_beyond_the_limit_is_not_read() -> None:
    assert find("x" * 100 + " ann@example.com", make_step(max_characters=100))["emails"] == []


def test_an_item_without_the_field_fails_alone() -> None:
    answers = make_step(field="body").call([item("ann@example.com"), item(body="ann@example.com")])
    assert isinstance(answers[0], Permanent)
    assert answers[1]["emails"] == ["ann@example.com"]


def test_no_file_is_pinned() -> None:
    assert files(Spec(use="contacts")) == ()


@pytest.mark.parametrize(
    "junk", ["a@", "a.", "1 2-3.", "+1 ", "1", "http://", "a@b.c ", "212-555-1234 ", "(", "2024-01-15 ", "\u0301a-"]
)
def test_a_long_text_is_read_in_linear_time(junk: str) -> None:
    # Quadratic work would exceed the tests' time limit.
    found = find(junk * (200_000 // len(junk)) + " bob@example.com", make_step(region="US", max_characters=1_000_000))
    assert found["emails"][-1] == "bob@example.com"


@given(st.text(alphabet=st.sampled_from("a1é@.+-() /:#\u0301\ud800\x00_"), max_size=60))
@settings(max_examples=200)
def test_any_text_gets_an_answer(text: str) -> None:
    assert set(find(text)) == {"emails", "phones", "domains"}
