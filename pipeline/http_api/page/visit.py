"""A visit: one request of a browser, and who is signed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from pipeline.access import keys, sessions
from pipeline.access.caller import LOCAL, Caller
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.api_key import Scope
from pipeline.http_api.call import visible_batch
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.page.filters import AFTER
from pipeline.http_api.page.render import render
from pipeline.http_api.pages import read_cursor, read_id_cursor
from pipeline.http_api.problems import Problem

T = TypeVar("T")

PAGES = (
    ("/ui", "Batches"),
    ("/ui/dead", "Dead letters"),
    ("/ui/deliveries", "Deliveries"),
    ("/ui/endpoints", "Endpoints"),
)
#: Rows of a table; the rest is a page further.
ROWS = 100
#: Bytes of a form: a payload with each byte percent-encoded.
_MAX_FORM = 1_000_000
#: The cookie with what the last change came to: shown once, and never in a URL that somebody else could make.
_MESSAGE = "pipeline-message"
_MESSAGE_SECONDS = 60
_MAX_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of a browser.

    Args:
        caller: whose key the browser signed in with, or anybody on this machine where no key exists.
    """

    gateway: Gateway
    request: Request
    caller: Caller

    @property
    def context(self) -> Context:
        """The context of the use cases."""
        return self.gateway.context.acting_as(self.caller.actor)

    @property
    def root(self) -> str:
        """What stands before every path, behind a proxy that serves the page below one."""
        return str(self.request.scope.get("root_path", ""))

    def may(self, scope: Scope) -> bool:
        """Return whether the visitor may do what needs a scope."""
        return scope in self.caller.scopes

    def check(self, scope: Scope) -> None:
        """Raise `Problem` (scope_missing) if the visitor may not do this."""
        if not self.may(scope):
            raise Problem("scope_missing", f"the key you signed in with has no scope {scope.value}, which this needs")

    async def quick(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a use case; see `Pool.run`."""
        return await self.gateway.quick.run(function, *args, **options)

    async def bulk(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a use case that reads or writes a whole batch; see `Pool.run`."""
        return await self.gateway.bulk.run(function, *args, **options)

    def path(self, name: str) -> str:
        """Return a part of the path by its name."""
        return str(self.request.path_params[name])

    @property
    def query(self) -> QueryParams:
        """The parameters in the URL."""
        return self.request.query_params

    @property
    def after(self) -> str | None:
        """Where the page of a list begins; None: at its beginning.

        Raises:
            Problem: bad_cursor.
        """
        return read_cursor(self.query.get(AFTER))

    @property
    def after_id(self) -> int | None:
        """The same, where it is an id."""
        return read_id_cursor(self.query.get(AFTER))

    async def batch(self, public_id: str) -> Row:
        """Return the row of a batch that the visitor may see.

        Raises:
            NotFound: there is none.
        """
        return await self.quick(visible_batch, self.context, self.caller, public_id)

    async def form(self) -> dict[str, str]:
        """Return the fields of the form that was sent."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > _MAX_FORM:
                raise Problem("body_too_large", f"a form has at most {_MAX_FORM:,} bytes")
        fields = parse_qs(bytes(body).decode("utf-8", "replace"), keep_blank_values=True)
        return {name: values[0] for name, values in fields.items()}

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        path = self.request.url.path.removeprefix(self.root)
        message = unquote(self.request.cookies.get(_MESSAGE, ""))[:_MAX_MESSAGE]
        common = {"root": self.root, "pages": PAGES, "here": path, "caller": self.caller, "message": message}
        response = render(template, {**common, **values}, status)
        if message:
            response.delete_cookie(_MESSAGE, path="/")
        return response

    def go(self, path: str, message: str = "") -> Response:
        """Send the browser to a page after a change, which says in one line what happened."""
        response = RedirectResponse(self.root + path, 303)
        if message:
            response.set_cookie(
                _MESSAGE,
                quote(message[:_MAX_MESSAGE]),
                max_age=_MESSAGE_SECONDS,
                path="/",
                secure=self.request.url.scheme == "https",
                httponly=True,
                samesite="strict",
            )
        return response


async def visitor(gateway: Gateway, request: HTTPConnection) -> Caller | None:
    """Return who is signed in; None: nobody, and somebody has to be."""
    cookie = request.cookies.get(cookie_name(request))
    if cookie is not None:
        return await gateway.quick.run(sessions.caller_of, gateway.context, cookie)
    if gateway.options.is_open and not await gateway.quick.run(keys.any_exists, gateway.context):
        return LOCAL
    return None


async def stream_visitor(gateway: Gateway, request: HTTPConnection) -> Caller:
    """Return who is signed in and has a stream open.

    Raises:
        Problem: no_key: nobody is any more.
    """
    caller = await visitor(gateway, request)
    if caller is None:
        raise Problem("no_key", "you are signed out; sign in again")
    return caller


def cookie_name(request: HTTPConnection) -> str:
    """Return the name of the cookie: over https one that browsers accept for this host alone."""
    return "__Host-pipeline" if request.url.scheme == "https" else "pipeline"


def check_same_origin(request: Request) -> None:
    """Raise `Problem` (cross_site) if another site sent a form.

    Browsers of the last years say so in `Sec-Fetch-Site`; older ones give the origin.
    """
    site = request.headers.get("sec-fetch-site")
    if site is None:
        origin = urlsplit(request.headers.get("origin", ""))
        site = "same-origin" if origin.netloc and origin.netloc == request.headers.get("host") else "cross-site"
    if site != "same-origin":
        raise Problem("cross_site", "the form was sent by another site")
