"""What follows from an operation without being said in it: its path's parameters, and the problems of its kind."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.routing import compile_path

from pipeline.http_api.operation import Operation
from pipeline.http_api.problems import KINDS

_ALWAYS = ("bad_request", "bad_parameter", "internal")
_WITH_KEY = (
    "key_in_url", "no_key", "bad_key", "expired_key", "revoked_key", "scope_missing", "rate_limited",
    "too_many_failures", "busy", "database_unreachable",
)  # fmt: skip
_WITH_QUERY = ("uri_too_long",)
_WITH_JSON = ("bad_json", "body_too_large", "unsupported_media_type", "invalid_request")


def problems_of(operation: Operation) -> list[str]:
    """Return the codes of all problems that an operation may answer, by status and name."""
    codes = {*_ALWAYS, *operation.problems}
    if operation.needs_key:
        codes.update(_WITH_KEY)
    if operation.query is not None:
        codes.update(_WITH_QUERY)
    if operation.takes_token:
        codes.add("bad_token")
    if path_parameters(operation):
        codes.add("not_found")
    if operation.body is not None or operation.bodies:
        codes.update(_WITH_JSON)
    return sorted(codes, key=lambda code: (KINDS[code].status, code))


def path_parameters(operation: Operation) -> list[str]:
    """Return the names in the path, in order."""
    return list(compile_path(operation.path)[2])


def described_path(operation: Operation) -> str:
    """Return the path without the converters that Starlette has in it."""
    return compile_path(operation.path)[1]


def success_media_types(operation: Operation) -> Iterator[str]:
    """Yield the media types of a successful answer."""
    if operation.answer is not None:
        yield "application/json"
    yield from operation.answers
