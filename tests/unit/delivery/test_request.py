"""The bytes of a request up to its body."""

from __future__ import annotations

import pytest

from pipeline.delivery.webhook.request import USER_AGENT, UnfitHeader, head, opening
from pipeline.domain.callback_url import parse_callback_url

ATTEMPT = {"webhook-id": "msg_1", "webhook-attempt": "2"}
SAME = f"content-type: application/json\r\nuser-agent: {USER_AGENT}\r\naccept: */*\r\naccept-encoding: identity\r\n"


@pytest.mark.parametrize(
    ("url", "line", "host"),
    [
        ("https://hooks.example", "/", "hooks.example"),
        ("https://hooks.example:443/?", "/", "hooks.example"),
        (
            "https://HOOKS.example.:8443/a/../b//c;d?x=%20y&z=+%2F&u",
            "/a/../b//c;d?x=%20y&z=+%2F&u",
            "hooks.example:8443",
        ),
        ("http://127.0.0.1:8080?q=a/b", "/?q=a/b", "127.0.0.1:8080"),
        ("http://[0:0::1]:8080/%zz", "/%zz", "[::1]:8080"),
        ("https://[2606:4700::1111]/~a!$&'()*+,=:@[]", "/~a!$&'()*+,=:@[]", "[2606:4700::1111]"),
    ],
)
def test_a_request_begins_with_what_its_url_says(url: str, line: str, host: str) -> None:
    assert opening(parse_callback_url(url)) == f"POST {line} HTTP/1.1\r\nHost: {host}\r\n"


def test_a_request_is_written_line_by_line() -> None:
    expected = f"FIRST\r\nHost: h\r\n{SAME}webhook-id: msg_1\r\nwebhook-attempt: 2\r\ncontent-length: 7\r\n\r\n"
    assert head("FIRST\r\nHost: h\r\n", ATTEMPT, {}, 7) == expected.encode()


def test_headers_of_an_endpoint_follow_and_take_the_place_of_those_that_all_have() -> None:
    own = {"authorization": "Bearer a\tb", "accept": "application/json"}
    same = SAME.replace("*/*", "application/json")
    expected = f"FIRST\r\nHost: h\r\n{same}webhook-id: msg_1\r\nwebhook-attempt: 2\r\nauthorization: Bearer a\tb\r\n"
    assert head("FIRST\r\nHost: h\r\n", ATTEMPT, own, 7) == f"{expected}content-length: 7\r\n\r\n".encode()


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0"])
@pytest.mark.parametrize("where", ["attempt", "own", "name"])
def test_a_header_that_would_begin_another_is_refused(end: str, where: str) -> None:
    bad = f"a{end}x-injected: b"
    attempt = {**ATTEMPT, "webhook-id": bad} if where == "attempt" else ATTEMPT
    own = {"own": {"x-own": bad}, "name": {bad: "a"}}.get(where, {})
    with pytest.raises(UnfitHeader) as caught:
        head("FIRST\r\nHost: h\r\n", attempt, own, 7)
    assert "injected" not in str(caught.value)
