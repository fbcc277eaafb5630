"""Pages for repair: dead items by cause, callbacks, and the endpoints that receive them."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.batches import dead_items
from pipeline.batches.dead_items import DeadFilter
from pipeline.delivery import deliveries, delivery_search, endpoints, tenant_view
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.domain.api_key import Scope
from pipeline.domain.ids import item_id
from pipeline.domain.redaction import redact_url
from pipeline.http_api.page.visit import Visit
from pipeline.http_api.problems import Problem

#: Rows of a table; the rest is a page further.
_ROWS = 100


async def dead(visit: Visit) -> Response:
    """Show what dead items died of, and the newest of them."""
    visit.check(Scope.READ)
    name, cause = (visit.request.query_params.get(each, "") for each in ("batch", "cause"))
    batch_id = (await visit.batch(name))["id"] if name else None
    sees = visit.caller.sees
    groups, is_partial = await visit.quick(dead_items.causes, visit.context, batch_id=batch_id, tenant=sees)
    wanted = DeadFilter(cause=cause or None)
    page = await visit.quick(
        dead_items.dead_page, visit.context, wanted, batch_id=batch_id, tenant=sees, before=None, limit=_ROWS
    )
    rows = [{**row, "item_id": item_id(row["public_id"], row["position"])} for row in page.rows]
    return visit.show(
        "dead.html",
        batch=name,
        cause=cause,
        groups=groups,
        is_partial=is_partial,
        rows=rows,
        may_operate=visit.may(Scope.OPERATE),
    )


async def confirm_replay(visit: Visit) -> Response:
    """Ask before dead items of a batch run again, with their number."""
    visit.check(Scope.OPERATE)
    batch = await visit.batch(visit.request.path_params["batch"])
    public_id, cause = batch["public_id"], visit.request.query_params.get("cause", "")
    found = await visit.quick(
        dead_items.replay_matching, visit.context, batch, DeadFilter(cause=cause or None), limit=None, dry_run=True
    )
    return visit.show(
        "confirm.html",
        question=f"Replay {found.matched:,} dead items?",
        consequence=f"They are of batch {public_id}, and go on at the stage that failed, with fresh attempts.",
        path=f"/ui/batches/{public_id}/replay-dead",
        fields=[("cause", cause)],
        label=f"Replay {found.matched:,} items",
        back=f"/ui/dead?batch={public_id}",
    )


async def replay_dead(visit: Visit) -> Response:
    """Run dead items of a batch again."""
    visit.check(Scope.OPERATE)
    batch = await visit.batch(visit.request.path_params["batch"])
    cause = (await visit.form()).get("cause", "")
    found = await visit.quick(
        dead_items.replay_matching, visit.context, batch, DeadFilter(cause=cause or None), limit=None, dry_run=False
    )
    visit.gateway.work.wake()
    return visit.go(f"/ui/batches/{batch['public_id']}", f"{found.replayed:,} items run again.")


async def list_deliveries(visit: Visit) -> Response:
    """List callbacks, newest first."""
    visit.check(Scope.READ)
    given = visit.request.query_params
    state, endpoint, before = (given.get(name, "") for name in ("state", "endpoint", "before"))
    wanted = Wanted(
        state=DeliveryState(state) if state in set(DeliveryState) else None,
        endpoint=endpoint or None,
        before=int(before) if before.isdecimal() and len(before) < 19 else None,
        tenant=visit.caller.sees,
    )
    found = await visit.quick(delivery_search.newest, visit.context, wanted, limit=_ROWS + 1)
    older = found[_ROWS - 1]["id"] if len(found) > _ROWS else None
    return visit.show(
        "deliveries.html",
        rows=found[:_ROWS],
        states=["", *DeliveryState],
        state=state,
        endpoint=endpoint,
        older=older,
    )


async def delivery(visit: Visit) -> Response:
    """Show one callback with its attempts."""
    visit.check(Scope.READ)
    name = visit.request.path_params["delivery"]
    row = await visit.quick(tenant_view.find_delivery, visit.context, name, visit.caller.sees)
    found = await visit.quick(deliveries.show, visit.context, row["id"])
    return visit.show(
        "delivery.html",
        delivery={**found.delivery, "url": redact_url(found.delivery["url"])},
        attempts=found.attempts,
        may_operate=visit.may(Scope.OPERATE),
    )


async def replay_delivery(visit: Visit) -> Response:
    """Send one callback again."""
    visit.check(Scope.OPERATE)
    name = visit.request.path_params["delivery"]
    row = await visit.quick(tenant_view.find_delivery, visit.context, name, visit.caller.sees)
    await visit.quick(deliveries.replay, visit.context, row["id"])
    visit.gateway.work.wake()
    return visit.go(f"/ui/deliveries/{row['id']}", "It is sent again, with the same webhook id.")


async def list_endpoints(visit: Visit) -> Response:
    """List the endpoints that receive callbacks."""
    visit.check(Scope.READ)
    state, after = (visit.request.query_params.get(name, "") for name in ("state", "after"))
    found = await visit.quick(
        tenant_view.list_endpoints,
        visit.context,
        visit.caller.sees,
        state=EndpointState(state) if state in set(EndpointState) else None,
        after=after or None,
        limit=_ROWS + 1,
    )
    return visit.show(
        "endpoints.html",
        rows=found[:_ROWS],
        states=["", *EndpointState],
        state=state,
        older=found[_ROWS - 1].origin if len(found) > _ROWS else None,
        may_operate=visit.may(Scope.OPERATE),
    )


async def switch_endpoint(visit: Visit) -> Response:
    """Enable or disable an endpoint."""
    visit.check(Scope.OPERATE)
    form = await visit.form()
    origin = await visit.quick(tenant_view.check_operable, visit.context, form.get("origin", ""), visit.caller.sees)
    change = visit.request.path_params["change"]
    if change == "enable":
        number = await visit.quick(endpoints.enable, visit.context, origin)
        visit.gateway.work.wake()
        message = f"Enabled; {number:,} callbacks are sent again."
    elif change == "disable":
        number = await visit.quick(endpoints.disable, visit.context, origin)
        message = f"Disabled; {number:,} callbacks are paused."
    else:
        raise Problem("not_found", "there is no such action")
    return visit.go("/ui/endpoints", message)
