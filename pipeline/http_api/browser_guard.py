"""Keep web pages that a person has open from driving a server on their machine.

A browser sends requests of any page to any address, this machine included, and a page can give its own name this
machine's address. Without a key, nothing else would tell such a request from one of the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from pipeline.errors import PipelineError
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.problems import Problem
from pipeline.http_api.server.raw_answer import new_request_id

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PORTS = {"http": 80, "https": 443}
#: Answers for as long as the event loop lives, whatever the database does.
_LIVENESS = "/health"


def split_host(host: str, scheme: str) -> tuple[str, int]:
    """Return name and port of a header `Host`; port 0: it has one that is none."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or port.endswith("]"):
        return host.lower(), _PORTS[scheme]
    return name, int(port) if port.isascii() and port.isdecimal() else 0


def judge_local(headers: Mapping[str, str], scheme: str, port: int | None) -> Problem | None:
    """Return what is wrong with a request that has no key to show where none is needed.

    Args:
        headers: by lower-case name.
        scheme: `http` or `https`.
        port: on which this server listens; None: on a Unix socket, where any port may be named.
    """
    host = headers.get("host", "")
    name, named_port = split_host(host, scheme)
    if name not in _LOCAL_NAMES or port not in (None, named_port):
        return Problem(
            "wrong_host",
            f"the header Host is {host[:100]!r}; without an API key, this server answers as localhost or 127.0.0.1 "
            "with its own port only; for other names create a key with `pipeline keys create`",
        )
    origin = headers.get("origin")
    if headers.get("sec-fetch-site") == "cross-site" or origin not in (None, f"{scheme}://{host}"):
        return Problem(
            "cross_site",
            "the request comes from a page of another site; pages may use this server with an API key only",
        )
    return None


def judge_allowed(headers: Mapping[str, str], scheme: str, allowed: tuple[str, ...]) -> Problem | None:
    """Return what is wrong with the name under which a server is asked that has certain names only."""
    host = headers.get("host", "")
    if not allowed or split_host(host, scheme)[0] in allowed:
        return None
    return Problem("wrong_host", f"the header Host is {host[:100]!r}, which PIPELINE_ALLOWED_HOSTS does not list")


class BrowserGuard:
    """Refuses requests and WebSockets of foreign pages, before anybody else sees them."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app, self._gateway = app, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = await self._judge(scope) if scope["type"] in ("http", "websocket") else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await _refuse(problem, scope, receive, send)

    async def _judge(self, scope: Scope) -> Problem | None:
        if scope["path"] == _LIVENESS:
            return None
        headers, scheme = Headers(scope=scope), scope["scheme"].replace("ws", "http")
        allowed = judge_allowed(headers, scheme, self._gateway.context.settings.allowed_hosts)
        if allowed is not None or not self._gateway.options.is_open:
            return allowed
        problem = judge_local(headers, scheme, self._gateway.options.port)
        # Asked only now: most requests are fine, and need no look at the database.
        return problem if problem is not None and not await self._needs_key() else None

    async def _needs_key(self) -> bool:
        try:
            return await self._gateway.keyring.is_needed()
        except (PipelineError, Problem):
            return False


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    request_id = new_request_id()
    scope.setdefault("state", {})["request_id"] = request_id
    response: Response = problem.response(request_id)
    response.headers["X-Request-Id"] = request_id
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)
