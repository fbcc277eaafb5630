"""Endpoints: what receives callbacks, how it is called, and how it answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from pipeline.bootstrap import ping
from pipeline.client.endpoint import info_of
from pipeline.delivery import endpoints as all_endpoints
from pipeline.delivery import tenant_view
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.delivery.rules.delivery import Sent
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.delivery.rules.failure_text import explain
from pipeline.domain.api_key import Scope
from pipeline.domain.callback_url import parse_callback_url
from pipeline.errors import InvalidArgument, InvalidInput, NotFound
from pipeline.http_api.endpoint_changes import change_endpoint
from pipeline.http_api.page.endpoint_form import SETTING_NAMES, read_settings, setting_fields
from pipeline.http_api.page.filters import choice_filter, is_filtered, older_link
from pipeline.http_api.page.text import counted, duration
from pipeline.http_api.page.visit import ROWS, Visit


async def endpoints(visit: Visit) -> Response:
    """List the endpoints that receive callbacks."""
    visit.check(Scope.READ)
    fields = [choice_filter(visit.query, "state", "State", EndpointState)]
    found = await visit.quick(
        tenant_view.list_endpoints,
        visit.context,
        visit.caller.sees,
        state=fields[0].value or None,
        after=visit.after,
        limit=ROWS + 1,
    )
    return visit.show(
        "endpoints.html",
        rows=found[:ROWS],
        fields=fields,
        is_filtered=is_filtered(fields),
        older=older_link(fields, found[ROWS - 1].origin if len(found) > ROWS else None),
    )


async def endpoint(visit: Visit) -> Response:
    """Show one endpoint."""
    visit.check(Scope.READ)
    found = await visit.quick(tenant_view.find_endpoint, visit.context, visit.path("endpoint"), visit.caller.sees)
    return _page(visit, found)


async def change_settings(visit: Visit) -> Response:
    """Change settings of an endpoint, all or none; show the form again if one cannot be used."""
    visit.check(Scope.ADMIN)
    sees, form = visit.caller.sees, await visit.form()
    found = await visit.quick(tenant_view.find_endpoint, visit.context, visit.path("endpoint"), sees)
    given = {name: form[name].strip() for name in SETTING_NAMES if name in form}
    changes, errors = read_settings(given)
    if not errors:
        try:
            await visit.quick(
                change_endpoint,
                visit.context,
                found.origin,
                changes,
                sees=sees,
                expected_version=form.get("version") or None,
            )
        except NotFound:
            raise
        except InvalidArgument as error:
            errors[error.names[0]] = str(error)
    if errors:
        return _page(visit, found, given=given, errors=errors)
    return visit.go(_path(found.origin), "Saved. The settings hold from the next attempt on.")


async def test(visit: Visit) -> Response:
    """Send one signed ping now."""
    visit.check(Scope.OPERATE)
    visit.request.state.is_change = False
    form = await visit.form()
    found = await visit.quick(tenant_view.find_endpoint, visit.context, visit.path("endpoint"), visit.caller.sees)
    given = form.get("path", "").strip()
    try:
        url = _url_at(found.origin, given)
        sent = await visit.bulk(ping, visit.context, url)
    except NotFound:
        raise
    except InvalidInput as error:
        return _page(visit, found, test_path=given, errors={"path": str(error)})
    return _page(visit, found, test_path=given, tested=_tested(sent))


async def enable(visit: Visit) -> Response:
    """Call an endpoint again, and send what was paused."""
    origin = await _operable(visit)
    number = await visit.quick(all_endpoints.enable, visit.context, origin)
    visit.gateway.work.wake()
    return visit.go(_path(origin), f"Enabled. {counted(number, 'callback')} pending again.")


async def confirm_disable(visit: Visit) -> Response:
    """Ask before an endpoint is called no more, with the number of callbacks that wait then."""
    visit.check(Scope.OPERATE)
    found = await visit.quick(tenant_view.find_endpoint, visit.context, visit.path("endpoint"), visit.caller.sees)
    return _disable_form(visit, found)


async def disable(visit: Visit) -> Response:
    """Stop calling an endpoint."""
    origin = await _operable(visit)
    reason = (await visit.form()).get("reason", "").strip()
    try:
        number = await visit.quick(all_endpoints.disable, visit.context, origin, reason or None)
    except NotFound:
        raise
    except InvalidInput as error:
        found = await visit.quick(tenant_view.find_endpoint, visit.context, origin, visit.caller.sees)
        return _disable_form(visit, found, reason, str(error))
    return visit.go(_path(origin), f"Disabled. {counted(number, 'callback')} paused, none dropped.")


async def _operable(visit: Visit) -> str:
    visit.check(Scope.OPERATE)
    return await visit.quick(tenant_view.check_operable, visit.context, visit.path("endpoint"), visit.caller.sees)


def _page(
    visit: Visit,
    found: KnownEndpoint,
    *,
    given: dict[str, str] | None = None,
    errors: dict[str, str] | None = None,
    test_path: str = "",
    tested: dict[str, Any] | None = None,
) -> Response:
    """Return the page of an endpoint.

    Args:
        given: settings as somebody typed them; None: as they are.
        errors: what is wrong with fields, by name.
        tested: how a ping went.
    """
    errors = errors or {}
    return visit.show(
        "endpoint.html",
        422 if errors else 200,
        endpoint=info_of(found),
        path=_path(found.origin),
        version=found.version,
        settings=setting_fields(found.settings, given, errors),
        errors=errors,
        test_path=test_path,
        tested=tested,
        may_operate=visit.may(Scope.OPERATE),
        may_configure=visit.may(Scope.ADMIN),
    )


def _disable_form(visit: Visit, found: KnownEndpoint, reason: str = "", error: str = "") -> Response:
    return visit.show(
        "disable.html",
        422 if error else 200,
        origin=found.origin,
        path=_path(found.origin),
        waiting=found.backlog.get("pending", 0),
        reason=reason,
        error=error,
    )


def _path(origin: str) -> str:
    return f"/ui/endpoints/{quote(origin, safe='')}"


def _url_at(origin: str, path: str) -> str:
    """Return the URL at an endpoint with a path.

    Raises:
        InvalidInput: it is at another endpoint, or cannot be called.
    """
    url = path if "://" in path else f"{origin}/{path.removeprefix('/')}"
    if parse_callback_url(url, name="the URL").origin != origin:
        raise InvalidInput(f"the URL is not at {origin}")
    return url


def _tested(sent: Sent) -> dict[str, Any]:
    return {
        "status": sent.answer.status,
        "error": sent.answer.code,
        "message": explain(sent.answer),
        "answer": sent.answer.text,
        "took": duration((sent.ended_at - sent.started_at).total_seconds()),
    }
