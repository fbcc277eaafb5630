"""Deliveries: which callbacks were sent where, how each attempt went, and sending them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from pipeline.client.delivery import fields_of
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import deliveries as all_deliveries
from pipeline.delivery import delivery_search, tenant_view
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.domain.api_key import Scope
from pipeline.domain.redaction import redact_url
from pipeline.http_api.page.filters import AFTER, choice_filter, cursor_link, is_filtered, text_filter
from pipeline.http_api.page.text import counted
from pipeline.http_api.page.visit import ROWS, Visit
from pipeline.http_api.pages import encode_delivery_cursor, read_delivery_cursor


async def deliveries(visit: Visit) -> Response:
    """List callbacks, newest first."""
    visit.check(Scope.READ)
    state = choice_filter(visit.query, "state", "State", DeliveryState)
    endpoint = text_filter(visit.query, "endpoint", "Endpoint")
    batch = text_filter(visit.query, "batch", "Batch")
    fields = [state, endpoint, batch]
    if batch.value:
        await visit.batch(batch.value)
    wanted = Wanted(
        batch=batch.value or None, state=state.value or None, endpoint=endpoint.value or None, tenant=visit.caller.sees
    )
    after = read_delivery_cursor(visit.query.get(AFTER), is_of_batch=bool(batch.value))
    found, position = await visit.quick(delivery_search.page, visit.context, wanted, after=after, limit=ROWS)
    may_recover = state.value == DeliveryState.DEAD and visit.may(Scope.OPERATE)
    return visit.show(
        "deliveries.html",
        rows=[fields_of(row) for row in found],
        fields=fields,
        is_filtered=is_filtered(fields),
        older=None if position is None else cursor_link(fields, encode_delivery_cursor(position)),
        recover=_recover_link(batch.value, endpoint.value) if found and may_recover else "",
    )


async def delivery(visit: Visit) -> Response:
    """Show one callback with its attempts."""
    visit.check(Scope.READ)
    row = await _found(visit)
    found = await visit.quick(all_deliveries.show, visit.context, row["id"])
    return visit.show(
        "delivery.html",
        delivery=_delivery_values(found.delivery),
        waits_for=await visit.quick(delivery_search.waits_for, visit.context, found.delivery),
        attempts=found.attempts,
        may_operate=visit.may(Scope.OPERATE),
    )


async def replay_delivery(visit: Visit) -> Response:
    """Send one callback again."""
    visit.check(Scope.OPERATE)
    row = await _found(visit)
    await visit.quick(all_deliveries.replay, visit.context, row["id"])
    visit.gateway.work.wake()
    return visit.go(f"/ui/deliveries/{row['id']}", "It is sent again, with the same webhook id.")


async def confirm_recover(visit: Visit) -> Response:
    """Ask before dead callbacks are sent again, with their number."""
    visit.check(Scope.OPERATE)
    chosen = await _recovered(visit, visit.query)
    found, left_out = await visit.bulk(_count, visit.context, chosen)
    number = counted(found, "callback")
    named = ("of batch", chosen["batch"]), ("to", chosen["origin"])
    where = "".join(f" {word} {value}" for word, value in named if value)
    disabled = f" {counted(left_out, 'other')} are left out: their endpoint is disabled." if left_out else ""
    return visit.show(
        "confirm.html",
        question=f"Send {counted(found, 'dead callback')} again?",
        consequence=f"All that were given up{where}, with the same webhook ids.{disabled}",
        path="/ui/deliveries/recover",
        fields=[("batch", chosen["batch"] or ""), ("endpoint", chosen["origin"] or "")],
        label=f"Send {number}" if found else "",
        back="/ui/deliveries?" + _query("dead", chosen["batch"], chosen["origin"]),
    )


async def recover(visit: Visit) -> Response:
    """Send dead callbacks again."""
    visit.check(Scope.OPERATE)
    chosen = await _recovered(visit, await visit.form())
    number = await visit.bulk(all_deliveries.recover, visit.context, **chosen)
    visit.gateway.work.wake()
    back = "/ui/deliveries?" + _query("", chosen["batch"], chosen["origin"])
    return visit.go(back, f"{counted(number, 'callback')} sent again.")


async def _found(visit: Visit) -> Row:
    return await visit.quick(tenant_view.find_delivery, visit.context, visit.path("delivery"), visit.caller.sees)


async def _recovered(visit: Visit, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `recover` that a form or a link names, as far as the visitor may see that."""
    batch, endpoint = given.get("batch") or None, given.get("endpoint") or None
    if batch is not None:
        await visit.batch(batch)
    if endpoint is not None:
        endpoint = await visit.quick(tenant_view.check_visible, visit.context, endpoint, visit.caller.sees)
    return {"batch": batch, "origin": endpoint, "tenant": visit.caller.sees}


def _count(context: Context, chosen: dict[str, Any]) -> tuple[int, int]:
    found = all_deliveries.recover(context, **chosen, dry_run=True)
    return found, sum(all_deliveries.left_out(context, **chosen).values())


def _recover_link(batch: str, endpoint: str) -> str:
    return "/ui/deliveries/recover?" + _query("", batch, endpoint)


def _query(state: str, batch: str | None, endpoint: str | None) -> str:
    given = {"state": state, "batch": batch, "endpoint": endpoint}
    return urlencode({name: value for name, value in given.items() if value})


def _delivery_values(row: Row) -> dict[str, Any]:
    return {**fields_of(row), "url": redact_url(row["url"])}
