"""Which headers an endpoint may have of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.rules.headers import MAX_HEADERS, MAX_VALUE_LENGTH, InvalidHeader, check_headers

REFUSED = [
    *["Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer"],
    *["Upgrade", "Expect", "Proxy-Authorization", "Proxy-Connection", "User-Agent", "Accept-Encoding", "Accept"],
    *["webhook-id", "Webhook-Signature", "WEBHOOK-ATTEMPT", "webhook-anything", "Content-Encoding"],
    *["X-Amz-Target", "X-Goog-Api-Key", "X-Google-Token", "Metadata", "Metadata-Flavor", "X-Azure-Ref"],
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_sender_or_a_cloud_says_cannot_be_set(name: str) -> None:
    for spelled in (name, name.lower(), name.upper()):
        with pytest.raises(InvalidHeader, match="cannot be set"):
            check_headers({spelled: "x"})


@pytest.mark.parametrize("name", ["", "a b", "a:", "café", "a\r\nb", "a\0", "(a)", "a" * 257, "a\tb", "ſ"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidHeader, match="not a header name"):
        check_headers({name: "x"})


@pytest.mark.parametrize(
    "value", ["", "hunter2\r\nx: y", "hunter2\n", "hunter2\0", "hunter2é", " hunter2", "hunter2\t", "hunter2" * 600]
)
def test_a_value_that_is_not_one_line_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(InvalidHeader, match="X-Token") as caught:
        check_headers({"X-Token": value})
    assert "hunter2" not in str(caught.value)


def test_at_most_twenty_headers_are_taken_each_once() -> None:
    many = {f"x-{number}": "v" for number in range(MAX_HEADERS)}
    assert check_headers(many) == many
    with pytest.raises(InvalidHeader, match="there are 21"):
        check_headers(many | {"one-more": "v"})
    with pytest.raises(InvalidHeader, match="twice"):
        check_headers({"X-Token": "a", "x-token": "b"})


def test_a_usual_header_is_taken_with_its_name_in_lower_case() -> None:
    longest = "a" * MAX_VALUE_LENGTH
    given = {"Authorization": "Bearer a b", "X-Api-Key": longest, "cookie": "a=b; c=d"}
    assert check_headers(given) == {"authorization": "Bearer a b", "x-api-key": longest, "cookie": "a=b; c=d"}


@given(st.text(max_size=20), st.text(max_size=20))
def test_whatever_is_taken_is_one_line_of_a_request(name: str, value: str) -> None:
    try:
        checked = check_headers({name: value})
    except InvalidHeader:
        return
    ((name, value),) = checked.items()
    line = f"{name}: {value}\r\n".encode("ascii")
    assert line.splitlines() == [line[:-2]]
    assert line.count(b"\0") == 0
