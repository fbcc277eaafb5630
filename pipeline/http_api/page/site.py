"""The routes of the web page, and what each of them shares: who is signed in, and how failures look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pipeline.access.caller import ANYBODY
from pipeline.errors import PipelineError
from pipeline.http_api.answer_headers import ensure_request_id
from pipeline.http_api.audit import log_change
from pipeline.http_api.compression import compressed
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.page import (
    batch_list,
    batch_pages,
    batch_stream,
    dead_pages,
    delivery_pages,
    endpoint_pages,
    item_pages,
    replay_pages,
    sign_in,
)
from pipeline.http_api.page.render import asset
from pipeline.http_api.page.visit import Visit, check_same_origin, visitor
from pipeline.http_api.problems import Problem, problem_of

Page = Callable[[Visit], Awaitable[Response]]

_ENDPOINT = "/ui/endpoints/{endpoint:path}"


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A path of the web page.

    Args:
        needs_sign_in: whether somebody has to be signed in.
    """

    method: str
    path: str
    page: Page
    needs_sign_in: bool = True

    @property
    def name(self) -> str:
        """The name in the log."""
        return f"page.{self.page.__name__.strip('_')}"


#: Tried in this order.
PAGES = (
    PageRoute("GET", "/ui", batch_list.batches),
    PageRoute("GET", "/ui/stream", batch_stream.stream),
    PageRoute("GET", "/ui/batches/{batch}", batch_pages.batch),
    PageRoute("GET", "/ui/batches/{batch}/items", item_pages.items),
    PageRoute("GET", "/ui/batches/{batch}/results.{format}", batch_pages.results_file),
    PageRoute("GET", "/ui/batches/{batch}/cancel", batch_pages.confirm_cancel),
    PageRoute("POST", "/ui/batches/{batch}/cancel", batch_pages.cancel),
    PageRoute("POST", "/ui/batches/{batch}/pause", batch_pages.pause),
    PageRoute("POST", "/ui/batches/{batch}/resume", batch_pages.resume),
    PageRoute("GET", "/ui/batches/{batch}/replay-dead", dead_pages.confirm_replay),
    PageRoute("POST", "/ui/batches/{batch}/replay-dead", dead_pages.replay_dead),
    PageRoute("GET", "/ui/items/{item}", item_pages.item),
    PageRoute("POST", "/ui/items/{item}/replay", replay_pages.replay_item),
    PageRoute("GET", "/ui/items/{item}/edit", replay_pages.edit_payload),
    PageRoute("POST", "/ui/items/{item}/edit", replay_pages.replay_edited),
    PageRoute("GET", "/ui/dead", dead_pages.dead),
    PageRoute("GET", "/ui/deliveries", delivery_pages.deliveries),
    PageRoute("GET", "/ui/deliveries/recover", delivery_pages.confirm_recover),
    PageRoute("POST", "/ui/deliveries/recover", delivery_pages.recover),
    PageRoute("GET", "/ui/deliveries/{delivery}", delivery_pages.delivery),
    PageRoute("POST", "/ui/deliveries/{delivery}/replay", delivery_pages.replay_delivery),
    PageRoute("GET", "/ui/endpoints", endpoint_pages.endpoints),
    PageRoute("POST", _ENDPOINT + "/settings", endpoint_pages.change_settings),
    PageRoute("POST", _ENDPOINT + "/test", endpoint_pages.test),
    PageRoute("POST", _ENDPOINT + "/enable", endpoint_pages.enable),
    PageRoute("GET", _ENDPOINT + "/disable", endpoint_pages.confirm_disable),
    PageRoute("POST", _ENDPOINT + "/disable", endpoint_pages.disable),
    PageRoute("GET", _ENDPOINT, endpoint_pages.endpoint),
    PageRoute("POST", "/ui/logout", sign_in.sign_out),
    PageRoute("GET", "/ui/login", sign_in.show_form, needs_sign_in=False),
    PageRoute("POST", "/ui/login", sign_in.sign_in, needs_sign_in=False),
)


def page_routes(gateway: Gateway) -> list[Route]:
    """Return the routes of the web page."""
    open_routes = [
        PageRoute("GET", "/", _home, needs_sign_in=False),
        PageRoute("GET", "/ui/assets/{name}", _asset, needs_sign_in=False),
    ]
    missing = PageRoute("GET", "/ui/{path:path}", _missing)
    return [_route(gateway, each) for each in (*open_routes, *PAGES, missing)]


def _route(gateway: Gateway, route: PageRoute) -> Route:
    async def endpoint(request: Request) -> Response:
        request_id, request.state.operation = ensure_request_id(request), route.name
        try:
            response = await _answer(gateway, route, request)
            outcome = str(response.status_code)
        except (Problem, PipelineError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            response, outcome = _failed(gateway, request, problem), problem.code
        if route.needs_sign_in:
            log_change(route.name, request, response, outcome)
        response.headers["X-Request-Id"] = request_id
        return await compressed(request, response)

    return Route(route.path, endpoint, methods=[route.method])


async def _answer(gateway: Gateway, route: PageRoute, request: Request) -> Response:
    if route.method == "POST":
        check_same_origin(request)
    caller = await visitor(gateway, request) if route.needs_sign_in else ANYBODY
    if caller is None:
        return _to_sign_in(Visit(gateway, request, ANYBODY), route)
    request.state.caller, request.state.key_id = caller, caller.key_id
    return await route.page(Visit(gateway, request, caller))


def _to_sign_in(visit: Visit, route: PageRoute) -> Response:
    if route.page is batch_stream.stream:
        # After which `EventSource` does not connect again.
        return Response(status_code=204)
    url = visit.request.url
    wanted = url.path.removeprefix(visit.root) + (f"?{url.query}" if url.query else "")
    # A form that was sent is not sent again.
    after = f"?{sign_in.NEXT}={quote(wanted, safe='')}" if route.method == "GET" and wanted != "/ui" else ""
    return RedirectResponse(f"{visit.root}/ui/login{after}", 303)


def _failed(gateway: Gateway, request: Request, problem: Problem) -> Response:
    visit = Visit(gateway, request, getattr(request.state, "caller", ANYBODY))
    # Without its advice, which is for programs.
    page = visit.show("problem.html", problem.status, problem=problem.body(ensure_request_id(request)))
    page.headers.update(problem.headers)
    return page


async def _home(visit: Visit) -> Response:
    """Lead whoever opens the bare address to the page."""
    return visit.go("/ui")


async def _asset(visit: Visit) -> Response:
    found = asset(visit.path("name"))
    if found is None:
        raise Problem("not_found", "there is no such file")
    return found


async def _missing(visit: Visit) -> Response:
    raise Problem("not_found", "there is no such page")
