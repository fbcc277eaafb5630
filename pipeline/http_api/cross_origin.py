"""Which origins' pages may read the answers of the server."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from pipeline.http_api.problems import Problem

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SENT = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "If-None-Match", "If-Match")
_READ = (
    "Location", "ETag", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id", "Idempotent-Replayed",
    "Pipeline-Last-Seq", "Pipeline-Complete",
)  # fmt: skip
_SECONDS = 3_600


class CrossOrigin(CORSMiddleware):
    """Let pages of some origins call the API with a key. Cookies are never allowed.

    Args:
        origins: exact, such as `https://app.example.com`.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_READ,
            max_age=_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer whether a page may send a request: with a problem if it may not."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        reason = bytes(response.body).decode()
        return Problem("cross_origin", f"the preflight request was refused: {reason}").response("preflight")
