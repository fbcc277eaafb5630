"""Which names the server answers to, and which origins' pages may read its answers."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

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


class AllowedHosts:
    """Refuse requests that name another host than the server's.

    Args:
        hosts: names in lower case; one without a port stands for every port.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app, self._hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "").lower()
        if host in self._hosts or _without_port(host) in self._hosts:
            await self._app(scope, receive, send)
            return
        problem = Problem("wrong_host", f"the request names the host {host[:100]!r}, which is not an allowed one")
        await problem.response("refused")(scope, receive, send)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
