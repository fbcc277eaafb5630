"""The bytes of a request up to its body."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from pipeline.domain.callback_url import Callback


class UnfitHeader(ValueError):
    """A header would end its line and begin another."""


def opening(callback: Callback) -> str:
    """Return the lines with which every request to a URL begins."""
    place, slash, path = callback.url.partition("://")[2].partition("/")
    return f"POST {slash}{path} HTTP/1.1\r\nHost: {place}\r\n"


def head(begin: str, attempt: Mapping[str, str], own: Mapping[str, str], length: int) -> bytes:
    """Return a request up to its body.

    Args:
        begin: its `opening`.
        attempt: headers of this attempt.
        own: headers of the endpoint, names in lower case; one that every request has takes that one's place.
        length: of the body, in bytes.

    Raises:
        UnfitHeader: a value is more than a line.
    """
    same = _SAME_LINES
    if own:
        same = _lines({name: own.get(name, value) for name, value in _SAME_FOR_ALL.items()})
        attempt = {**attempt, **{name: value for name, value in own.items() if name not in _SAME_FOR_ALL}}
    text = f"{begin}{same}{_lines(attempt)}content-length: {length}\r\n\r\n"
    ends = _OTHER_LINES + len(attempt)
    if text.count("\r") != ends or text.count("\n") != ends or "\0" in text:
        raise UnfitHeader("a header of this request is more than a line")
    return text.encode()


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def _user_agent() -> str:
    try:
        return f"pipeline/{version('pipeline')}"
    except PackageNotFoundError:
        return "pipeline/0"


USER_AGENT = _user_agent()
_SAME_FOR_ALL = {
    "content-type": "application/json",
    "user-agent": USER_AGENT,
    "accept": "*/*",
    "accept-encoding": "identity",
}
_SAME_LINES = _lines(_SAME_FOR_ALL)
# The two of the opening, the length, and the empty one.
_OTHER_LINES = 2 + len(_SAME_FOR_ALL) + 2
