"""The bytes of a request up to its body."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.delivery.webhook.http_client import UnfitHeader
from pipeline.domain.callback_url import Callback

#: Lines in addition to the headers that are passed in: two at the start, `content-length`, and the empty line.
_OTHER_LINES = 4


def request_start(callback: Callback) -> str:
    """Return the two lines that every request to a URL starts with."""
    place, slash, path = callback.url.partition("://")[2].partition("/")
    return f"POST {slash}{path} HTTP/1.1\r\nHost: {place}\r\n"


def request_head(start: str, headers: Mapping[str, str], length: int) -> bytes:
    """Return a request up to its body.

    Args:
        start: the lines from `request_start`.
        headers: the other headers, except `content-length`, in the order in which they are sent.
        length: length of the body, in bytes.

    Raises:
        UnfitHeader: a name or value contains a line break or NUL.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    text = f"{start}{lines}content-length: {length}\r\n\r\n"
    ends = _OTHER_LINES + len(headers)
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise UnfitHeader("a header of this request is more than one line")
    return text.encode()
