"""What every answer has: the id by which the log names its request, and headers for the safety of browsers."""

from __future__ import annotations

import string

from starlette.requests import HTTPConnection

from pipeline.http_api.server.raw_answer import new_request_id

#: Browsers neither guess the type of an answer nor tell other sites where a link was followed.
SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
_MAX_LENGTH = 64


def ensure_request_id(request: HTTPConnection) -> str:
    """Return the id of a request: the one that it brings, or a new one. The next call returns the same."""
    given = request.headers.get("x-request-id", "")
    if 0 < len(given) <= _MAX_LENGTH and _CHARACTERS.issuperset(given):
        request.state.request_id = given
    elif not hasattr(request.state, "request_id"):
        request.state.request_id = new_request_id()
    found: str = request.state.request_id
    return found
