"""The application: routes requests to operations, and turns every failure into a problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from pipeline.access.caller import ANYBODY, Caller
from pipeline.errors import PipelineError
from pipeline.http_api.answer_headers import SAFE_HEADERS, ensure_request_id
from pipeline.http_api.audit import log_change
from pipeline.http_api.authentication import TOKEN_PARAMETER, check_scope
from pipeline.http_api.browser_guard import BrowserGuard
from pipeline.http_api.call import ApiCall
from pipeline.http_api.compression import compressed
from pipeline.http_api.cross_origin import CrossOrigin
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.operation import Operation, Socket
from pipeline.http_api.operations import OPERATIONS
from pipeline.http_api.parameters import read_parameters
from pipeline.http_api.problems import Problem, internal, problem_of
from pipeline.http_api.rate_limits import Allowance
from pipeline.http_api.routing import API, OperationRoutes, local_path
from pipeline.http_api.streaming.socket_call import SocketCall
from pipeline.log import get_logger

log = get_logger(__name__)


def make_app(gateway: Gateway, operations: Iterable[Operation] = OPERATIONS) -> Starlette:
    """Return the ASGI application that answers these operations."""
    routes = OperationRoutes(route for each in operations for route in _routes(gateway, each))
    return Starlette(
        routes=[*_pages(gateway), Mount("", routes)],
        middleware=_middleware(gateway),
        exception_handlers={HTTPException: _unrouted, Exception: _failed},
    )


def _pages(gateway: Gateway) -> list[Route]:
    if not gateway.options.has_page:
        return []
    # Imported here: a server without the page needs no templates.
    from pipeline.http_api.page.site import page_routes

    return page_routes(gateway)


def _middleware(gateway: Gateway) -> list[Middleware]:
    origins = gateway.context.settings.cors_origins
    crossing = [Middleware(CrossOrigin, origins=origins)] if origins else []
    return [Middleware(BrowserGuard, gateway=gateway), *crossing]


def _routes(gateway: Gateway, operation: Operation) -> Iterator[Route | WebSocketRoute]:
    yield _route(gateway, operation)
    if isinstance(operation, Socket):
        yield _socket_route(gateway, operation)


def _route(gateway: Gateway, operation: Operation) -> Route:
    async def endpoint(request: Request) -> Response:
        request_id = ensure_request_id(request)
        request.state.operation = operation.id
        try:
            response = await _answer(gateway, operation, request, request_id)
            outcome = str(response.status_code)
        except (Problem, PipelineError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            response, outcome = problem.response(request_id), problem.code
        log_change(operation.id, request, response, outcome)
        return _finished(request, await compressed(request, response), request_id)

    return Route(operation.path, endpoint, methods=[operation.method])


async def _answer(gateway: Gateway, operation: Operation, request: Request, request_id: str) -> Response:
    caller = await _caller(gateway, operation, request)
    query = read_parameters(operation.query, request.query_params, ignored=_ignored(operation))
    return await operation.handler(ApiCall(gateway, operation, request, caller, request_id, query))


def _ignored(operation: Operation) -> frozenset[str]:
    return frozenset({TOKEN_PARAMETER} if operation.takes_token else ())


async def _caller(gateway: Gateway, operation: Operation, connection: HTTPConnection) -> Caller:
    """Return who makes a request, and count it.

    Raises:
        Problem, AccessDenied: the caller may not do this, or not so often.
    """
    if not operation.needs_key:
        return ANYBODY
    caller = await gateway.keyring.caller(connection, takes_token=operation.takes_token)
    # For the log, whatever becomes of the request.
    connection.state.caller, connection.state.key_id = caller, caller.key_id
    _count(gateway, connection, caller)
    if operation.scope is not None:
        check_scope(caller, operation.scope)
    return caller


def _count(gateway: Gateway, connection: HTTPConnection, caller: Caller) -> None:
    """Count a request toward the rate of its key.

    Raises:
        Problem: rate_limited.
    """
    allowance = gateway.rates.take(caller)
    connection.state.allowance = allowance
    if allowance is not None and allowance.wait is not None:
        raise Problem(
            "rate_limited",
            f"key {caller.key_id} may send {allowance.rate:g} requests per second; wait as long as Retry-After says",
            headers={"Retry-After": str(max(1, ceil(allowance.wait)))},
        )


def _socket_route(gateway: Gateway, socket: Socket) -> WebSocketRoute:
    async def endpoint(websocket: WebSocket) -> None:
        request_id = ensure_request_id(websocket)
        try:
            caller = await _caller(gateway, socket, websocket)
            read_parameters(socket.query, websocket.query_params, ignored=_ignored(socket))
            if socket.subprotocol not in websocket.scope["subprotocols"]:
                raise Problem("bad_subprotocol", f"the client does not ask for the subprotocol {socket.subprotocol!r}")
        except (Problem, PipelineError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            refusal = _finished(websocket, problem.response(request_id), request_id)
            await websocket.send_denial_response(refusal)
            return
        await socket.converse(SocketCall(gateway, socket, websocket, caller, request_id))

    return WebSocketRoute(socket.path, endpoint)


def _finished(request: HTTPConnection, response: Response, request_id: str) -> Response:
    """Add what every answer has."""
    response.headers["X-Request-Id"] = request_id
    for name, value in SAFE_HEADERS.items():
        response.headers.setdefault(name, value)
    allowance: Allowance | None = getattr(request.state, "allowance", None)
    if allowance is not None:
        response.headers.update(allowance.headers())
    if local_path(request.scope).startswith(API):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


async def _unrouted(request: Request, error: Exception) -> Response:
    """Answer what no operation answers: an unknown path, or a method that a path does not have."""
    assert isinstance(error, HTTPException)
    request_id = ensure_request_id(request)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        if request.method == "OPTIONS" and allowed:
            return _finished(request, Response(None, 204, {"Allow": allowed}), request_id)
        advice = "; with curl, add `-X POST` to `-T`" if request.method == "PUT" and "POST" in allowed else ""
        problem = Problem(
            "method_not_allowed",
            f"{request.method} is no method of this path; it has {allowed}{advice}",
            headers={"Allow": allowed},
        )
    else:
        problem = Problem("not_found", "there is no such path; /openapi.json lists them")
    return _finished(request, problem.response(request_id), request_id)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer a bug. The log has the exception, the caller the request id."""
    request_id = ensure_request_id(request)
    if not isinstance(error, ClientDisconnect):
        log.exception("api_failed", request_id=request_id, method=request.method)
    return _finished(request, internal().response(request_id), request_id)
