"""Sign in with an API key, and sign out."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.access import sessions
from pipeline.errors import AccessDenied
from pipeline.http_api.authentication import address_of
from pipeline.http_api.page.visit import Visit, cookie_name

#: The parameter with the page that somebody wanted to see.
NEXT = "next"
_HOME = "/ui"


async def show_form(visit: Visit) -> Response:
    """Show the form."""
    return visit.show("login.html", error="", next=_own_page(visit.query.get(NEXT, "")))


async def sign_in(visit: Visit) -> Response:
    """Start a session for the key in the form.

    Raises:
        Problem: too_many_failures, as for requests with a wrong key.
    """
    failures, address = visit.gateway.keyring.failures, address_of(visit.request)
    failures.refuse_if_too_many(address)
    form = await visit.form()
    wanted = _own_page(form.get(NEXT, ""))
    try:
        cookie = await visit.quick(sessions.sign_in, visit.context, form.get("key", "").strip())
    except AccessDenied as error:
        failures.note(address)
        return visit.show("login.html", 403, error=str(error), next=wanted)
    response = visit.go(wanted)
    response.set_cookie(
        cookie_name(visit.request),
        cookie,
        max_age=int(sessions.LIFETIME.total_seconds()),
        path="/",
        secure=visit.request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


async def sign_out(visit: Visit) -> Response:
    """End the session."""
    name = cookie_name(visit.request)
    await visit.quick(sessions.sign_out, visit.context, visit.request.cookies.get(name, ""))
    response = visit.go("/ui/login")
    response.delete_cookie(name, path="/")
    return response


def _own_page(path: str) -> str:
    """Return a page of this site; anything else becomes the list of batches."""
    is_own = (path == _HOME or path.startswith((_HOME + "/", _HOME + "?"))) and path.isprintable() and path.isascii()
    return path if is_own else _HOME
