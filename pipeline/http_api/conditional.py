"""Conditional answers: an entity tag says whether a caller has the newest version already."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response


def weak_tag(*parts: object) -> str:
    """Return the entity tag of a version that these parts tell from others."""
    return f'W/"{"-".join(map(str, parts))}"'


#: What a document says of answers to `If-None-Match`.
UNCHANGED = {304: "It is what `If-None-Match` names."}


def has_tag(request: Request, tag: str) -> bool:
    """Return whether `If-None-Match` names a tag."""
    given = [each.strip() for each in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or any(each.removeprefix("W/") == tag.removeprefix("W/") for each in given)


def with_tag(request: Request, response: Response, tag: str) -> Response:
    """Return a response with its tag, or 304 without a body if the caller has it already."""
    if has_tag(request, tag):
        return Response(None, 304, {"ETag": tag})
    response.headers["ETag"] = tag
    return response
