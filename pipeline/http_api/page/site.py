"""The routes of the web page, and what each of them shares: who is signed in, and how failures look."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pipeline.access.caller import ANYBODY
from pipeline.errors import PipelineError
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.page import batch_pages, item_pages, repair_pages, sign_in
from pipeline.http_api.page.render import asset
from pipeline.http_api.page.visit import Visit, check_same_origin, visitor
from pipeline.http_api.problems import KINDS, Problem, problem_of

Page = Callable[[Visit], Awaitable[Response]]


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


def page_routes(gateway: Gateway) -> list[Route]:
    """Return the routes of the web page."""
    pages = [
        PageRoute("GET", "/", _home, needs_sign_in=False),
        PageRoute("GET", "/ui/assets/{name}", _asset, needs_sign_in=False),
        PageRoute("GET", "/ui/login", sign_in.show_form, needs_sign_in=False),
        PageRoute("POST", "/ui/login", sign_in.sign_in, needs_sign_in=False),
        PageRoute("POST", "/ui/logout", sign_in.sign_out),
        PageRoute("GET", "/ui", batch_pages.batches),
        PageRoute("GET", "/ui/stream", batch_pages.stream),
        PageRoute("GET", "/ui/batches/{batch}", batch_pages.batch),
        PageRoute("GET", "/ui/batches/{batch}/cancel", batch_pages.confirm_cancel),
        PageRoute("GET", "/ui/batches/{batch}/replay-dead", repair_pages.confirm_replay),
        PageRoute("POST", "/ui/batches/{batch}/replay-dead", repair_pages.replay_dead),
        PageRoute("POST", "/ui/batches/{batch}/{change}", batch_pages.change),
        PageRoute("GET", "/ui/items/{item}", item_pages.item),
        PageRoute("POST", "/ui/items/{item}/replay", item_pages.replay_item),
        PageRoute("GET", "/ui/dead", repair_pages.dead),
        PageRoute("GET", "/ui/deliveries", repair_pages.list_deliveries),
        PageRoute("GET", "/ui/deliveries/{delivery}", repair_pages.delivery),
        PageRoute("POST", "/ui/deliveries/{delivery}/replay", repair_pages.replay_delivery),
        PageRoute("GET", "/ui/endpoints", repair_pages.list_endpoints),
        PageRoute("POST", "/ui/endpoints/{change}", repair_pages.switch_endpoint),
    ]
    return [Route(each.path, _endpoint(gateway, each), methods=[each.method]) for each in pages]


def _endpoint(gateway: Gateway, route: PageRoute) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        visit = Visit(gateway, request, ANYBODY)
        try:
            if route.method == "POST":
                check_same_origin(request)
            caller = await visitor(gateway, request) if route.needs_sign_in else ANYBODY
            if caller is None:
                return RedirectResponse(f"{visit.root}/ui/login", 303)
            visit = Visit(gateway, request, caller)
            return await route.page(visit)
        except Problem as problem:
            return _failed(visit, problem)
        except PipelineError as error:
            return _failed(visit, problem_of(error))

    return endpoint


def _failed(visit: Visit, problem: Problem) -> Response:
    body = problem.body("req_" + secrets.token_hex(10))
    page = visit.show("problem.html", problem.status, problem={**body, "advice": KINDS[problem.code].advice})
    page.headers.update(problem.headers)
    return page


async def _home(visit: Visit) -> Response:
    """Lead whoever opens the bare address to the page."""
    return visit.go("/ui")


async def _asset(visit: Visit) -> Response:
    found = asset(visit.request.path_params["name"])
    if found is None:
        raise Problem("not_found", "there is no such file")
    return found
