"""The bytes of a request up to its body."""

from __future__ import annotations

import pytest

from pipeline.delivery.webhook.http_client import UnfitHeader
from pipeline.delivery.webhook.request import request_head, request_start
from pipeline.domain.callback_url import parse_callback_url

START = "FIRST\r\nHost: h\r\n"
HEADERS = {"accept": "*/*", "webhook-id": "msg_1", "authorization": "Bearer a\tb"}


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
    assert request_start(parse_callback_url(url)) == f"POST {line} HTTP/1.1\r\nHost: {host}\r\n"


def test_a_request_is_written_line_by_line() -> None:
    expected = f"{START}accept: */*\r\nwebhook-id: msg_1\r\nauthorization: Bearer a\tb\r\ncontent-length: 7\r\n\r\n"
    assert request_head(START, HEADERS, 7) == expected.encode()


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0"])
@pytest.mark.parametrize("where", ["value", "name"])
def test_a_header_that_would_begin_another_is_refused(end: str, where: str) -> None:
    bad = f"a{end}x-injected: b"
    headers = HEADERS | ({"x-own": bad} if where == "value" else {bad: "a"})
    with pytest.raises(UnfitHeader) as caught:
        request_head(START, headers, 7)
    assert "injected" not in str(caught.value)
