"""The application: routes requests to operations, and turns every failure into a problem."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from itertools import groupby
from math import ceil

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.types import Receive, Scope, Send

from pipeline.access.caller import ANYBODY, Caller
from pipeline.errors import PipelineError
from pipeline.http_api.audit import log_change
from pipeline.http_api.authentication import TOKEN_PARAMETER, check_scope
from pipeline.http_api.call import ApiCall
from pipeline.http_api.cross_origin import AllowedHosts, CrossOrigin
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations import OPERATIONS
from pipeline.http_api.parameters import read_parameters
from pipeline.http_api.problems import Problem, internal, problem_of
from pipeline.http_api.rate_limits import Allowance
from pipeline.log import get_logger

log = get_logger(__name__)

#: The prefix of what is versioned, and never cached.
API = "/v1"
_ID_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
_MAX_ID_LENGTH = 64
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def make_app(gateway: Gateway, operations: Iterable[Operation] = OPERATIONS) -> Starlette:
    """Return the ASGI application that answers these operations."""
    return Starlette(
        routes=[Mount("", _Groups(_route(gateway, each) for each in operations))],
        middleware=_middleware(gateway),
        exception_handlers={HTTPException: _unrouted, Exception: _failed},
    )


def _middleware(gateway: Gateway) -> list[Middleware]:
    settings = gateway.context.settings
    hosts = [Middleware(AllowedHosts, hosts=settings.allowed_hosts)] if settings.allowed_hosts else []
    return hosts + ([Middleware(CrossOrigin, origins=settings.cors_origins)] if settings.cors_origins else [])


class _Groups:
    """Routes by the beginning of their path: Starlette tries the routes of a router one by one."""

    def __init__(self, routes: Iterable[Route]) -> None:
        ordered = sorted(routes, key=lambda each: _group(each.path))
        grouped = groupby(ordered, key=lambda each: _group(each.path))
        self._routers = {group: Router(list(members), redirect_slashes=False) for group, members in grouped}
        self._none = Router([], redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._routers.get(_group(scope["path"]), self._none)(scope, receive, send)


def _group(path: str) -> str:
    """Return what a path is grouped by: `/v1/batches` for `/v1/batches/{batch}/results`."""
    return "/".join(path.split("/", 3)[:3]) if path.startswith(API + "/") else ""


def _route(gateway: Gateway, operation: Operation) -> Route:
    async def endpoint(request: Request) -> Response:
        request_id = _request_id(request)
        try:
            response = await _answer(gateway, operation, request, request_id)
            outcome = str(response.status_code)
        except (Problem, PipelineError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            response, outcome = problem.response(request_id), problem.code
        log_change(operation, request, response, outcome)
        return _finished(request, response, request_id)

    return Route(operation.path, endpoint, methods=[operation.method])


async def _answer(gateway: Gateway, operation: Operation, request: Request, request_id: str) -> Response:
    caller = ANYBODY
    if operation.needs_key:
        caller = await gateway.keyring.caller(request, takes_token=operation.takes_token)
        request.state.caller = caller
        _count(gateway, request, caller)
    if operation.scope is not None:
        check_scope(caller, operation.scope)
    ignored = frozenset({TOKEN_PARAMETER} if operation.takes_token else ())
    query = read_parameters(operation.query, request.query_params, ignored=ignored)
    return await operation.handler(ApiCall(gateway, operation, request, caller, request_id, query))


def _count(gateway: Gateway, request: Request, caller: Caller) -> None:
    """Count a request toward the rate of its key.

    Raises:
        Problem: rate_limited.
    """
    allowance = gateway.rates.take(caller)
    request.state.allowance = allowance
    if allowance is not None and allowance.wait is not None:
        raise Problem(
            "rate_limited",
            f"key {caller.key_id} may send {allowance.rate:g} requests per second; wait as long as Retry-After says",
            headers={"Retry-After": str(max(1, ceil(allowance.wait)))},
        )


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    if 0 < len(given) <= _MAX_ID_LENGTH and _ID_CHARACTERS.issuperset(given):
        request.state.request_id = given
    elif not hasattr(request.state, "request_id"):
        request.state.request_id = "req_" + secrets.token_hex(10)
    found: str = request.state.request_id
    return found


def _finished(request: Request, response: Response, request_id: str) -> Response:
    """Add what every answer has."""
    response.headers["X-Request-Id"] = request_id
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    allowance: Allowance | None = getattr(request.state, "allowance", None)
    if allowance is not None:
        response.headers.update(allowance.headers())
    if request.url.path.startswith(API):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _unrouted(request: Request, error: Exception) -> Response:
    """AnswerModel what no operation answers: an unknown path, or a method that a path does not have."""
    assert isinstance(error, HTTPException)
    request_id = _request_id(request)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        problem = Problem(
            "method_not_allowed",
            f"{request.method} is no method of this path; it has {allowed}",
            headers={"Allow": allowed},
        )
    else:
        problem = Problem("not_found", "there is no such path; /openapi.json lists them")
    return _finished(request, problem.response(request_id), request_id)


async def _failed(request: Request, error: Exception) -> Response:
    """AnswerModel a bug. The log has the exception, the caller the request id."""
    request_id = _request_id(request)
    if not isinstance(error, ClientDisconnect):
        log.exception("api_failed", request_id=request_id, method=request.method)
    return _finished(request, internal().response(request_id), request_id)
